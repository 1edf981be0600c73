"""A DALE training step against a plain one, as the benchmark's own cost table measures it, for one cell; several times
over, since where tensors happen to lie in memory moves the ratio by some hundredths from one training to the next."""

from __future__ import annotations

import numpy as np

from ..cost import cost
from ..data_set import data_set
from .rows import Given, Measured, Measurements

SET, NETWORK = "lidc_4rater", "UNet"
GOAL = 1.10
TIMES = 7


def measure(given: Given) -> Measurements:
    if given.set_folder(SET) is None or given.data is None:
        return {}
    found = [
        cost(data_set(SET, "quick"), NETWORK, given.data, str(given.device)) for _ in range(1 if given.quick else TIMES)
    ]
    times = [one["step_time_ratio"] for one in found]
    time, memory = float(np.median(times)), float(np.median([one["memory_ratio"] for one in found]))
    plain = np.median([one["plain_step_ms"] for one in found])
    reference = (
        f"{SET}, {NETWORK}, {len(found)} times: {min(times)} to {max(times)}; plain {plain:.1f} ms, "
        f"{found[0]['plain_peak_mib']} MiB at its peak"
    )
    return {
        "step_time": Measured(time, time <= GOAL, reference),
        "step_memory": Measured(memory, memory <= GOAL, reference),
    }
