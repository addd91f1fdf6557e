"""What is odd about how pictures look: sizes, modes, nothing to see.

What is odd is so among the others of the folder, but for what is too small for the model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding, counted

TOO_SMALL = 0.5
"""Side of a picture to that of the model's input."""
ODD_SIDE, ODD_SHAPE = 4.0, 2.0
"""How many times larger, or longer for its width, than the folder's median a picture may be."""

_MODES = {
    "pages": "of several pages: the first counts; choose another or cut {them} apart",
    "animated": "animated: the first frame counts; choose another or cut {them} apart",
    "16-bit": "of 16 bits per sample among others of 8: check that all have the same brightness",
    "CMYK": "in CMYK, whose colours shift: save {them} as RGB",
    "transparent": "transparent, laid over white: give {them} the background of the others",
    "palette": "of few colours in a palette: take the originals if there are any",
    "gray": "gray among coloured ones: fine if the service will get gray ones, too",
    "coloured": "coloured among others: fine if the service will get coloured ones, too",
}


def examine(dataset: Dataset, image_size: int) -> Iterator[Finding]:
    """Everything that is odd.

    Args:
        image_size: side of the model's input, in pixels.
    """
    yield from _sizes(dataset, image_size)
    yield from _modes(dataset)
    yield from _content(dataset)


def _sizes(dataset: Dataset, image_size: int) -> Iterator[Finding]:
    if not len(dataset.paths):
        return
    width, height = (dataset.looks[side].astype(np.float64) for side in ("width", "height"))
    is_small = np.minimum(width, height) < TOO_SMALL * image_size
    paths = _where(dataset, is_small)
    if paths:
        text = (
            f"smaller than half of the model's input ({image_size} x {image_size}), so blurred "
            "when enlarged: take larger ones, or a smaller --image-size"
        )
        yield counted("too_small", text, paths)
    side, shape = np.sqrt(width * height), np.maximum(width, height) / np.minimum(width, height)
    is_odd = (side > ODD_SIDE * np.median(side)) | (side < np.median(side) / ODD_SIDE)
    is_odd = (is_odd & ~is_small) | (shape > ODD_SHAPE * np.median(shape))
    paths = _where(dataset, is_odd)
    if paths:
        typical = f"{np.median(width):.0f} x {np.median(height):.0f}"
        text = (
            f"of another size or shape than the rest (typically {typical}): check that {{they}} "
            "{are} not cut out, stitched or scanned"
        )
        yield counted("odd_size", text, paths)


def _modes(dataset: Dataset) -> Iterator[Finding]:
    """A folder of one mode is fine, whichever it is; where there are several, the rarer are odd."""
    looks = dataset.looks
    is_gray = np.isin(looks["mode"], [b"L", b"1", b"LA", b"I;16", b"I"])
    tests = [
        (looks["frames"] > 1) & (looks["format"] == b"TIFF"),
        looks["frames"] > 1,
        looks["bits"] == 16,
        np.isin(looks["mode"], [b"CMYK", b"YCCK"]),
        looks["is_transparent"],
        looks["mode"] == b"P",
        is_gray,
    ]
    names = np.array(list(_MODES))
    mode = names[np.select(tests, range(len(tests)), default=len(tests))]
    present, counts = np.unique(mode, return_counts=True)
    for name in present[np.argsort(-counts)][1:]:
        yield counted("odd_mode", _MODES[name], _where(dataset, mode == name))


def _content(dataset: Dataset) -> Iterator[Finding]:
    """Pictures that show nothing, and 16 bits of which only some are used."""
    looks, bits = dataset.looks, dataset.significant_bits
    if paths := _where(dataset, looks["is_blank"]):
        text = (
            "of one colour everywhere, once decoded (black, or transparent throughout): replace or "
            "remove {them}"
        )
        yield counted("blank", text, paths)
    if bits < FULL_RANGE_BITS:
        text = (
            f"of 16 bits per sample whose values stay below {2**bits:,} ({bits} bits): that range "
            "is spread over the model's, here and when it serves; send it pictures of that scale"
        )
        yield counted("narrow_range", text, _where(dataset, looks["bits"] == FULL_RANGE_BITS))


def _where(dataset: Dataset, rows: NDArray[np.bool_]) -> list[str]:
    return [dataset.paths[row] for row in np.flatnonzero(rows)]
