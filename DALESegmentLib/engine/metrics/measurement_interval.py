"""Volume and longest diameter with an interval that is calibrated on cases the model was validated on.

Let a be the logarithm of what an annotator's label measures, m of what the model measures on the same image, t of the
true figure. On the n validation cases only d = m - a is known. Let e_i be the mean of d without case i. Then

    shift - half = the r-th smallest of  e_i - |d_i - e_i|,   r = ⌊(1 - level) (n + 1)⌋
    shift + half = the r-th largest  of  e_i + |d_i - e_i|

holds the d of a further case with at least the probability `level`, whatever the distribution of d, if cases are
exchangeable. These are the ends of the jackknife+ (Barber et al., Predictive inference with the jackknife+, Annals of
Statistics 2021). In general that promises less; but where a mean is all that is fitted, a value y lies between e_i ±
|d_i - e_i| if and only if it is no further than d_i from the mean of d and y together, so that the interval is the set
of full conformal prediction (Vovk et al., Algorithmic learning in a random world, 2005), which promises the level.

    no label:                t in  (m - shift) ± half
    a label, case unseen:    t in  (a + m - shift) / 2 ± half / 2
    a label learned from:    t in  a ± half

The first holds what an annotator such as those of the validation would outline, at the stated level, if new cases are
like those. For the second let a - t and m - shift - t be independent and one of them symmetric about 0: then their
half sum is distributed as their half difference, which is (d - shift) / 2, so that the same interval serves at half the
width. A model that has learned from the very label is not independent of it; there the whole width is put about the
label, which holds too often rather than too seldom. Independence and symmetry are a model: how often the interval holds
the truth is measured in benchmarks/reliability.

An interval that does not hold the measured value itself, since the model's bias is larger than its spread, is widened
to it: a reader could make no sense of it otherwise, and wider it holds the truth all the more often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.9
FEWEST = math.ceil(round(LEVEL / (1 - LEVEL), 9))
"""With fewer cases no interval holds at the level, however wide."""


@dataclass(frozen=True)
class Calibration:
    """shift, half: of log(model / label), as above; cases: how many it comes from."""

    shift: float
    half: float
    cases: int


@dataclass(frozen=True)
class Interval:
    """value: as measured. low, high: the ends of the interval; None where there is no calibration."""

    value: float
    low: float | None = None
    high: float | None = None


def fit_calibration(model: Sequence[float], label: Sequence[float]) -> Calibration | None:
    """From what both measure on the same cases, (n,) in one unit. Cases where one of them measures nothing say
    nothing; None where fewer than 9 are left."""
    pairs = np.array([(m, a) for m, a in zip(model, label, strict=True) if m > 0 and a > 0])
    if len(pairs) < FEWEST:
        return None
    d = np.log(pairs[:, 0]) - np.log(pairs[:, 1])
    without = (d.sum() - d) / (len(d) - 1)
    residual = np.abs(d - without)
    rank = math.floor(round((1 - LEVEL) * (len(d) + 1), 9))
    low = float(np.sort(without - residual)[rank - 1])
    high = float(np.sort(without + residual)[-rank])
    return Calibration((low + high) / 2, (high - low) / 2, len(d))


def interval_for_prediction(value: float, calibration: Calibration | None) -> Interval:
    """Of an image without a label; value: what the model measures."""
    if calibration is None or value <= 0:
        return Interval(value)
    return _about(value, math.log(value) - calibration.shift, calibration.half)


def interval_for_label(
    label: float, model: float, calibration: Calibration | None, unseen: bool, open_share: float = 1.0
) -> Interval:
    """Of a labelled image. model: what the model measures; unseen: whether it did not learn from this label.

    open_share: of the outline, what nobody has confirmed; with less of it the interval draws in towards the label in
    proportion, which is a heuristic, but for its ends 0 and 1.
    """
    if calibration is None or label <= 0:
        return Interval(label)
    a = math.log(label)
    if not unseen or model <= 0:
        return _about(label, a, open_share * calibration.half)
    middle = (a + math.log(model) - calibration.shift) / 2
    return _about(label, a + open_share * (middle - a), open_share * calibration.half / 2)


def _about(value: float, middle: float, half: float) -> Interval:
    """Widened to the value itself where a bias lies beyond the interval: it then holds more often than it says."""
    return Interval(value, min(value, math.exp(middle - half)), max(value, math.exp(middle + half)))
