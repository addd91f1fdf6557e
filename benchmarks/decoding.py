"""Measures the time and memory of decoding, and compares them with the estimates from headers.

    python -m benchmarks.decoding [MEGAPIXELS ...]

Each picture is generated, encoded, and decoded to 224 x 224 pixels, in a separate process. The
table shows the processor time, the additional resident memory, and the stall: the longest time for
which no other Python thread could run. It also shows the time and memory that the service estimates
from the header. By these estimates, the service accepts or refuses a picture. Flat pictures are
small files with many pixels. Noise takes the most work for each pixel. The last line shows the peak
memory of a process in which two threads decode all accepted pictures in random order. The memory
limit of a worker must be above this peak.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import random
import resource
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from service.errors import PayloadTooLarge
from service.imaging import Limits, configure_process, decode, identify_format
from service.imaging.resizing import working_bytes

SIZE = 224
Image.MAX_IMAGE_PIXELS = None
Draw = Callable[[int, int], Image.Image]


def flat(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (10, 120, 40))


def photo(width: int, height: int) -> Image.Image:
    """Draw repeated smooth shapes with a little noise.

    The encoded picture is about as large as a photo with the same number of pixels.
    """
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 256, (64, 48, 3), np.uint8))
    tile = np.asarray(coarse.resize((1024, 768), Image.Resampling.BICUBIC), np.int16)
    tile = (tile + chance.integers(-8, 9, tile.shape)).clip(0, 255).astype(np.uint8)
    repeats = (-(-height // 768), -(-width // 1024), 1)
    return Image.fromarray(np.tile(tile, repeats)[:height, :width])


def noise(width: int, height: int) -> Image.Image:
    tile = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    repeats = (-(-height // 512), -(-width // 512), 1)
    return Image.fromarray(np.tile(tile, repeats)[:height, :width])


def with_alpha(draw: Draw) -> Draw:
    def draw_with_alpha(width: int, height: int) -> Image.Image:
        picture = draw(width, height)
        picture.putalpha(128)
        return picture

    return draw_with_alpha


def as_mode(draw: Draw, mode: str) -> Draw:
    return lambda width, height: draw(width, height).convert(mode)


def gray_16_bit(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.asarray(flat(width, height).convert("L"), np.uint16) * 257)


CASES: dict[str, tuple[Draw, str, dict[str, Any]]] = {
    "JPEG photo": (photo, "JPEG", {"quality": 85}),
    "JPEG noise": (noise, "JPEG", {"quality": 60}),
    "JPEG progressive": (photo, "JPEG", {"quality": 85, "progressive": True}),
    "JPEG progressive 4:4:4": (photo, "JPEG", {"progressive": True, "subsampling": 0}),
    "JPEG CMYK": (as_mode(photo, "CMYK"), "JPEG", {}),
    "PNG photo": (photo, "PNG", {"compress_level": 1}),
    "PNG flat": (flat, "PNG", {}),
    "PNG gray + alpha": (as_mode(with_alpha(flat), "LA"), "PNG", {}),
    "PNG RGBA": (with_alpha(flat), "PNG", {}),
    "PNG palette": (as_mode(flat, "P"), "PNG", {}),
    "PNG 16-bit gray": (gray_16_bit, "PNG", {}),
    "WebP photo": (photo, "WEBP", {"method": 0}),
    "WebP flat": (flat, "WEBP", {"method": 0}),
    "WebP alpha": (with_alpha(flat), "WEBP", {"method": 0}),
    "WebP lossless noise": (noise, "WEBP", {"method": 0, "lossless": True}),
    "AVIF photo": (photo, "AVIF", {"speed": 10}),
    "AVIF noise": (noise, "AVIF", {"speed": 10, "quality": 60}),
    "GIF photo": (photo, "GIF", {}),
    "BMP": (flat, "BMP", {}),
    "TIFF LZW": (flat, "TIFF", {"compression": "tiff_lzw"}),
    "TIFF Deflate": (photo, "TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF JPEG": (photo, "TIFF", {"compression": "jpeg"}),
    "TIFF CMYK": (as_mode(flat, "CMYK"), "TIFF", {}),
}


def peak_resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(data: bytes) -> dict[str, float]:
    """Decode a picture; return the processor time, the additional memory, and the longest stall."""
    configure_process()
    decode(draw_small_jpeg(), SIZE)
    longest_stall, stop = [0.0], threading.Event()
    clock = time.pthread_getcpuclockid(threading.get_ident())  # of the decoding thread

    def watch() -> None:
        last = time.clock_gettime(clock)
        while not stop.wait(0.0005):
            now = time.clock_gettime(clock)
            longest_stall[0], last = max(longest_stall[0], now - last), now

    watcher = threading.Thread(target=watch)
    watcher.start()
    mb_before, started = peak_resident_mb(), time.thread_time()
    decode(data, SIZE)
    seconds, peak = time.thread_time() - started, peak_resident_mb()
    stop.set()
    watcher.join()
    return {"seconds": seconds, "mb": peak - mb_before, "stall_ms": longest_stall[0] * 1000}


def draw_small_jpeg() -> bytes:
    buffer = io.BytesIO()
    flat(64, 64).save(buffer, "JPEG")
    return buffer.getvalue()


def encode(name: str, megapixels: float) -> bytes:
    draw, kind, options = CASES[name]
    width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
    buffer = io.BytesIO()
    draw(width, width * 3 // 4).save(buffer, kind, **options)
    return buffer.getvalue()


def run_in_process(task: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, and return its result."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(task, arguments)


def decode_mixed(folder: str) -> dict[str, float]:
    """Decode each picture of a folder three times, in random order, in two threads.

    Returns:
        The peak of this process's resident memory in MB: `before_mb` before the first picture of
        the folder, `peak_mb` after the last.
    """
    configure_process()
    paths = [path for path in Path(folder).iterdir() for _ in range(3)]
    random.Random(0).shuffle(paths)
    decode(draw_small_jpeg(), SIZE)
    mb_before = peak_resident_mb()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda path: decode(path.read_bytes(), SIZE), paths))
    return {"before_mb": mb_before, "peak_mb": peak_resident_mb()}


def main() -> None:
    sizes = [float(text) for text in sys.argv[1:]] or [12, 50.4]
    print("| picture | megapixels | file, MB | s | estimated s | MB | estimated MB | stall, ms |")
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        for megapixels in sizes:
            for name in CASES:
                data = run_in_process(encode, name, megapixels)
                header = identify_format(data).read_header(data, SIZE)
                memory = header.memory_bytes + working_bytes(header.width, header.height, SIZE)
                row_start = f"| {name} | {header.pixels / 1e6:.0f} | {len(data) / 1e6:.1f} |"
                try:
                    Limits().check(header, memory)
                except PayloadTooLarge:
                    row_end = f"refused | {header.seconds:.2f} | refused | {memory / 1e6:.0f} | |"
                else:
                    (Path(folder) / f"{name}-{megapixels}").write_bytes(data)
                    actual = run_in_process(measure, data)
                    row_end = (
                        f"{actual['seconds']:.2f} | {header.seconds:.2f} | {actual['mb']:.0f} | "
                    )
                    row_end += f"{memory / 1e6:.0f} | {actual['stall_ms']:.0f} |"
                print(row_start, row_end, flush=True)
        print(json.dumps(run_in_process(decode_mixed, folder)))


if __name__ == "__main__":
    main()
