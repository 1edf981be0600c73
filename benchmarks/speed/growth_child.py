"""One step of the work on so many cases after the other, in a process of its own:

    python -m benchmarks.speed.growth_child STEP FOLDER COUNT [COUNT ...]

FOLDER is what `growth` made. Prints as one line of JSON, for each COUNT, the seconds of every part of the step and the
most bytes that the process held meanwhile.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from DALESegmentLib.engine.commands import confidence, evaluate, inspect, review, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.training.callbacks import RunOutputs
from DALESegmentLib.engine.training.trainer import Trainer

PATCHES = 2
"""Patches a step; an epoch has as many patches as there are cases."""
Parts = dict[str, float]


def main(step: str, folder: Path, *counts: int) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print(json.dumps([_measured(step, folder, count) for count in counts]))


def cases_of(folder: Path, count: int) -> Path:
    return folder / f"cases-{count}"


def run_of(folder: Path, count: int) -> Path:
    return folder / f"run-{count}"


def predictions_of(folder: Path) -> Path:
    """Of the most cases; those of fewer are among them."""
    return folder / "predictions"


def _measured(step: str, folder: Path, count: int) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is counted from here on
    started = time.perf_counter()
    parts = STEPS[step](folder, count) or {step: time.perf_counter() - started}
    return {"count": count, "seconds": parts, "peak": _status("VmHWM")}


def _status(name: str) -> int:
    """Bytes, as Linux reports them."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def _inspect(folder: Path, count: int) -> Parts:
    inspect.run({"cases": {"folder": str(cases_of(folder, count))}}, Progress())
    return {}


def _train(folder: Path, count: int) -> Parts:
    """From the files to the end of the training, whose parts are timed where they are called."""
    asked: dict[str, Any] = {"cases": {"folder": str(cases_of(folder, count))}, "out": str(run_of(folder, count))}
    asked |= {"epochs": 1, "batch_size": PATCHES, "steps_per_epoch": -(-count // PATCHES), "validation": 0.0}
    spent: Counter[str] = Counter()
    with (
        _timed(train, "_started", spent, "prepare"),
        _timed(train, "prepare_run", spent, "prepare"),
        _timed(Trainer, "_epoch", spent, "epoch"),
        _timed(RunOutputs, "_write", spent, "checkpoint"),
    ):
        train.run({**asked, "dims": 3, "device": "cpu", "overwrite": True}, Progress())
    spent["epoch"] -= spent["checkpoint"]  # which is written inside it
    return dict(spent)


@contextmanager
def _timed(owner: Any, name: str, spent: Counter[str], part: str) -> Iterator[None]:
    """For the block, the seconds of all calls are added to those of the part."""
    original = getattr(owner, name)

    def call(*given: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*given, **more)
        finally:
            spent[part] += time.perf_counter() - started

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _review(folder: Path, count: int) -> Parts:
    review.run(_with_model(folder, count, "review"), Progress())
    return {}


def _confidence(folder: Path, count: int) -> Parts:
    confidence.run(_with_model(folder, count, "confidence"), Progress())
    return {}


def _with_model(folder: Path, count: int, step: str) -> dict[str, Any]:
    model, out = run_of(folder, count), folder / f"{step}-{count}"
    cases = {"folder": str(cases_of(folder, count))}
    return {"model": str(model), "cases": cases, "out": str(out), "device": "cpu", "overwrite": True}


def _evaluate(folder: Path, count: int) -> Parts:
    asked = {"cases": {"folder": str(cases_of(folder, count))}, "predictions": str(predictions_of(folder))}
    evaluate.run(asked, Progress())
    return {}


STEPS: dict[str, Callable[[Path, int], Parts]] = {
    "inspect": _inspect,
    "train": _train,
    "review": _review,
    "confidence": _confidence,
    "evaluate": _evaluate,
}
"""Each returns the seconds of its parts; nothing where it has none."""

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
