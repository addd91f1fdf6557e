"""A small encoder for JPEGs of every process, precision, sampling and number of components.

Each Huffman table has codes of one length: 4 bits for DC, 8 bits for AC. So the code of a symbol is
its index in the table, and the encoder stays short. Pictures that are refused by their header have
a header only, with noise behind it.
"""

from __future__ import annotations

import functools
import random
import struct
from collections.abc import Iterable, Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray

Planes = list[NDArray[np.float64]]
Sampling = tuple[tuple[int, int], ...]

_ZIGZAG = sorted(
    range(64),
    key=lambda index: (
        index // 8 + index % 8,
        index // 8 if (index // 8 + index % 8) % 2 else index % 8,
    ),
)
_DC_SYMBOLS = bytes(range(12))
_AC_SYMBOLS = bytes([0, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11))])
_AC_CODES = {symbol: code for code, symbol in enumerate(_AC_SYMBOLS)}
_QUALITY = 4
"""The value of every entry of the quantization table."""
ADOBE_RGB, ADOBE_YCCK = b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame(marker: int, bits: int, size: tuple[int, int], sampling: Sampling) -> bytes:
    """Write a frame header for a width and height."""
    parts = [
        bytes([index + 1, across << 4 | down, 0]) for index, (across, down) in enumerate(sampling)
    ]
    head = struct.pack(">BHHB", bits, size[1], size[0], len(sampling))
    return segment(marker, head + b"".join(parts))


def header_only(marker: int, bits: int, components: int, rng: random.Random) -> bytes:
    """Write the header of a picture that is refused, with noise instead of its scan."""
    sampling = tuple((rng.randint(1, 4), rng.randint(1, 4)) for _ in range(components))
    head = frame(marker, bits, (rng.randint(1, 300), rng.randint(1, 300)), sampling)
    scan = bytes([components, *(value for index in range(components) for value in (index + 1, 0))])
    start = segment(0xDA, scan + b"\1\0\0")
    tables = segment(0xCC, b"\0\1") if marker in range(0xC9, 0xD0) else b""
    return b"\xff\xd8" + tables + head + start + rng.randbytes(200) + b"\xff\xd9"


def encode(
    planes: Planes,
    sampling: Sampling,
    *,
    marker: int = 0xC0,
    restart: int = 0,
    is_interleaved: bool = True,
    first_segments: bytes = b"",
) -> bytes:
    """Encode planes (H, W) of values 0..255, one for each component, at its sampling.

    Args:
        planes: full-size; they are averaged here for a sampling with fewer samples.
        sampling: horizontal and vertical factors.
        marker: SOF0, SOF1 or SOF2 (with spectral selection).
        restart: blocks between restart markers, 0 for none.
        is_interleaved: one scan, or one for each component; progressive has several anyway.
        first_segments: segments before all others.
    """
    height, width = planes[0].shape
    largest = max(a for a, _ in sampling), max(d for _, d in sampling)
    if len(planes) == 1:
        largest = sampling[0]
    blocks = [
        _blocks(plane, factors, largest, (width, height))
        for plane, factors in zip(planes, sampling, strict=True)
    ]
    parts = [b"\xff\xd8", first_segments, segment(0xDB, b"\0" + bytes([_QUALITY]) * 64)]
    parts += [frame(marker, 8, (width, height), sampling)]
    parts += [_table(0x00, _DC_SYMBOLS, 4), _table(0x10, _AC_SYMBOLS, 8)]
    parts += [segment(0xDD, struct.pack(">H", restart))] if restart else []
    components = range(len(planes))
    if marker == 0xC2:
        groups = [components] if _fits_a_unit(sampling) else [[index] for index in components]
        parts += [
            _scan(blocks, sampling, group, (0, 0), restart, (width, height)) for group in groups
        ]
        bands = ((1, 5), (6, 63))
        parts += [
            _scan(blocks, sampling, [index], band, restart, (width, height))
            for index in components
            for band in bands
        ]
    elif is_interleaved and _fits_a_unit(sampling):
        parts.append(_scan(blocks, sampling, components, (0, 63), restart, (width, height)))
    else:
        parts += [
            _scan(blocks, sampling, [index], (0, 63), restart, (width, height))
            for index in components
        ]
    return b"".join([*parts, b"\xff\xd9"])


def encode_lossless(pixels: NDArray[np.uint8], predictor: int = 1) -> bytes:
    """(H, W, channels) uint8 -> SOF3 without subsampling; three channels are RGB."""
    values = pixels.astype(int)
    height, width, channels = values.shape
    left, above, corner = (np.zeros_like(values) for _ in range(3))
    left[:, 1:], above[1:], corner[1:, 1:] = values[:, :-1], values[:-1], values[:-1, :-1]
    prediction = {
        1: left,
        2: above,
        3: corner,
        4: left + above - corner,
        5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1),
        7: (left + above) >> 1,
    }[predictor]
    prediction[0, 1:], prediction[1:, 0], prediction[0, 0] = left[0, 1:], above[1:, 0], 128
    steps = values - prediction
    bits = "".join(_coded(step, f"{abs(step).bit_length():04b}") for step in steps.ravel().tolist())
    parts = [segment(0xEE, ADOBE_RGB)] if channels == 3 else []
    parts += [frame(0xC3, 8, (width, height), ((1, 1),) * channels), _table(0, _DC_SYMBOLS, 4)]
    scan = bytes([channels, *(value for index in range(channels) for value in (index + 1, 0))])
    parts.append(segment(0xDA, scan + bytes([predictor, 0, 0])) + _packed(bits))
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def _fits_a_unit(sampling: Sampling) -> bool:
    """Return whether all components may share a scan: an MCU holds at most 10 blocks."""
    return sum(across * down for across, down in sampling) <= 10


