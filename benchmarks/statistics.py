"""Means, spread, gap recovery and paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
SMALLEST_GAP = 0.01
"""Dice. Where noise costs plain training less, there is nothing to win back and the ratio means nothing."""


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation over draws, with n - 1; None for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def gap_recovery(dale: float, plain: float, clean: float) -> float | None:
    """(DALE - plain) / (clean - plain); None where the gap is below SMALLEST_GAP."""
    return (dale - plain) / (clean - plain) if clean - plain >= SMALLEST_GAP else None


def paired_interval(differences: Sequence[np.ndarray], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean difference.

    differences: one (draws, cases) array a group, DALE - plain of the same draw and case. Draws, and the cases of each,
    are drawn anew with replacement within every group; a group counts once, however many cases it has.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros(RESAMPLES)
    for d in differences:
        s = rng.integers(d.shape[0], size=(RESAMPLES, d.shape[0]))
        c = rng.integers(d.shape[1], size=(RESAMPLES, *d.shape))
        means += d[s[:, :, None], c].mean((1, 2)) / len(differences)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
