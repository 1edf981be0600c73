"""Times of things that are compared: taken in turns, with their middle and their spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def taken_in_turns(takes: Sequence[Callable[[], float]], times: int, warm: int = 1) -> list[list[float]]:
    """Seconds of each, `times` of them after `warm` that do not count; who goes first changes."""
    seconds: list[list[float]] = [[] for _ in takes]
    for n in range(warm + times):
        order = range(len(takes))
        for i in order if n % 2 else reversed(order):
            took = takes[i]()
            if n >= warm:
                seconds[i].append(took)
    return seconds


def middle(values: Sequence[float]) -> float:
    return float(np.median(values))


def spread(values: Sequence[float]) -> str:
    """ "1.32 s (1.30 to 1.41)": median, least and most."""
    return f"{middle(values):.3g} s ({min(values):.3g} to {max(values):.3g})"