@functools.cache
def _cosines() -> NDArray[np.float64]:
    rows, columns = np.mgrid[:8, :8]
    matrix = np.cos((2 * columns + 1) * rows * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def _blocks(
    plane: NDArray[np.float64],
    factors: tuple[int, int],
    largest: tuple[int, int],
    size: tuple[int, int],
) -> NDArray[np.int64]:
    """Compute the coefficients of a component, (rows, columns, 64) in zigzag order."""
    mcus = (-(-size[1] // (8 * largest[1])), -(-size[0] // (8 * largest[0])))
    high, wide = mcus[0] * factors[1] * 8, mcus[1] * factors[0] * 8
    rows = ((np.arange(high) + 0.5) * largest[1] / factors[1] - 0.5).clip(0, size[1] - 1)
    columns = ((np.arange(wide) + 0.5) * largest[0] / factors[0] - 0.5).clip(0, size[0] - 1)
    samples = plane[np.ix_(rows.round().astype(int), columns.round().astype(int))] - 128
    tiles = samples.reshape(high // 8, 8, wide // 8, 8).transpose(0, 2, 1, 3)
    coefficients = _cosines() @ tiles @ _cosines().T / _QUALITY
    flat = coefficients.round().astype(int).reshape(high // 8, wide // 8, 64)
    return np.asarray(flat[..., _ZIGZAG])


def _scan(
    blocks: list[NDArray[np.int64]],
    sampling: Sampling,
    components: Iterable[int],
    band: tuple[int, int],
    restart: int,
    size: tuple[int, int],
) -> bytes:
    members = list(components)
    head = bytes([len(members), *(value for index in members for value in (index + 1, 0))])
    data, units = [segment(0xDA, head + bytes([*band, 0]))], _units(blocks, sampling, members, size)
    previous_dc = dict.fromkeys(members, 0)
    bits: list[str] = []
    for number, unit in enumerate(units):
        if restart and number and number % restart == 0:
            data += [_packed("".join(bits)), bytes([0xFF, 0xD0 + (number // restart - 1) % 8])]
            bits, previous_dc = [], dict.fromkeys(members, 0)
        for index, block in unit:
            if band[0] == 0:
                step, previous_dc[index] = int(block[0]) - previous_dc[index], int(block[0])
                bits.append(_coded(step, f"{abs(step).bit_length():04b}"))
            if band[1]:
                bits.append(_coded_band(block[max(1, band[0]) : band[1] + 1].tolist()))
    return b"".join([*data, _packed("".join(bits))])


def _units(
    blocks: list[NDArray[np.int64]], sampling: Sampling, members: list[int], size: tuple[int, int]
) -> Iterator[list[tuple[int, NDArray[np.int64]]]]:
    """Yield the units between which a restart marker may stand: MCUs, or blocks of a component."""
    if len(members) == 1:
        index = members[0]
        high, wide = _own_blocks(size, sampling, index)
        for row in range(high):
            for column in range(wide):
                yield [(index, blocks[index][row, column])]
        return
    rows, columns = blocks[0].shape[0] // sampling[0][1], blocks[0].shape[1] // sampling[0][0]
    for row in range(rows):
        for column in range(columns):
            yield [
                (index, blocks[index][row * down + y, column * across + x])
                for index, (across, down) in ((index, sampling[index]) for index in members)
                for y in range(down)
                for x in range(across)
            ]


def _own_blocks(size: tuple[int, int], sampling: Sampling, index: int) -> tuple[int, int]:
    """Return the rows and columns of blocks in a scan of one component, without padding of MCUs."""
    largest = max(a for a, _ in sampling), max(d for _, d in sampling)
    (width, height), (across, down) = size, sampling[index]
    if len(sampling) == 1:
        largest, across, down = (1, 1), 1, 1
    return ceil(ceil(height * down / largest[1]) / 8), ceil(ceil(width * across / largest[0]) / 8)


def _coded(value: int, code: str) -> str:
    length = abs(value).bit_length()
    low = value if value > 0 else value + (1 << length) - 1
    return code + (f"{low:0{length}b}" if length else "")


def _coded_band(values: list[int]) -> str:
    parts, run = [], 0
    for value in values:
        if not value:
            run += 1
            continue
        parts += [f"{_AC_CODES[0xF0]:08b}"] * (run // 16)
        parts.append(_coded(value, f"{_AC_CODES[run % 16 << 4 | abs(value).bit_length()]:08b}"))
        run = 0
    return "".join(parts) + (f"{_AC_CODES[0]:08b}" if run else "")


def _table(table_id: int, symbols: bytes, length: int) -> bytes:
    counts = bytes(len(symbols) if index == length else 0 for index in range(1, 17))
    return segment(0xC4, bytes([table_id]) + counts + symbols)


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits or "1" * 8, 2).to_bytes(len(bits or "1" * 8) // 8).replace(b"\xff", b"\xff\0")
