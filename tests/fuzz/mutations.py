"""Makes damaged pictures, each from a seed and a number.

`mutated(seed, number)` draws one of the valid pictures, and damages it one to three times: in its
bits, its length, its segments or chunks (with correct checksums, so that the damage reaches the
decoder), and in the sizes that it claims.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

Parts = list[bytes]
Mutation = Callable[[bytes, random.Random], bytes]
_ORIENTATION = 0x0112


@functools.cache
def valid_pictures() -> dict[str, bytes]:
    """Draw small pictures of every kind that the service reads, by name."""
    smooth = np.indices((75, 100)).sum(0)[..., None] * (1, 2, 3) % 256
    noise = np.random.default_rng(0).integers(-30, 30, smooth.shape)
    rgb = Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))
    gray16 = Image.fromarray((smooth[..., 0] * 257).astype(np.uint16))
    layered = rgb.convert("RGBA")
    layered.putalpha(rgb.convert("L"))
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    exif[0x010E] = "leaf" * 200
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    variants: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "JPEG": (rgb, "JPEG", {"quality": 90}),
        "JPEG 444": (rgb, "JPEG", {"subsampling": 0, "comment": b"a leaf"}),
        "JPEG progressive": (rgb, "JPEG", {"progressive": True}),
        "JPEG restarts": (rgb, "JPEG", {"restart_marker_blocks": 2}),
        "JPEG gray": (rgb.convert("L"), "JPEG", {}),
        "JPEG CMYK": (rgb.convert("CMYK"), "JPEG", {}),
        "JPEG EXIF": (rgb, "JPEG", {"exif": exif, "icc_profile": bytes(range(256)) * 4}),
        "JPEG large": (rgb.resize((700, 500)), "JPEG", {"quality": 40}),
        "PNG": (rgb, "PNG", {}),
        "PNG gray": (rgb.convert("L"), "PNG", {}),
        "PNG 16 bits": (gray16, "PNG", {}),
        "PNG palette": (rgb.quantize(20), "PNG", {"transparency": 3}),
        "PNG 1 bit": (rgb.convert("1"), "PNG", {}),
        "PNG alpha": (layered, "PNG", {"exif": exif}),
        "PNG gray alpha": (layered.convert("LA"), "PNG", {}),
        "PNG key colour": (rgb, "PNG", {"transparency": (1, 2, 3)}),
        "PNG animated": (rgb, "PNG", frames),
        "WebP": (rgb, "WebP", {"exif": exif}),
        "WebP lossless": (rgb, "WebP", {"lossless": True}),
        "WebP alpha": (layered, "WebP", {}),
        "WebP animated": (rgb, "WebP", frames),
    }
    pictures = {}
    for name, (image, kind, options) in variants.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        pictures[name] = buffer.getvalue()
    thumbnail = pictures["JPEG gray"]
    segment = b"Exif\0\0" + thumbnail
    pictures["JPEG thumbnail"] = _segment(0xE1, segment).join(_cut(pictures["JPEG"], 2))
    pictures["PNG interlaced"] = interlaced_png()
    return pictures


def interlaced_png(side: int = 8, colour: int = 2, depth: int = 16) -> bytes:
    """Write Adam7 with 16 bits a channel, which Pillow reads but does not write."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    rows = b""
    for left, top, across, down in (*passes, (0, 1, 1, 2)):
        row = b"".join(bytes((x * 30, 0, 99, 0, 200, 0)) for x in range(left, side, across))
        rows += b"".join(b"\0" + row for _ in range(top, side, down) if row)
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 1)
    return _png([b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"])


def mutated(seed: int, number: int) -> tuple[str, bytes]:
    """Make picture `number` of a seed; return its name (picture and mutations) and its bytes."""
    rng = random.Random(f"{seed}/{number}")
    name, data = rng.choice(list(valid_pictures().items()))
    names = [name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        data = mutation(data, rng)
        names.append(mutation.__name__)
    return ", ".join(names), data


# Damage anywhere in the file


def flipped_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        # Half of them in the header: a flip in the middle often changes only a few pixels.
        end = len(data) if rng.random() < 0.5 else min(len(data), 200)
        if end:
            damaged[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def interesting_bytes(data: bytes, rng: random.Random) -> bytes:
    value = rng.choice((b"\0", b"\xff", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff" * 4))
    offset = rng.randrange(len(data) + 1)
    return data[:offset] + value + data[offset + len(value) :]


def truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def removed(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 16, 200)) :]


def inserted(data: bytes, rng: random.Random) -> bytes:
    garbage = rng.choice((rng.randbytes(rng.randrange(1, 300)), b"\xff" * 500, bytes(5000)))
    return garbage.join(_cut(data, rng.randrange(len(data) + 1)))


def repeated(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.choice((2, 20, 600))]
    return data[:start] + piece * rng.choice((2, 3, 50)) + data[start + len(piece) :]


def spliced(data: bytes, rng: random.Random) -> bytes:
    other_data = rng.choice(list(valid_pictures().values()))
    return data[: rng.randrange(len(data) + 1)] + other_data[rng.randrange(len(other_data)) :]


def trailing(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((rng.randbytes(1000), data, b"\xff\xda\xff\xd8\xff"))


# Damage to the structure


def wrong_length(data: bytes, rng: random.Random) -> bytes:
    """Give a segment or chunk a wrong length."""
    parts = _split(data)
    index = rng.randrange(len(parts))
    length = rng.choice(
        (0, 1, 2, 3, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(8))
    )
    part = parts[index]
    if data.startswith(b"\xff\xd8"):
        parts[index] = part[:2] + struct.pack(">H", length & 0xFFFF) + part[4:]
    elif data.startswith(b"\x89PNG"):
        parts[index] = struct.pack(">I", length) + part[4:]
    else:
        parts[index] = part[:4] + struct.pack("<I", length) + part[8:]
    return b"".join(parts)


def shuffled(data: bytes, rng: random.Random) -> bytes:
    parts = _split(data)
    index, other_index = rng.randrange(len(parts)), rng.randrange(len(parts))
    parts[index], parts[other_index] = parts[other_index], parts[index]
    return b"".join(parts)


def doubled(data: bytes, rng: random.Random) -> bytes:
    parts = _split(data)
    index = rng.randrange(len(parts))
    return b"".join([*parts[:index], parts[index], *parts[rng.randrange(index + 1) :]])


def borrowed(data: bytes, rng: random.Random) -> bytes:
    """Insert a segment or chunk of another picture: a second frame, another palette."""
    parts, other_parts = _split(data), _split(rng.choice(list(valid_pictures().values())))
    parts.insert(rng.randrange(1, len(parts) + 1), rng.choice(other_parts))
    return b"".join(parts)


def damaged_part(data: bytes, rng: random.Random) -> bytes:
    """Flip bits inside a chunk, and correct its checksum."""
    parts = _split(data)
    index = rng.randrange(len(parts))
    if data.startswith(b"\x89PNG") and index:
        body = parts[index][4:-4]
        parts[index] = _chunk(body[:4] + flipped_bits(body[4:], rng))
    else:
        head = 4 if data.startswith(b"\xff\xd8") else 8
        parts[index] = parts[index][:head] + flipped_bits(parts[index][head:], rng)
    return b"".join(parts)


def wrong_size(data: bytes, rng: random.Random) -> bytes:
    """Claim another width or height, in a header with a correct checksum."""
    side = rng.choice((0, 1, 2, 99, 101, 5000, 16_383, 65_535, 2**31 - 1, 2**32 - 1))
    if data.startswith(b"\xff\xd8"):
        frames = [part for part in _split(data) if part[:1] == b"\xff" and 0xC0 <= part[1] <= 0xC2]
        if not frames:
            return data
        frame = bytearray(frames[0])
        offset = rng.choice((5, 7))
        frame[offset : offset + 2] = struct.pack(">H", side & 0xFFFF)
        return data.replace(frames[0], bytes(frame), 1)
    if data.startswith(b"\x89PNG"):
        if len(parts := _split(data)) < 2:
            return data
        header = bytearray(parts[1][4:-4].ljust(17, b"\0"))
        offset = rng.choice((4, 8))
        header[offset : offset + 4] = struct.pack(">I", side)
        return b"".join([parts[0], _chunk(bytes(header)), *parts[2:]])
    offset = rng.choice((24, 26, 27, 28))  # canvas of VP8X, or sides of VP8
    return data[:offset] + struct.pack("<H", side & 0xFFFF) + data[offset + 2 :]


def large_metadata(data: bytes, rng: random.Random) -> bytes:
    """Insert an EXIF block of up to 64 kB whose entries have random types, counts and offsets."""
    count = rng.choice((1, 50, 5000))
    entries = b"".join(
        struct.pack(
            ">HHII",
            _ORIENTATION if number == 0 else rng.getrandbits(16),
            rng.randrange(14),
            rng.choice((0, 1, 4, 5000, 0xFFFFFFFF)),
            rng.choice((0, 1, 6, 8, 9000, 0xFFFFFFFF)),
        )
        for number in range(count)
    )
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", rng.choice((count, 65_535))) + entries
    if data.startswith(b"\xff\xd8"):
        return _segment(0xE1, b"Exif\0\0" + exif).join(_cut(data, 2))
    if data.startswith(b"\x89PNG"):
        return _chunk(b"eXIf" + exif).join(_cut(data, 33))
    chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif
    return data[:4] + struct.pack("<I", len(data) + len(chunk) - 8) + data[8:] + chunk


MUTATIONS: tuple[Mutation, ...] = (
    *(flipped_bits, flipped_bits, interesting_bytes, truncated, removed, inserted, repeated),
    *(spliced, trailing, wrong_length, shuffled, doubled, borrowed, damaged_part, damaged_part),
    *(wrong_size, large_metadata),
)


def _split(data: bytes) -> Parts:
    """Split a file into its signature and chunks, or segments; the rest is one last part."""
    if data.startswith(b"\xff\xd8"):
        return _segments(data)
    is_png = data.startswith(b"\x89PNG")
    start = 8 if is_png else 12
    parts = [data[:start]]
    while start < len(data):
        length = int.from_bytes(
            data[start : start + 4] if is_png else data[start + 4 : start + 8][::-1]
        )
        end = start + (length + 12 if is_png else 8 + length + length % 2)
        parts.append(data[start:end])
        start = end
    return parts


def _segments(data: bytes) -> Parts:
    parts, start = [data[:2]], 2
    while start < len(data):
        length = int.from_bytes(data[start + 2 : start + 4])
        is_scan = data[start : start + 2] == b"\xff\xda"
        end = len(data) if is_scan or data[start] != 0xFF else start + 2 + length
        parts.append(data[start:end])
        start = end
    return parts


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _chunk(body: bytes) -> bytes:
    return struct.pack(">I", max(0, len(body) - 4)) + body + struct.pack(">I", zlib.crc32(body))


def _png(bodies: list[bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, bodies))


def _cut(data: bytes, offset: int) -> tuple[bytes, bytes]:
    return data[:offset], data[offset:]
