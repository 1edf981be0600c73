"""Correct, fine-tune, predict, again and again in one engine process: nothing may grow, and nothing slow down."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .lines_engine import LinesEngine
from .small_cases import small_cases

SHORT = {"epochs": 1, "steps_per_epoch": 2, "device": "cpu"}
SETTLED = 5
"""Cycles after which caches are full; growth counts from there."""
ENDS = 20


@dataclass
class Soaked:
    """One value a cycle. memory: bytes; files and threads: how many are open; seconds: of the processor and of the
    clock, for all requests of the cycle."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def memory_growth(self) -> float:
        """Percent, from the mean of the first cycles after it has settled to the mean of the last."""
        n = _end(len(self.memory) - SETTLED)
        first, last = self.memory[SETTLED : SETTLED + n], self.memory[-n:]
        return 100.0 * (float(np.mean(last)) / float(np.mean(first)) - 1.0)

    def slowdown(self, seconds: list[float]) -> float:
        """The slowest of the last cycles to the slowest of the first."""
        n = _end(len(seconds) - SETTLED)
        return max(seconds[-n:]) / max(seconds[SETTLED : SETTLED + n])


def _end(cycles: int) -> int:
    return max(1, min(ENDS, cycles // 3))


def run(root: Path, cycles: int) -> Soaked:
    """root: an empty folder."""
    soaked = Soaked()
    cases = small_cases(root / "cases", 2, trusted=True)
    with LinesEngine() as engine:
        engine.ask("train", {"cases": cases, "out": str(root / "model"), **SHORT})
        for n in range(cycles):
            started, computed = time.monotonic(), engine.processor_seconds()
            _cycle(engine, root, cases, n)
            soaked.seconds.append(time.monotonic() - started)
            soaked.processor.append(engine.processor_seconds() - computed)
            memory, files, threads = engine.used()
            soaked.memory.append(memory)
            soaked.files.append(files)
            soaked.threads.append(threads)
    return soaked


def _cycle(engine: LinesEngine, root: Path, cases: dict, n: int) -> None:
    """The correction moves a box of the first case's label and vouches for it."""
    folder = root / "cases" / "case0"
    label = np.zeros_like(np.load(folder / "label.npy"))
    label[2:5, 3 + n % 4 : 9 + n % 4, 4:10] = 1
    np.save(folder / "label.npy", label)
    model, tuned, out = str(root / "model"), root / "tuned", str(root / "out")
    shutil.rmtree(tuned, ignore_errors=True)
    engine.ask("finetune", {"model": model, "cases": cases, "out": str(tuned), **SHORT})
    engine.ask("review", {"model": str(tuned), "cases": cases, "out": out, "device": "cpu", "overwrite": True})
    engine.ask("predict", {"model": str(tuned), "cases": cases, "out": out, "device": "cpu", "overwrite": True})
    for _ in range(5):
        engine.ask("ping")
