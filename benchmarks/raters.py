"""Several raters' labels: how well a rater's bias is told, and what learning from all of them is worth.

    python -m benchmarks.raters --data FOLDER [--only bias|training] [--draws 0,1] [--sets lidc_4rater,bubil1_10rater]

bias: raters are simulated on real labels, with outlines so many mm too far out or in and wandering by a known noise;
the error is the estimated bias less the known one, both against the middle of the raters. On MSD hippocampus, with
voxels of 1 mm, outlines can be moved by whole voxels alone; labels come to less than they were asked for where outlines
lie askew, so that the error is also told against what they came to.

training: networks as small as those of `benchmarks`, alike in seed, steps and images, learn from all raters' labels
together, from the vote of two of them (the outline halfway between; draw 0 takes the first two, draw 1 the next), and
from the vote of all. Dice is that of cases of other patients with the vote of all raters: the middle of their outlines,
and what at least half of them drew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.case_files import read_case, read_reference
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.metrics.rater_agreement import Consensus, RatedCase, consensus_label, rated_case, rater_rows
from DALESegmentLib.engine.metrics.segmentation import contour_offset, mean_dice
from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.preprocessing import PreparedCase, prepare_case
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.rater_labels import note_other_raters

from .cell import Cell
from .data_set import QUICK, DataSet
from .loading import Sample, load
from .small_plan import plan_for
from .training import train_settings

BIASES = {"lidc_4rater": (-1.0, -0.4, 0.0, 0.4, 1.0), "msd_hippocampus": (-1.0, 0.0, 1.0, 2.0, 3.0)}
"""mm, of the simulated raters."""
PANELS = {3: (0, 2, 4), 4: (0, 1, 3, 4), 5: (0, 1, 2, 3, 4)}
"""By number of raters, which of them."""
NOISES = (0.0, 0.5, 1.0)
"""mm, the standard deviation by which outlines wander."""
REAL_LABELS: dict[str, dict[str, str]] = {"lidc_4rater": {"reference": "votes:2"}, "msd_hippocampus": {}}

BUBIL = DataSet(
    name="bubil1_10rater",
    truth="gold",
    raters=tuple(f"r{n}_{tool}" for n in range(1, 6) for tool in ("Amira", "ImageJ")),
    dims=2,
    shrink=2,
    slim=0.5,
    levels=4,
    train=23,
    test=12,
    epochs=20,
    steps_per_epoch=15,
    batch=8,
)
SETS = {"lidc_4rater": QUICK["lidc_4rater"], "bubil1_10rater": BUBIL}
LEARNED = ("all raters", "vote of two", "vote of all")


def bias_errors(data: Path, name: str, noise: float, panel: Sequence[int], cases: int, draw: int) -> dict[str, Any]:
    """Estimated less known bias, in mm, by known bias; the largest error against what these labels came to, wandering
    and rounding to voxels included (`contour_offset` to the truth); and the noise as it was estimated."""
    random, rated = np.random.default_rng([draw, round(100 * noise), *panel]), list[RatedCase]()
    known = [BIASES[name][n] for n in panel]
    drawn_mm: list[list[float]] = [[] for _ in known]
    for source in find_cases(data / name, limit=cases, rater_seed=draw, **REAL_LABELS[name]):
        case = read_case(source)
        truth = read_reference(source, case) if source.reference else case.label
        spacing = case.geometry.array_spacing
        labels = []
        for bias in known:
            drawn = simulate_annotator(truth, spacing, "dilate" if bias >= 0 else "erode", abs(bias), random)
            labels.append(simulate_annotator(drawn, spacing, "walk", noise, random) if noise else drawn)
        for label, own in zip(labels, drawn_mm, strict=True):
            offset = contour_offset(label > 0, truth > 0, spacing)
            own += [] if offset is None else [offset]
        middle = Consensus.of_raters(labels, spacing)
        rated += [rated_case(str(b), source.name, lab, middle, spacing) for b, lab in zip(known, labels, strict=True)]
    rows = rater_rows(rated)
    errors = {r["rater"]: round(r["bias_mm"] - (float(r["rater"]) - float(np.median(known))), 3) for r in rows}
    drawn, found = np.array([np.mean(own) for own in drawn_mm]), np.array([r["bias_mm"] for r in rows])
    return {
        "set": name,
        "raters": len(known),
        "noise_mm": noise,
        "errors_mm": errors,
        "largest_mm": max(abs(error) for error in errors.values()),
        "largest_of_drawn_mm": round(float(np.abs(found - (drawn - np.median(drawn))).max()), 3),
        "noise_found_mm": [round(r["noise_mm"], 2) for r in rows],
    }


def _vote(sample: Sample, raters: Sequence[int]) -> np.ndarray:
    return consensus_label([sample.raters[n] for n in raters], sample.case.geometry.array_spacing)


def learned_cases(samples: Sequence[Sample], plan: Any, learned: str, draw: int) -> list[PreparedCase]:
    """What a network learns from, see `LEARNED`."""
    found: list[PreparedCase] = []
    for sample in samples:
        every = range(len(sample.raters))
        two = [(2 * draw) % len(every), (2 * draw + 1) % len(every)]
        if learned != "all raters":
            label = _vote(sample, two if learned == "vote of two" else every)
            found.append(replace(prepare_case(replace(sample.case, label=label), plan), patient=sample.patient))
            continue
        like = None
        for n in every:
            like = prepare_case(replace(sample.case, label=sample.raters[n]), plan, like)
            name = sample.case.name
            found.append(
                replace(like, name=f"{name}@{n}", patient=sample.patient, of_case=name, rater=str(n), image=like.image)
            )
    note_other_raters(found)
    return found


def train_and_score(wanted: DataSet, data: Path, learned: str, draw: int, method: str) -> dict[str, Any]:
    """Dice with the vote of all raters in cases of other patients."""
    cell = Cell(data=wanted, noise="none", level=0.0, network="UNet", method=method, trusted=0.0, draw=draw)
    samples, device = list(load(wanted, data, "train", draw)), choose_device("auto")
    plan, settings = plan_for(samples, wanted, cell.network, device.type), train_settings(cell)
    torch.manual_seed(cell.seed)
    network = build(plan.network, plan.network_arguments)
    cases = learned_cases(samples, plan, learned, draw)
    trainer = training(plan, settings, network, cases, [], None, device, Progress())
    trainer.fit()
    middle, half = [], []
    tests = load(wanted, data, "test", draw)
    for sample in tests:
        drawn = np.asarray(trainer.predictor.probabilities(sample.case, Progress())).argmax(0)
        middle.append(mean_dice(drawn, _vote(sample, range(len(sample.raters)))))
        votes = np.sum([label > 0 for label in sample.raters], axis=0)
        half.append(mean_dice(drawn, (2 * votes >= len(sample.raters)).astype(int)))
    return {
        "set": wanted.name,
        "learned": learned,
        "method": method,
        "draw": draw,
        "train": len(samples),
        "test": len(tests),
        "steps": len(trainer.history) * wanted.steps_per_epoch,
        "dice_middle": round(float(np.mean([d for d in middle if d is not None])), 4),
        "dice_half": round(float(np.mean([d for d in half if d is not None])), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=("bias", "training"))
    parser.add_argument("--draws", default="0,1", help="of cases, weights and which two raters")
    parser.add_argument("--cases", type=int, default=20, help="of the simulated raters")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--method", choices=("dale", "plain"), default="dale")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.only != "training":
        for name in REAL_LABELS:
            for noise in NOISES:
                for panel in PANELS.values():
                    print(json.dumps(bias_errors(asked.data, name, noise, panel, asked.cases, 0)), flush=True)
    if asked.only != "bias":
        for draw in map(int, asked.draws.split(",")):
            for name in asked.sets.split(","):
                for learned in LEARNED:
                    row = train_and_score(SETS[name], asked.data, learned, draw, asked.method)
                    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
