"""nnU-Net's predictor with its windows summed in single precision.

It sums them in half precision, in which the weights of a window's corners, 1e-6 of its middle, are a few steps of the
smallest number: what one window alone says there comes out with errors of up to a half.
"""

from __future__ import annotations

from typing import Any

import torch


class SinglePrecision:
    """torch, but for the one type."""

    half = torch.float32

    def __getattr__(self, name: str) -> object:
        return getattr(torch, name)


def replacements() -> dict[str, Any]:
    """For attributes of `nnunetv2.inference.predict_from_raw_data`."""
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    return {"torch": SinglePrecision(), "compute_gaussian": lambda *a, **more: compute_gaussian(*a, **more).float()}
