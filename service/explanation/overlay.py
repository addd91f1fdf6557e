"""Draw a heat map over its picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_COLOURS = cv2.COLORMAP_CIVIDIS
"""Dark blue to yellow (Nuñez, Anderton and Renslow 2018), as in /ui: equal steps of the values look
equal, with any colour vision."""
_STRENGTH = 0.6
"""Share of the colour in a pixel; the rest is the picture in gray."""


def draw(image: NDArray[np.uint8], heat_map: NDArray[np.float32]) -> bytes:
    """Draw a heat map over a picture, and return a PNG of the picture's size.

    The picture becomes gray, so that all colours are those of the heat map. Values between the
    regions of the heat map are interpolated linearly.

    Args:
        image: (size, size, 3) uint8 RGB.
        heat_map: (h, w) float32, 0 to 1.
    """
    size = image.shape[1::-1]
    smooth = cv2.resize(heat_map, size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * smooth).round().astype(np.uint8), _COLOURS)
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2BGR)
    blended = cv2.addWeighted(colours, _STRENGTH, gray, 1 - _STRENGTH, 0)
    _, png = cv2.imencode(".png", blended)
    return png.tobytes()
