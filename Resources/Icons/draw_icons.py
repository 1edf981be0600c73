"""Draw the extension's icon: a lesion whose outline is sure on one side and doubtful on the other.

    python Resources/Icons/draw_icons.py

Needs numpy and Pillow; the same picture comes out every time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 128
OVERSAMPLING = 4
BACKGROUND = np.array([38, 50, 56])
LESION = np.array([207, 216, 220])
SURE, DOUBTFUL = np.array([77, 208, 225]), np.array([255, 87, 34])


def icon(size: int = SIZE) -> Image.Image:
    """The icon, size × size pixels, RGBA with rounded corners."""
    n = size * OVERSAMPLING
    y, x = (np.mgrid[:n, :n] + 0.5) / n * 2 - 1
    angle = np.arctan2(y, x)
    radius = np.hypot(x, y)
    edge = 0.52 + 0.06 * np.cos(3 * angle + 0.6)
    doubt = np.clip(0.5 + 0.75 * np.cos(angle - np.pi / 4), 0, 1)  # 1 at the lower right

    inside = 1 / (1 + np.exp((radius - edge) / (0.015 + 0.09 * doubt)))
    colour = BACKGROUND + inside[..., None] * (LESION - BACKGROUND)
    width = 0.035 + 0.12 * doubt
    ring = np.exp(-(((radius - edge) / width) ** 2)) * (1 - 0.25 * doubt)
    outline = SURE + doubt[..., None] * (DOUBTFUL - SURE)
    colour = colour + ring[..., None] * (outline - colour)

    corner = 0.28
    dx, dy = (np.maximum(np.abs(v) - (0.96 - corner), 0) for v in (x, y))
    alpha = 255.0 * (np.hypot(dx, dy) <= corner)
    rgba = np.dstack([colour, alpha])
    rgba = rgba.reshape(size, OVERSAMPLING, size, OVERSAMPLING, 4).mean(axis=(1, 3))
    return Image.fromarray(rgba.round().astype(np.uint8), "RGBA")


if __name__ == "__main__":
    icon().save(Path(__file__).with_name("DALESegment.png"), optimize=True)
