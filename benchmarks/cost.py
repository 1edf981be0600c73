"""What a DALE step costs against a plain one: both in one process, in turns, medians."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from DALESegmentLib.engine.training.trainer import Trainer

from .cell import Cell
from .data_set import DataSet
from .training import make_trainer

WARM = 4
STEPS = 160
MEMORY_STEPS = 4
AT = 0.9
"""Part of the training done: every part of DALE is at work by then."""


def cost(data: DataSet, network: str, folder: Path, device: str = "auto") -> dict[str, float]:
    """step_time_ratio and memory_ratio, DALE over plain, on the same cases with the same network."""
    trainers = {}
    for method in ("plain", "dale"):
        cell = Cell(data=data, noise="morph", level=0.2, network=network, method=method, trusted=0.0, draw=0)
        trainers[method], _, _ = make_trainer(cell, folder, device)
        trainers[method].sampler.seed(0, 0)
        trainers[method].network.train()
    seconds: dict[str, list[float]] = {"plain": [], "dale": []}
    for n in range(WARM + STEPS):
        # who goes first changes, so that neither always finds a warm cache
        for method in ("plain", "dale") if n // 2 % 2 else ("dale", "plain"):
            took = _timed(trainers[method])
            if n >= WARM:
                seconds[method].append(took)
    # stable and fuzzy steps cost differently, and a training has as many of each
    medians = {m: float(np.mean([np.median(s[0::2]), np.median(s[1::2])])) for m, s in seconds.items()}
    memory = {m: max(_peak(t) for _ in range(MEMORY_STEPS)) for m, t in trainers.items()}
    return {
        "step_time_ratio": round(medians["dale"] / medians["plain"], 3),
        "memory_ratio": round(memory["dale"] / memory["plain"], 3),
        "plain_step_ms": round(1000 * medians["plain"], 2),
        "plain_peak_mib": round(memory["plain"] / 2**20, 1),
    }


def _timed(trainer: Trainer) -> float:
    wait: Callable[[], None] = torch.cuda.synchronize if trainer.device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    trainer.train_step(trainer.sampler.draw(trainer.device), AT)
    wait()
    return time.perf_counter() - started


def _peak(trainer: Trainer) -> float:
    """Bytes of tensors at the worst moment of a step: network, gradients and optimiser, and what the step adds."""
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        trainer.train_step(trainer.sampler.draw(trainer.device), AT)
        return float(torch.cuda.max_memory_allocated())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        trainer.train_step(trainer.sampler.draw(trainer.device), AT)
    sizes = [e.nbytes() for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    standing = 3 * sum(p.numel() * p.element_size() for p in trainer.network.parameters())
    return standing + float(np.cumsum(sizes).max(initial=0))
