"""Records of a benchmark, with figures that are easy to check."""

from __future__ import annotations

import numpy as np


def record(method: str, draw: int, cases: list[float], noise: str = "morph", **more) -> dict:
    base = {"tier": "quick", "set": "s", "noise": noise, "noise_level": 0.4, "network": "UNet", "trusted": 0.0}
    base |= {"length": 1, "steps": 300, "role": "judging", "path": "bench"}
    figures = {"dice": float(np.mean(cases)), "test_dice": cases, "label_dice": 0.7, "test_disagreement": [0.1, 0.4]}
    return {**base, "method": method, "draw": draw, **figures, **more}


def some_records() -> list[dict]:
    return [
        record("clean", 0, [0.9, 0.9]),
        record("clean", 1, [0.9, 0.9]),
        record("plain", 0, [0.6, 0.8]),
        record("plain", 1, [0.7, 0.7]),
        record("dale", 0, [0.8, 0.8], label_error_auroc=0.97, cleanlab_auroc=0.9),
        record("dale", 1, [0.9, 0.9], label_error_auroc=0.95, cleanlab_auroc=0.9),
    ]
