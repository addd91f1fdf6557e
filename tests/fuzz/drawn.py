"""Draws valid pictures of every kind, each from a seed and a number.

`drawn(seed, number)` draws a smooth picture and encodes it: in every kind that is read, in every
variant that an encoder here can write, and in every variant that is refused by name. It returns the
expected outcome as well: the pixels, or a word of the refusal.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import jpegs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
SIZE = 48


@dataclass(frozen=True)
class Drawn:
    """A file and its expected outcome.

    `pixels` are (H, W, 3) uint8 before resizing; decoded ones may differ by `tolerance` levels on
    average. Without them, the picture must be refused with a message that contains `refusal`.
    """

    name: str
    data: bytes
    pixels: Pixels | None = None
    tolerance: float = 0.5
    refusal: str = ""


def drawn(seed: int, number: int) -> Drawn:
    rng = random.Random(f"{seed} {number}")
    return rng.choice(_KINDS)(rng, smooth(rng))


def smooth(rng: random.Random) -> Pixels:
    """Draw (H, W, 3): a wave of each colour, of the model's input size or up to 4 times larger."""
    sides = [SIZE, SIZE] if rng.random() < 0.5 else [rng.randint(SIZE // 2, 4 * SIZE) for _ in "xy"]
    rows, columns = np.mgrid[: sides[0], : sides[1]]
    waves = [
        127
        + 100 * np.sin(rows / sides[0] * rng.uniform(1, 6) + columns / sides[1] * rng.uniform(1, 6))
        for _ in range(3)
    ]
    return np.stack(waves, 2).astype(np.uint8)


def save(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _gray(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[..., :1], 3, 2)


def _ycc(pixels: Pixels) -> list[NDArray[np.float64]]:
    converted = np.asarray(Image.fromarray(pixels).convert("YCbCr"), float)
    return [converted[..., channel] for channel in range(3)]


def jpeg_of_any_sampling(rng: random.Random, pixels: Pixels) -> Drawn:
    """Baseline, extended and progressive; 1, 3 or 4 components; restarts; one scan or several."""
    components = rng.choice((1, 3, 3, 4))
    sampling = tuple((rng.randint(1, 4), rng.randint(1, 4)) for _ in range(components))
    if rng.random() < 0.5:
        sampling = (
            rng.choice(((1, 1), (2, 1), (2, 2), (1, 2), (4, 1))),
            *[(1, 1)] * (components - 1),
        )
    first_segments, planes, expected = b"", _ycc(pixels), pixels
    if components == 1:
        planes, expected = [pixels[..., 0].astype(float)], _gray(pixels)
    elif components == 4:  # Adobe's CMYK: inverted, and not black
        first_segments = jpegs.segment(0xEE, jpegs.ADOBE_RGB)
        planes = [
            *(pixels[..., channel].astype(float) for channel in range(3)),
            np.full(pixels.shape[:2], 255.0),
        ]
    marker = rng.choice((0xC0, 0xC1, 0xC2))
    data = jpegs.encode(
        planes,
        sampling,
        marker=marker,
        restart=rng.choice((0, 0, 1, 2, 7)),
        is_interleaved=rng.random() < 0.7,
        first_segments=first_segments + _metadata(rng),
    )
    if rng.random() < 0.1:
        data = data[:-2]  # a missing end marker is not damage
    name = f"JPEG SOF{marker & 15} {sampling}"
    if any(max(factors) % factor for factors in zip(*sampling, strict=True) for factor in factors):
        return Drawn(name, data, refusal="fractional sampling")
    largest_factor = max(map(max, sampling))
    # Few samples of chroma cannot represent the waves: with 12, libjpeg itself is 6.5 levels off.
    has_few = min(pixels.shape[:2]) // largest_factor < SIZE // 2
    is_coarse = components == 4 or (
        components > 1 and (largest_factor > 2 or (largest_factor > 1 and has_few))
    )
    return Drawn(name, data, expected, tolerance=12 if is_coarse else 6)


def _metadata(rng: random.Random) -> bytes:
    """Return segments that do not affect pixels: a thumbnail in EXIF, a profile, a comment."""
    thumbnail = save(Image.new("RGB", (16, 12), "red"), "JPEG")
    choices = (
        b"",
        jpegs.segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail),
        jpegs.segment(0xE2, b"ICC_PROFILE\0\1\1" + rng.randbytes(500)),
        jpegs.segment(0xFE, b"a comment \xff\xd8\xff\xc3"),
        jpegs.segment(0xFE, b"") + b"\0\0\0",  # junk, which libjpeg skips
    )
    return rng.choice(choices)


def jpeg_by_libjpeg(rng: random.Random, pixels: Pixels) -> Drawn:
    options = {
        "quality": 92,
        "subsampling": rng.choice((0, 1, 2)),
        "progressive": rng.random() < 0.5,
    }
    if rng.random() < 0.3:
        options["restart_marker_blocks"] = rng.randint(1, 9)
    return Drawn(f"JPEG {options}", save(Image.fromarray(pixels), "JPEG", **options), pixels, 4)


def mpo(rng: random.Random, pixels: Pixels) -> Drawn:
    second_frame = Image.fromarray(255 - pixels)
    data = save(
        Image.fromarray(pixels), "MPO", save_all=True, append_images=[second_frame], quality=92
    )
    return Drawn("MPO", data, pixels, 4)


def lossless_jpeg(rng: random.Random, pixels: Pixels) -> Drawn:
    channels, predictor = rng.choice((1, 3)), rng.randint(1, 7)
    data = jpegs.encode_lossless(pixels[..., :channels], predictor)
    expected = pixels if channels == 3 else _gray(pixels)
    return Drawn(f"JPEG lossless {channels} {predictor}", data, expected)


def refused_jpeg(rng: random.Random, pixels: Pixels) -> Drawn:
    """Refused for its process, its precision, or its number of components."""
    marker = rng.choice(
        (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7, 0xDE)
    )
    bits = rng.choice((2, 4, 7, 9, 10, 12, 14, 16))
    components = rng.randint(1, 4)
    refusal = f"JPEG with {bits} bits"
    if marker == 0xF7:
        refusal = "JPEG-LS"
    elif marker in (0xC9, 0xCA, 0xCB):
        refusal = "arithmetic"
    elif marker > 0xC3:
        refusal = "hierarchical"
    elif rng.random() < 0.3:
        bits, components, refusal = 8, 2, "2 components"
    return Drawn(
        f"JPEG {marker:x} {bits}", jpegs.header_only(marker, bits, components, rng), refusal=refusal
    )


def jpeg_of_other_encoders(rng: random.Random, pixels: Pixels) -> Drawn:
    gray = pixels[..., 1].astype(np.uint16)
    variant = rng.choice(("12 bits", "lossless 16", "JPEG-LS", "JPEG XL", "JPEG 2000"))
    if variant == "12 bits":
        data, refusal = imagecodecs.jpeg8_encode(gray << 4, bitspersample=12), "JPEG with 12 bits"
    elif variant == "lossless 16":
        data = imagecodecs.jpeg8_encode(gray << 8, lossless=True, bitspersample=16)
        refusal = "lossless JPEG with 16 bits"
    elif variant == "JPEG-LS":
        data, refusal = imagecodecs.jpegls_encode(pixels), "JPEG-LS"
    elif variant == "JPEG XL":
        data, refusal = imagecodecs.jpegxl_encode(pixels), "JPEG XL"
    else:
        data, refusal = imagecodecs.jpeg2k_encode(pixels, level=0), "JPEG 2000"
    return Drawn(variant, bytes(data), refusal=refusal)


def jpeg_without_height(rng: random.Random, pixels: Pixels) -> Drawn:
    data = bytearray(save(Image.fromarray(pixels), "JPEG"))
    offset = data.index(b"\xff\xc0")
    lines, data[offset + 5 : offset + 7] = data[offset + 5 : offset + 7], b"\0\0"
    return Drawn(
        "JPEG DNL", bytes(data[:-2] + b"\xff\xdc\0\4" + lines + b"\xff\xd9"), refusal="DNL"
    )


_COLOURS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def png(rng: random.Random, pixels: Pixels) -> Drawn:
    """Every colour type and depth, with any ancillary chunks, and Apple's variant."""
    colour = rng.choice(list(_DEPTHS))
    depth = rng.choice(_DEPTHS[colour])
    height, width, _ = pixels.shape
    levels = 2 ** min(depth, 8) - 1
    if colour == 3:
        index = pixels[..., 0] >> (8 - depth)
        palette = np.arange(levels + 1, dtype=np.uint8)[:, None] * (1, 0, 0) + (0, 90, 200)
        palette = palette.astype(np.uint8)
        samples, expected = index[..., None], palette[index]
    else:
        channels = pixels if colour in (2, 6) else pixels[..., :1]
        samples = np.round(channels / 255 * levels).astype(int)
        expected = np.round(samples / levels * 255).astype(np.uint8)
        expected = expected if colour in (2, 6) else _gray(expected)
        if colour in (4, 6):
            samples = np.concatenate([samples, np.full((height, width, 1), levels)], 2)
        if depth == 16:
            samples = samples * 257
    data = _png(width, height, depth, colour, _rows(samples, depth))
    extra = [] if colour != 3 else [chunk(b"PLTE", palette.tobytes())]
    parts = [data[:33], *_ancillary(rng), *extra, data[33:-12], *_ancillary(rng), data[-12:]]
    if rng.random() < 0.05:
        parts.insert(1, b"")
        parts[0] = data[:8] + chunk(b"CgBI", b"\x50\0\x20\2") + data[8:33]
        return Drawn("PNG CgBI", b"".join(parts), refusal="CgBI")
    return Drawn(f"PNG {colour} {depth}", b"".join(parts), expected)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _rows(samples: NDArray[Any], depth: int) -> bytes:
    height = len(samples)
    flat = samples.reshape(height, -1)
    if depth == 16:
        packed = flat.astype(">u2").view(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(height, -1), axis=1)
    return np.concatenate([np.zeros((height, 1), np.uint8), packed], 1).tobytes()


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(rows, 1)
    half = len(body) // 2
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", body[:half]), chunk(b"IDAT", body[half:])]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def _ancillary(rng: random.Random) -> list[bytes]:
    """Return chunks that do not affect pixels, of any content, some with a wrong checksum."""
    parts = []
    for _ in range(rng.choice((0, 0, 1, 3))):
        name = rng.choice(
            (
                b"gAMA cHRM sRGB iCCP tEXt zTXt iTXt pHYs tIME bKGD hIST sPLT eXIf oFFs sBIT cICP "
                b"acTL fcTL fdAT prVt"
            ).split()
        )
        body = rng.choice((b"", rng.randbytes(9), b"name\0\0" + zlib.compress(bytes(2_000_000))))
        part = bytearray(chunk(name, body))
        if rng.random() < 0.3:
            part[-1] ^= 1
        parts.append(bytes(part))
    return parts


def apng(rng: random.Random, pixels: Pixels) -> Drawn:
    second_frame = Image.fromarray(255 - pixels)
    picture = Image.fromarray(pixels)
    data = save(
        picture,
        "PNG",
        save_all=True,
        append_images=[second_frame],
        default_image=rng.random() < 0.3,
    )
    return Drawn("APNG", data, pixels)


def webp(rng: random.Random, pixels: Pixels) -> Drawn:
    picture = Image.fromarray(pixels)
    is_lossless, has_alpha, is_animated = (rng.random() < 0.4 for _ in range(3))
    if has_alpha:
        picture.putalpha(255)
    options: dict[str, Any] = {"lossless": is_lossless, "quality": 90, "method": 0}
    if is_animated:
        options |= {"save_all": True, "append_images": [Image.fromarray(255 - pixels)]}
    name = f"WebP {'lossless ' * is_lossless}{'alpha ' * has_alpha}{'animated' * is_animated}"
    return Drawn(name, save(picture, "WebP", **options), pixels, 0.5 if is_lossless else 5)


def avif(rng: random.Random, pixels: Pixels) -> Drawn:
    options = {"quality": 90, "speed": 10, "subsampling": rng.choice(("4:4:4", "4:2:0", "4:2:2"))}
    return Drawn(f"AVIF {options}", save(Image.fromarray(pixels), "AVIF", **options), pixels, 6)


def gif(rng: random.Random, pixels: Pixels) -> Drawn:
    picture = Image.fromarray(pixels).quantize(rng.choice((2, 16, 256)))
    options: dict[str, Any] = {
        "interlace": rng.randint(0, 1),
        "comment": b"x" * rng.choice((0, 600)),
    }
    if rng.random() < 0.4:
        options |= {"save_all": True, "append_images": [Image.fromarray(255 - pixels).quantize(8)]}
    return Drawn("GIF", save(picture, "GIF", **options), np.asarray(picture.convert("RGB")))


def bmp(rng: random.Random, pixels: Pixels) -> Drawn:
    picture = Image.fromarray(pixels).convert(rng.choice(("RGB", "L", "1", "P")))
    return Drawn(f"BMP {picture.mode}", save(picture, "BMP"), np.asarray(picture.convert("RGB")))


def tiff(rng: random.Random, pixels: Pixels) -> Drawn:
    """Every mode and compression of Pillow, and 16-bit gray."""
    picture = Image.fromarray(pixels)
    mode = rng.choice(("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "16"))
    if mode == "16":
        values = pixels[..., 0].astype(np.uint16) * 257
        return Drawn("TIFF 16", save(Image.fromarray(values), "TIFF"), _gray(pixels))
    compressions = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]
    if mode in ("RGB", "L"):
        compressions.append("jpeg")
    if mode == "1":
        compressions += ["group3", "group4", "tiff_ccitt"]
    options = {"compression": rng.choice(compressions)}
    picture = picture.convert(mode)
    if rng.random() < 0.2 and mode == "RGB":
        options |= {"save_all": True, "append_images": [Image.fromarray(255 - pixels)]}
    expected = np.asarray(picture.convert("RGB"))
    tolerance = 8 if options["compression"] == "jpeg" else 0.5
    return Drawn(f"TIFF {mode} {options}", save(picture, "TIFF", **options), expected, tolerance)


def refused_tiff(rng: random.Random, pixels: Pixels) -> Drawn:
    picture = Image.fromarray(pixels[..., 0].astype(rng.choice((np.float32, np.int32))))
    return Drawn("TIFF numbers", save(picture, "TIFF"), refusal="TIFF with")


_KINDS: tuple[Callable[[random.Random, Pixels], Drawn], ...] = (
    *(
        jpeg_of_any_sampling,
        jpeg_of_any_sampling,
        jpeg_by_libjpeg,
        mpo,
        lossless_jpeg,
        refused_jpeg,
    ),
    *(
        jpeg_of_other_encoders,
        jpeg_without_height,
        png,
        png,
        apng,
        webp,
        webp,
        avif,
        gif,
        bmp,
        tiff,
    ),
    *(tiff, refused_tiff),
)
