"""The rules of the decoder, tested with drawn pictures."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from service.errors import PayloadTooLarge, RequestError, UndecodableImage
from service.imaging import Limits, decode, identify_format, inspect

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112
KINDS = ("JPEG", "PNG", "WebP")

pillow_may_complain_of_exif = pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode a picture as exactly as the format allows."""
    exact: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WebP": {"lossless": True, "exact": True},
    }
    buffer = io.BytesIO()
    picture.save(buffer, kind, **{**exact.get(kind, {}), **options})
    return buffer.getvalue()


def quarters(width: int = 64, height: int = 64) -> Image.Image:
    """Draw four quarters: red and green above blue and white."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height))
    picture.paste(BLUE, (0, height // 2, width, height))
    picture.paste(WHITE, (width // 2, height // 2, width, height))
    return picture


def photo(width: int, height: int) -> Image.Image:
    """Smooth shapes with some noise, as photographs have."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return picture.filter(ImageFilter.GaussianBlur(1))


def corners(pixels: NDArray[np.uint8]) -> list[list[tuple[int, ...]]]:
    """The colours of the four corners, rounded to 0 or 255."""
    rounded = np.where(pixels < 128, 0, 255)
    return [[tuple(rounded[y, x].tolist()) for x in (0, -1)] for y in (0, -1)]


def assert_colour(pixels: NDArray[np.uint8], colour: tuple[int, ...], tolerance: int = 0) -> None:
    assert np.abs(pixels.astype(int) - np.array(colour)).max() <= tolerance


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, depth: int, colour_type: int, rows: bytes, extra: bytes = b""
) -> bytes:
    """A PNG of any depth; `rows` begin with their filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


# Output


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_rgb_uint8_at_the_input_size(kind: str) -> None:
    pixels = decode(encode(quarters(), kind), 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert corners(pixels) == [[RED, GREEN], [BLUE, WHITE]]


def test_picture_of_the_input_size_keeps_its_pixels() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    for kind in ("PNG", "WebP"):
        np.testing.assert_array_equal(decode(encode(Image.fromarray(noise), kind), 24), noise)


def test_picture_is_stretched_not_cropped() -> None:
    wide = Image.new("RGB", (200, 50), RED)
    wide.paste(BLUE, (100, 0, 200, 50))
    pixels = decode(encode(wide, "PNG"), 8)
    assert_colour(pixels[:, :3], RED)
    assert_colour(pixels[:, 5:], BLUE)


def test_shrinking_is_antialiased() -> None:
    """A board of single black and white pixels becomes even gray, not a new pattern."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = decode(encode(Image.fromarray(board), "PNG"), 16)
    assert_colour(pixels[1:-1, 1:-1], (127, 127, 127), tolerance=1)


def test_enlarging_is_bilinear() -> None:
    picture = Image.fromarray(np.array([[0, 100]], np.uint8))
    assert decode(encode(picture, "PNG"), 4)[0, :, 0].tolist() == [0, 25, 75, 100]


# Orientation

