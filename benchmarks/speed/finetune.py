"""A fine-tune after five corrected regions against a training from nothing on the same corrected labels: the time that
each takes to the Dice the training from nothing ends with, on cases neither has seen, and to contradict no more of the
confirmed voxels than it does, and clearly fewer than before. Dice alone would show little: the model before the
fine-tune may be level already.

The cases, their spoiled labels, the review and the corrections are the demonstration's; the time of both is that of
their steps and of reading, without the validations on held-out cases that show when they have arrived.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from DALESegmentLib.demo.data import DemoData
from DALESegmentLib.demo.data_folder import folder_data
from DALESegmentLib.demo.simulated_review import load, simulate_review
from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.commands import finetune, review, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.metrics.segmentation import mean_dice
from DALESegmentLib.engine.review.reviewed_voxels import violations

from .rows import Given, Measured, Measurements

SET = "msd_hippocampus"
WORST = 5
SECONDS = 60.0
BUDGETS = (4.0, 5.7, 8.0, 11.3, 16.0, 32.0)
"""Seconds of fine-tunes, tried one after another until one arrives; each pays for its own reading and judging."""
LEVEL = 0.002
"""Dice; two trainings that differ by less are level."""
LEARNED = 0.9
"""Of the confirmed voxels that the model before contradicted, at most so many may still be."""
GOAL = 0.1


def measure(given: Given) -> Measurements:
    folder = given.set_folder(SET)
    if folder is None:
        return {}
    work = given.work / "finetune"
    shutil.rmtree(work, ignore_errors=True)
    data = folder_data(folder, work / "data", 0)
    seconds = 6.0 if given.quick else SECONDS
    unending = {"epochs": 10_000, "validation": 0.0, "normalise": data.normalise, "device": str(given.device)}
    asked: dict[str, Any] = {**unending, "seconds": seconds}
    first = train.run({**asked, "cases": _cases(data, data.train), "out": str(work / "first")}, Progress())["model"]
    corrected = {"items": _corrected(data, first, work, given)}
    started = time.monotonic()
    scratch = train.run({**asked, "cases": corrected, "out": str(work / "scratch")}, Progress())["model"]
    from_nothing, wanted = time.monotonic() - started, _dice(data, scratch, given)
    allowed = _contradicted(corrected["items"], scratch, given)
    before = _contradicted(corrected["items"], first, given)
    took, reached = 0.0, 0.0
    for budget in BUDGETS[:1] if given.quick else BUDGETS:
        started = time.monotonic()
        tuning = {"model": first, "cases": corrected, "seconds": budget, "device": str(given.device)}
        tuned = finetune.run({**tuning, "out": str(work / f"tuned-{budget:g}")}, Progress())
        took, reached = time.monotonic() - started, _dice(data, tuned["model"], given)
        arrived = reached >= wanted - LEVEL and tuned["confirmed_violated"] <= min(allowed, LEARNED * before)
        if arrived:
            break
    ratio = took / from_nothing
    reference = (
        f"{SET}: from nothing {from_nothing:.1f} s to Dice {wanted:.4f}; fine-tune {took:.1f} s to {reached:.4f} "
        f"(before it {_dice(data, first, given):.4f}); of {tuned['confirmed_voxels']} confirmed voxels {allowed} and "
        f"{tuned['confirmed_violated']} are contradicted (before {before})"
        f"{'' if arrived else '; it did not get there'}"
    )
    return {"finetune": Measured(ratio, arrived and ratio <= GOAL, reference)}


def _cases(data: DemoData, names: tuple[str, ...]) -> dict[str, Any]:
    return {"items": data.items(names)}


def _corrected(data: DemoData, model: str, work: Path, given: Given) -> list[dict[str, Any]]:
    asked = {
        "model": model,
        "cases": _cases(data, data.train),
        "out": str(work / "review"),
        "device": str(given.device),
    }
    regions = [Region.from_dict(region) for region in review.run(asked, Progress())["regions"]]
    return simulate_review(data, regions[:WORST], work).items


def _contradicted(items: list[dict[str, Any]], model: str, given: Given) -> int:
    """Confirmed voxels that the model has another class at."""
    network, plan = load_bundle(Path(model), given.device)
    predictor = Predictor(network, plan, given.device)
    count = 0
    for item in items:
        case, _reference = load(item)
        if case.trusted is not None:
            count += violations(case.trusted, case.label, predictor.label(case, Progress()))
    return count


def _dice(data: DemoData, model: str, given: Given) -> float:
    """Mean over the held-out cases, against their reference."""
    network, plan = load_bundle(Path(model), given.device)
    predictor = Predictor(network, plan, given.device)
    scores = []
    for item in data.items(data.test):
        case, reference = load(item)
        scores.append(mean_dice(predictor.label(case, Progress()), reference) or 0.0)
    return sum(scores) / len(scores)
