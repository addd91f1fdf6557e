"""Findings about how pictures look: size, mode, nothing to see.

A picture is odd compared with the others of the folder; only "too small" depends on the model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding, counted

MIN_SIDE = 0.5
"""Shorter side of a picture, relative to the side of the model's input."""
MAX_SIDE_RATIO, MAX_ASPECT_RATIO = 4.0, 2.0
"""Side and aspect ratio of a picture, relative to the median of the folder."""

_MODES = {
    "pages": "of several pages: only the first is used; choose another or split {them}",
    "animated": "animated: only the first frame is used; choose another or split {them}",
    "16-bit": "of 16 bits per sample among others of 8: check that all have the same brightness",
    "CMYK": "in CMYK, whose colours shift: save {them} as RGB",
    "transparent": "transparent, laid over white: give {them} the background of the others",
    "palette": "of few colours in a palette: take the originals if there are any",
    "gray": "gray among coloured ones: fine if the service will get gray ones, too",
    "coloured": "coloured among others: fine if the service will get coloured ones, too",
}


def find_odd_sizes(dataset: Dataset, image_size: int) -> Iterator[Finding]:
    """Pictures that are small for the model (side in pixels), or unlike the others in size."""
    if not len(dataset.paths):
        return
    width, height = (dataset.inspections[side].astype(np.float64) for side in ("width", "height"))
    is_small = np.minimum(width, height) < MIN_SIDE * image_size
    if paths := _paths(dataset, is_small):
        text = (
            f"smaller than half of the model's input ({image_size} x {image_size}), so blurred "
            "when enlarged: take larger ones, or a smaller --image-size"
        )
        yield counted("too_small", text, paths)
    side, aspect = np.sqrt(width * height), np.maximum(width, height) / np.minimum(width, height)
    median = np.median(side)
    is_odd = (side > MAX_SIDE_RATIO * median) | (side < median / MAX_SIDE_RATIO)
    is_odd = (is_odd & ~is_small) | (aspect > MAX_ASPECT_RATIO * np.median(aspect))
    if paths := _paths(dataset, is_odd):
        typical = f"{np.median(width):.0f} x {np.median(height):.0f}"
        text = (
            f"of another size or shape than the rest (typically {typical}): check that {{they}} "
            "{are} not cut out, stitched or scanned"
        )
        yield counted("odd_size", text, paths)


def find_odd_modes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Pictures in another mode than most: a folder of one mode is fine, whichever it is."""
    inspections = dataset.inspections
    tests = [
        (inspections["frames"] > 1) & (inspections["format"] == b"TIFF"),
        inspections["frames"] > 1,
        inspections["bits"] == 16,
        np.isin(inspections["mode"], [b"CMYK", b"YCCK"]),
        inspections["is_transparent"],
        inspections["mode"] == b"P",
        np.isin(inspections["mode"], [b"L", b"1", b"LA", b"I;16", b"I"]),
    ]
    names = np.array(list(_MODES))
    mode = names[np.select(tests, range(len(tests)), default=len(tests))]
    present, counts = np.unique(mode, return_counts=True)
    for name in present[np.argsort(-counts)][1:]:
        yield counted("odd_mode", _MODES[name], _paths(dataset, mode == name))


def find_blank_pictures(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Pictures of a single colour."""
    if paths := _paths(dataset, dataset.inspections["is_blank"]):
        text = (
            "of one colour everywhere, once decoded (black, or transparent throughout): replace or "
            "remove {them}"
        )
        yield counted("blank", text, paths)


def find_narrow_range(dataset: Dataset, _: int) -> Iterator[Finding]:
    """16-bit pictures that use only some of their bits."""
    bits = dataset.significant_bits
    if bits < FULL_RANGE_BITS:
        text = (
            f"of 16 bits per sample whose values stay below {2**bits:,} ({bits} bits): Graft "
            "stretches that range to the model's, in training and in the service; send the service "
            "pictures of the same range"
        )
        paths = _paths(dataset, dataset.inspections["bits"] == FULL_RANGE_BITS)
        yield counted("narrow_range", text, paths)


def _paths(dataset: Dataset, mask: NDArray[np.bool_]) -> list[str]:
    return [dataset.paths[row] for row in np.flatnonzero(mask)]