TURNED = {  # EXIF value -> corners of quarters() as they should be seen
    1: [[RED, GREEN], [BLUE, WHITE]],
    2: [[GREEN, RED], [WHITE, BLUE]],
    3: [[WHITE, BLUE], [GREEN, RED]],
    4: [[BLUE, WHITE], [RED, GREEN]],
    5: [[RED, BLUE], [GREEN, WHITE]],
    6: [[BLUE, RED], [WHITE, GREEN]],
    7: [[WHITE, GREEN], [BLUE, RED]],
    8: [[GREEN, WHITE], [RED, BLUE]],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", TURNED)
def test_exif_orientation_is_applied(kind: str, value: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    assert corners(decode(encode(quarters(96, 48), kind, exif=exif), 8)) == TURNED[value]


@pytest.mark.parametrize("value", TURNED)
def test_turning_after_the_stretch_equals_turning_before(value: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    turned = encode(photo(150, 70), "PNG", exif=exif)
    upright = encode(ImageOps.exif_transpose(Image.open(io.BytesIO(turned))), "PNG")
    difference = decode(turned, 32).astype(int) - decode(upright, 32)
    assert np.abs(difference).max() <= 1  # rounding between the two passes of the filter


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientation_means_upright(value: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    assert corners(decode(encode(quarters(), "JPEG", exif=exif), 8)) == TURNED[1]


@pillow_may_complain_of_exif
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0up!\0",
        b"",
    ],
    ids=["noise", "offset beyond the end", "entries beyond the end", "text", "empty"],
)
def test_broken_exif_of_a_valid_picture_is_ignored(kind: str, block: bytes) -> None:
    assert corners(decode(encode(quarters(), kind, exif=block), 8)) == TURNED[1]


# Colours


def test_gray_becomes_three_equal_channels() -> None:
    for kind in ("JPEG", "PNG"):
        assert_colour(decode(encode(Image.new("L", (9, 9), 77), kind), 4), (77, 77, 77))


def test_one_bit_becomes_black_and_white() -> None:
    picture = Image.new("1", (8, 8), 0)
    picture.paste(1, (0, 0, 8, 4))
    pixels = decode(encode(picture, "PNG"), 8)
    assert_colour(pixels[:4], WHITE)
    assert_colour(pixels[4:], (0, 0, 0))


def test_sixteen_bit_gray_keeps_its_upper_eight_bits() -> None:
    values = np.array([[0x0000, 0x00FF, 0x1234], [0x80FF, 0xABCD, 0xFFFF]], np.uint16)
    values = np.pad(values, ((0, 1), (0, 0)), mode="edge")  # 3 x 3
    pixels = decode(encode(Image.fromarray(values), "PNG"), 3)
    assert pixels[:2, :, 0].tolist() == [[0x00, 0x00, 0x12], [0x80, 0xAB, 0xFF]]
    assert_colour(pixels[:, :, 1:] - pixels[:, :, :1], (0, 0))


@pytest.mark.parametrize(
    ("colour_type", "samples", "colour"),
    [
        (2, (0x12FF, 0x56FF, 0x9AFF), (0x12, 0x56, 0x9A)),
        (4, (0x1234, 0xFFFF), (0x12, 0x12, 0x12)),
        (6, (0x1234, 0x5678, 0x9ABC, 0xFFFF), (0x12, 0x56, 0x9A)),
        (6, (0x1234, 0x5678, 0x9ABC, 0x0000), WHITE),
    ],
    ids=["RGB", "gray + alpha", "RGBA", "clear RGBA"],
)
def test_sixteen_bit_colours_keep_their_upper_eight_bits(
    colour_type: int, samples: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    row = b"\0" + struct.pack(f">{len(samples)}H", *samples) * 4
    assert_colour(decode(png(4, 4, 16, colour_type, row * 4), 4), colour)


def test_two_bit_gray_is_spread_over_the_range() -> None:
    pixels = decode(png(4, 4, 2, 0, b"\0\x1b" * 4), 4)  # 0x1b = 00 01 10 11
    assert pixels[0, :, 0].tolist() == [0, 85, 170, 255]


def test_palette_is_looked_up() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    assert_colour(decode(encode(picture, "PNG"), 4), (10, 200, 30))


def test_palette_with_one_clear_colour_shows_white_there() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.paste(0, (0, 0, 8, 4))
    picture.putpalette([0, 0, 0, 10, 200, 30])
    pixels = decode(encode(picture, "PNG", transparency=0), 8)
    assert_colour(pixels[:4], WHITE)
    assert_colour(pixels[4:], (10, 200, 30))


def test_palette_with_half_clear_colours_is_mixed_with_white() -> None:
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([255, 0, 0])
    pixels = decode(encode(picture, "PNG", transparency=bytes([51])), 4)
    assert_colour(pixels, (255, 204, 204))  # a fifth of red on white


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_transparency_is_laid_over_white(kind: str) -> None:
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    picture.paste((255, 0, 0, 51), (0, 0, 8, 4))
    picture.paste((9, 9, 9, 0), (0, 0, 4, 4))
    pixels = decode(encode(picture, kind), 8)
    assert_colour(pixels[:4, :4], WHITE)
    assert_colour(pixels[:4, 4:], (255, 204, 204))
    assert_colour(pixels[4:], RED)


def test_hidden_colours_of_clear_pixels_leave_no_fringe() -> None:
    """They become white before the resize, which would mix them with their neighbours."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (0, 0, 33, 64))
    assert_colour(decode(encode(picture, "PNG"), 7), WHITE)


def test_gray_with_alpha_is_laid_over_white() -> None:
    assert_colour(decode(encode(Image.new("LA", (8, 8), (55, 51)), "PNG"), 4), (215, 215, 215))


def test_gray_with_one_clear_value_shows_white_there() -> None:
    picture = Image.new("L", (8, 8), 10)
    picture.paste(200, (0, 0, 8, 4))
    pixels = decode(encode(picture, "PNG", transparency=10), 8)
    assert_colour(pixels[:4], (200, 200, 200))
    assert_colour(pixels[4:], WHITE)


@pytest.mark.parametrize(
    ("ink", "colour"),
    [((0, 255, 255, 0), RED), ((255, 0, 255, 0), GREEN), ((0, 0, 0, 0), WHITE)],
)
def test_cmyk_is_converted(ink: tuple[int, ...], colour: tuple[int, ...]) -> None:
    assert_colour(decode(encode(Image.new("CMYK", (16, 16), ink), "JPEG"), 4), colour, tolerance=2)


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_first_frame_of_an_animation_is_decoded(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (GREEN, BLUE)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert_colour(decode(data, 4), GREEN)


# Large pictures


def test_large_jpeg_is_decoded_at_a_reduced_size_close_to_the_full_one() -> None:
    data = encode(photo(1600, 1200), "JPEG", quality=90)
    reduced = Image.open(io.BytesIO(data))
    reduced.draft("RGB", (64, 64))
    assert reduced.size == (200, 150)
    expected = np.asarray(reduced.resize((64, 64), Image.Resampling.BILINEAR))
    full = np.asarray(
        Image.open(io.BytesIO(data)).resize((64, 64), Image.Resampling.BILINEAR), np.int16
    )
    pixels = decode(data, 64)
    np.testing.assert_array_equal(pixels, expected)
    difference = np.abs(pixels - full)
    assert 0 < difference.mean() < 1
    assert difference.max() <= 8


def test_jpeg_is_never_reduced_below_the_input_size() -> None:
    """1000 x 70 could be halved for its width, not for its height."""
    data = encode(photo(1000, 70), "JPEG")
    full = Image.open(io.BytesIO(data)).resize((64, 64), Image.Resampling.BILINEAR)
    difference = np.abs(decode(data, 64).astype(int) - np.asarray(full))
    assert difference.mean() < 1  # groups of three columns are averaged first
    assert difference.max() <= 8


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\0"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"


def webp_header(width: int, height: int) -> bytes:
    """An animation whose frames are small on a canvas that claims to be large."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    data = bytearray(encode(frames[0], "WebP", save_all=True, append_images=frames[1:]))
    assert data[12:16] == b"VP8X"
    data[24:27] = (width - 1).to_bytes(3, "little")
    data[27:30] = (height - 1).to_bytes(3, "little")
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [png(16_000, 16_000, 8, 2, b""), jpeg_header(16_000, 16_000), webp_header(16_000, 16_000)],
    ids=KINDS,
)
def test_too_many_pixels_are_refused_by_the_header_alone(data: bytes) -> None:
    """The data has no pixels, so decoding it would raise another error."""
    with pytest.raises(PayloadTooLarge, match=r"16000 x 16000 = 256,000,000 pixels; at most 250,"):
        decode(data, 32)


def test_limit_counts_pixels_not_sides() -> None:
    data = encode(Image.new("L", (60, 50)), "PNG")
    assert decode(data, 8, Limits(pixels=3000)).shape == (8, 8, 3)
    with pytest.raises(PayloadTooLarge, match="60 x 50 = 3,000 pixels; at most 2,999"):
        decode(data, 8, Limits(pixels=2999))


def lossless_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) RGB -> SOF3, predictor 1: each difference as its length (4 bits) and bits."""
    values = pixels.astype(int)
    left = np.empty_like(values)
    left[:, 1:], left[1:, 0], left[0, 0] = values[:, :-1], values[:-1, 0], 128
    bits = []
    for step in (values - left).ravel().tolist():
        length = abs(step).bit_length()
        low = step if step > 0 else step + (1 << length) - 1
        bits.append(f"{length:04b}" + (f"{low:0{length}b}" if length else ""))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8).replace(b"\xff", b"\xff\0")
    height, width, _ = pixels.shape
    frame = struct.pack(">BHHB", 8, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    codes = bytes([0, 0, 0, 0, 9, *[0] * 12, *range(9)])
    segments = (
        (0xEE, b"Adobe\0\x64\0\0\0\0\0"),
        (0xC3, frame),
        (0xC4, codes),
        (0xDA, b"\3\1\0\2\0\3\0\1\0\0"),
    )
    head = b"".join(struct.pack(">BBH", 255, kind, len(body) + 2) + body for kind, body in segments)
    return b"\xff\xd8" + head + scan + b"\xff\xd9"


@pytest.mark.parametrize("size", [16, 48, 96, 128])
def test_lossless_jpeg_is_decoded_at_full_size(size: int) -> None:
    """libjpeg cannot reduce it: it would write past the end of a buffer for the reduced size."""
    picture = photo(96, 96)
    pixels = decode(lossless_jpeg(np.asarray(picture)), size)
    np.testing.assert_array_equal(pixels, decode(encode(picture, "PNG"), size))


# Refusals


@pytest.mark.parametrize("kind", KINDS)
def test_identify_names_the_format_by_content(kind: str) -> None:
    assert identify_format(encode(quarters(), kind)).name == kind


def test_empty_data_is_undecodable() -> None:
    with pytest.raises(UndecodableImage, match="empty"):
        decode(b"", 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.9, 0.98])
def test_truncated_picture_is_refused(kind: str, fraction: float) -> None:
    data = encode(photo(200, 150), kind)
    with pytest.raises(
        UndecodableImage, match=rf"the {kind} data is damaged or cut short \([\d,]+"
    ):
        decode(data[: int(len(data) * fraction)], 32)


def test_checksum_of_a_png_is_verified() -> None:
    data = bytearray(encode(quarters(), "PNG"))
    data[data.index(b"IDAT") + 9] ^= 1
    with pytest.raises(UndecodableImage):
        decode(bytes(data), 8)


def flip_bytes(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(damaged)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:start] + rng.randbytes(rng.randrange(40)) + data[stop:]


def noise_after_the_head(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(12, 40)] + rng.randbytes(200)


@pillow_may_complain_of_exif
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [flip_bytes, cut, splice, noise_after_the_head])
def test_damaged_pictures_are_decoded_or_refused(
    kind: str, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    rng = random.Random(f"{kind} {damage.__name__}")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encode(photo(40, 30), kind, exif=exif)
    refused = 0
    for _ in range(120):
        try:
            assert decode(damage(data, rng), 16, Limits(pixels=1_000_000)).shape == (16, 16, 3)
        except RequestError:
            refused += 1
    assert refused > 10


# Faster libraries than Pillow, which must agree with it


def by_pillow(data: bytes, size: int) -> NDArray[np.int64]:
    picture = Image.open(io.BytesIO(data))
    picture.draft(None, (size, size))
    square = picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape",
    [(500, 375), (300, 300), (224, 224), (225, 223), (64, 64), (90, 400), (2000, 1500), (504, 504)],
    ids=str,
)
def test_pixels_differ_from_pillow_by_less_than_a_level_on_average(
    kind: str, shape: tuple[int, int]
) -> None:
    noise = np.random.default_rng(3).normal(0, 6, (*shape[::-1], 3))
    picture = Image.fromarray((np.asarray(photo(*shape)) + noise).clip(0, 255).astype(np.uint8))
    data = encode(picture, kind, **({"quality": 90, "subsampling": 2} if kind == "JPEG" else {}))
    difference = np.abs(decode(data, 224) - by_pillow(data, 224))
    assert difference.mean() < 1
    assert difference.max() <= 32


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 1}, {"quality": 20}])
def test_jpegs_that_need_no_resizing_equal_pillows(options: dict[str, Any]) -> None:
    data = encode(photo(96, 96), "JPEG", **{"quality": 90, "subsampling": 2, **options})
    np.testing.assert_array_equal(decode(data, 96), by_pillow(data, 96))
    large = encode(photo(192, 192), "JPEG", **{"quality": 90, "subsampling": 2, **options})
    np.testing.assert_array_equal(decode(large, 96), by_pillow(large, 96))  # libjpeg halves it


@pytest.mark.real
def test_real_photographs_differ_from_pillow_by_less_than_a_level_on_average(shared: Path) -> None:
    means = []
    for path in sorted((shared / "data/flowers").glob("*/*.jpg"))[::10]:
        data = path.read_bytes()
        difference = np.abs(decode(data, 128) - by_pillow(data, 128))
        means.append(difference.mean())
        assert means[-1] < 3
        assert difference.max() <= 48
    assert np.mean(means) < 1


@pytest.mark.parametrize(("hot", "bits"), [(0, 10), (1, 10), (50, 16)])
def test_a_few_hot_pixels_do_not_widen_the_range(hot: int, bits: int) -> None:
    values = np.random.default_rng(0).integers(0, 1024, (64, 64)).astype(np.uint16)
    values[0, :hot] = 0xFFFF
    assert inspect(encode(Image.fromarray(values), "PNG"), 32).significant_bits == bits
