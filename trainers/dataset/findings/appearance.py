"""Findings about the size and the mode of pictures, and about pictures without content.

`odd_size` and `odd_mode` compare a picture with the other pictures of the folder. `too_small`
depends on the size of the model's input, and so does `odd_size`, which skips pictures that are too
small.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding, make_finding

MIN_SIDE = 0.5
"""A picture is reported if its shorter side is less than this share of the model's input side."""
MAX_SIDE_RATIO, MAX_ASPECT_RATIO = 4.0, 2.0
"""A picture is reported if its side (the square root of its area) differs from the median side by
more than the factor MAX_SIDE_RATIO, or if its aspect ratio exceeds the median aspect ratio by more
than the factor MAX_ASPECT_RATIO. The first rule skips pictures that `too_small` reports."""

_MODES = {
    "pages": "{have} several pages, but only the first is used: if another page matters, save it "
    "as a separate picture",
    "animated": "{are} animated, but only the first frame is used: if another frame matters, save "
    "it as a separate picture",
    "16-bit": "{have} 16 bits per sample, unlike most pictures: check that {they} {are} as bright "
    "as the others, because the model may learn a difference in brightness",
    "CMYK": "{are} in CMYK, a mode for printing, and {their} colours may change when {they} {are} "
    "converted to RGB: save {them} as RGB",
    "transparent": "{are} transparent, unlike most pictures, and transparent parts become white: "
    "give {them} the same background as the others",
    "palette": "{have} only the few colours of a palette, unlike most pictures: use versions in "
    "full colour if there are any",
    "gray": "{are} gray, unlike most pictures, and the model may learn that difference: this is "
    "fine only if the service will get gray pictures too",
    "coloured": "{are} coloured, unlike most pictures, and the model may learn that difference: "
    "this is fine only if the service will get coloured pictures too",
}
"""The message about the pictures of each mode. The most common mode of a folder is not reported."""


def find_odd_sizes(dataset: Dataset, image_size: int) -> Iterator[Finding]:
    """Find pictures that are small for the model, or unlike the other pictures in size or shape.

    Args:
        dataset: the pictures.
        image_size: side of the model's input in pixels.
    """
    if not len(dataset.paths):
        return
    width, height = (dataset.inspections[side].astype(np.float64) for side in ("width", "height"))
    is_small = np.minimum(width, height) < MIN_SIDE * image_size
    if paths := _paths(dataset, is_small):
        text = (
            f"{{are}} less than half as wide or as high as the model's input ({image_size} x "
            f"{image_size}), so enlarging {{them}} blurs the details: use larger pictures, or a "
            "smaller --image-size"
        )
        yield make_finding("too_small", text, paths)
    side, aspect = np.sqrt(width * height), np.maximum(width, height) / np.minimum(width, height)
    median = np.median(side)
    is_odd = (side > MAX_SIDE_RATIO * median) | (side < median / MAX_SIDE_RATIO)
    is_odd = (is_odd & ~is_small) | (aspect > MAX_ASPECT_RATIO * np.median(aspect))
    if paths := _paths(dataset, is_odd):
        typical = f"{np.median(width):.0f} x {np.median(height):.0f}"
        text = (
            "{have} a size or shape very different from that of most pictures (typically "
            f"{typical}), and the model may learn that difference: check whether {{they}} {{are}} "
            "cut out, stitched or scanned"
        )
        yield make_finding("odd_size", text, paths)


def find_odd_modes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find pictures whose mode differs from the most common mode in the folder."""
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
        yield make_finding("odd_mode", _MODES[name], _paths(dataset, mode == name))


def find_blank_pictures(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find pictures that show only one colour."""
    if paths := _paths(dataset, dataset.inspections["is_blank"]):
        text = (
            "{have} the same colour everywhere when decoded (e.g. all black or fully transparent), "
            "so the model can learn nothing from {them}: replace or remove {them}"
        )
        yield make_finding("blank", text, paths)


def find_narrow_range(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Report all 16-bit pictures if none of them uses all 16 bits."""
    bits = dataset.significant_bits
    if bits < FULL_RANGE_BITS:
        text = (
            f"{{have}} 16 bits per sample, but {{their}} values stay below {2**bits:,} ({bits} "
            "bits). Graft stretches this range to the full range of brightness, in training and in "
            "the service: send the service only pictures with the same range"
        )
        paths = _paths(dataset, dataset.inspections["bits"] == FULL_RANGE_BITS)
        yield make_finding("narrow_range", text, paths)


def _paths(dataset: Dataset, mask: NDArray[np.bool_]) -> list[str]:
    return [dataset.paths[row] for row in np.flatnonzero(mask)]
