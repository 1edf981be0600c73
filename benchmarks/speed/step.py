"""A DALE training step against a plain one, as the benchmark's own cost table measures it, for one cell."""

from __future__ import annotations

from ..cost import cost
from ..data_set import data_set
from .rows import Found, Given, Measured

SET, NETWORK = "lidc_4rater", "UNet"
GOAL = 1.10


def measure(given: Given) -> Found:
    if given.set_folder(SET) is None or given.data is None:
        return {}
    found = cost(data_set(SET, "quick"), NETWORK, given.data, str(given.device))
    reference = f"{SET}, {NETWORK}: plain {found['plain_step_ms']} ms, {found['plain_peak_mib']} MiB at its peak"
    time, memory = found["step_time_ratio"], found["memory_ratio"]
    return {
        "step_time": Measured(time, time <= GOAL, reference),
        "step_memory": Measured(memory, memory <= GOAL, reference),
    }
