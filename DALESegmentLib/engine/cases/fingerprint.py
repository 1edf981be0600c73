"""What tells an image from any other, whatever its file and its case are called."""

from __future__ import annotations

import hashlib

import numpy as np


def image_fingerprint(image: np.ndarray) -> str:
    """BLAKE2b (128 bits, hex) of the first channel of (C, *grid) as float32."""
    first = np.ascontiguousarray(image[0], np.float32)
    return hashlib.blake2b(first.tobytes(), digest_size=16).hexdigest()
