"""What becomes of a model's classes when it learns a new one from cases where nothing else is labelled.

    python -m benchmarks.pretrained --data FOLDER [--draws 0,1,2] [--cases 20] [--epochs 12]

A model learns the anterior hippocampus on some cases of MSD hippocampus, drawn by the draw, which is also the seed.
Then it learns the posterior one on as many others, whose labels have nothing else:

    rehearsal            the anterior one is learned where the model before draws it (`train --pretrained-weights`)
    background           what is not labelled is learned as background
    both labelled        the same cases with both labels: what rehearsal stands in for

Dice is that of test cases with their labels, the mean over cases; the rows with the lowest Dice of the class kept are
first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DALESegmentLib.engine.bundle.open_model import open_model
from DALESegmentLib.engine.commands import train
from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.io.case import Case, CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.metrics.segmentation import dice

SET = "msd_hippocampus"
KEPT, NEW = ("anterior", 1), ("posterior", 2)
TESTED = 20


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", default="0,1,2")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for draw in map(int, asked.draws.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            rows += measured(asked.data, Path(folder), draw, asked.cases, asked.epochs)
        print(f"draw {draw} done", flush=True)
    print(f"| how | draw | {KEPT[0]} before | {KEPT[0]} after | {NEW[0]} after |\n|---|---|---|---|---|")
    for row in sorted(rows, key=lambda each: each["kept"]):
        print(f"| {row['how']} | {row['draw']} | {row['before']:.3f} | {row['kept']:.3f} | {row['new']:.3f} |")


def measured(data: Path, folder: Path, draw: int, cases: int, epochs: int) -> list[dict[str, Any]]:
    """A row each way to go on."""
    learned = find_cases(data / SET, split="train")
    order = [learned[i] for i in np.random.default_rng(draw).permutation(len(learned))[: 2 * cases]]
    tested = [read_case(source) for source in find_cases(data / SET, split="test", limit=TESTED)]
    first = write_set(folder / "first", order[:cases], {KEPT[0]: KEPT[1]}, [KEPT[0]])
    sets = {
        "rehearsal": write_set(folder / "new", order[cases:], {NEW[0]: NEW[1]}, [NEW[0]]),
        "background": write_set(folder / "background", order[cases:], {NEW[0]: NEW[1]}, [NEW[0], KEPT[0]]),
        "both labelled": write_set(folder / "both", order[cases:], dict([NEW, KEPT]), [NEW[0], KEPT[0]]),
    }
    settings = {"seed": draw, "epochs": epochs, "steps_per_epoch": 20, "validation": 0.0}
    train.run({"cases": {"folder": str(first)}, "out": str(folder / "model"), **settings}, Progress())
    before = scores(folder / "model", tested)[KEPT[0]]
    rows = []
    for how, labelled in sets.items():
        out = folder / f"run {how}"
        asked = {"cases": {"folder": str(labelled)}, "out": str(out)}
        train.run({**asked, "pretrained_weights": str(folder / "model"), **settings}, Progress())
        after = scores(out, tested)
        rows.append({"how": how, "draw": draw, "before": before, "kept": after[KEPT[0]], "new": after[NEW[0]]})
    return rows


def write_set(folder: Path, sources: Sequence[CaseSource], labels: dict[str, int], named: Sequence[str]) -> Path:
    """Cases with the classes `labels` ({name: value in the source}) alone. named: the classes that the set's
    dataset.json names, in the order of their values there, which is not that of the sources."""
    for source in sources:
        case = read_case(source)
        assert case.label is not None
        label = np.zeros(case.label.shape, np.uint8)
        for name, value in labels.items():
            label[case.label == value] = 1 + named.index(name)
        write_image(folder / source.name / "image.nii.gz", case.image, case.geometry)
        write_image(folder / source.name / "label.nii.gz", label, case.geometry)
    said = {"0": "background"} | {str(n): name for n, name in enumerate(named, 1)}
    (folder / "dataset.json").write_text(json.dumps({"labels": said}), encoding="utf-8", newline="\n")
    return folder


def scores(model: Path, cases: Sequence[Case]) -> dict[str, float]:
    """Mean Dice by name."""
    device = choose_device("auto")
    network, plan = open_model(model, device)
    predictor = Predictor(network, plan, device)
    found: dict[str, list[float]] = {}
    for case in cases:
        drawn = predictor.label(case, Progress())
        for name, value in (KEPT, NEW):
            own = next((v for v, n in plan.class_names.items() if n == name), -1)
            assert case.label is not None
            mine, given = drawn == own, case.label == value
            score = dice(float((mine & given).sum()), float(mine.sum() + given.sum()))
            found.setdefault(name, []).append(0.0 if score is None else score)
    return {name: float(np.mean(each)) for name, each in found.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
