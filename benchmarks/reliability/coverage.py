"""How often the 90 % interval of the volume holds the volume that at least two of four radiologists outlined. Cases
nobody learned from; the label scored is one radiologist's, drawn by lot, and so were the labels of the validation cases
that the interval was calibrated on: the vote is never used but to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.bundle.run_folder import find_bundle
from DALESegmentLib.engine.commands import train
from DALESegmentLib.engine.commands.dataset import read_labelled
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.measurements import MM3_IN_ML, load_calibration, measure, measurements_of_label
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.case_files import read_reference
from DALESegmentLib.engine.io.find_cases import find_cases

SET = "lidc_4rater"
LABELS = {"image": "image", "label": "rater*", "reference": "votes:2"}


@dataclass
class Covered:
    """By figure, one value a case. held: whether the true one is in the interval; widths: high over low."""

    held: dict[str, list[bool]] = field(default_factory=lambda: {"volume": [], "diameter": []})
    widths: dict[str, list[float]] = field(default_factory=lambda: {"volume": [], "diameter": []})

    def percent(self, figure: str) -> float:
        return 100.0 * float(np.mean(self.held[figure]))

    def width(self, figure: str) -> float:
        """Median."""
        return float(np.median(self.widths[figure]))


def model_of(data: Path, out: Path, seconds: float) -> Path:
    """A model trained for so long on the training part."""
    cases = {"folder": str(data / SET), "split": "train", "image": "image", "label": "rater*"}
    asked = {"cases": cases, "out": str(out), "seconds": seconds, "epochs": 200, "steps_per_epoch": 30, "device": "cpu"}
    return Path(train.run(asked, Progress())["model"])


def run(data: Path, model: Path) -> Covered:
    """Raises ValueError for a model that was validated on too little to have intervals."""
    network, plan = load_bundle(model, torch.device("cpu"))
    calibrations = load_calibration(find_bundle(model))
    if not calibrations:
        raise ValueError(f"{model} has no intervals; train it with at least 9 validation cases.")
    predictor, covered = Predictor(network, plan, torch.device("cpu")), Covered()
    for source in find_cases(folder=data / SET, split="test", **LABELS):
        case = read_labelled(source, plan.class_names)
        probabilities = predictor.probabilities(case, Progress())
        (extent,) = measurements_of_label(case, probabilities, plan, calibrations, unseen=True).values()
        _compare(extent, case, read_reference(source, case) > 0, covered)
    return covered


def _compare(extent: dict[str, Any], case: Case, truth: np.ndarray, covered: Covered) -> None:
    true = measure(truth, case.geometry)
    for figure, interval, value in (
        ("volume", extent["volume_ml"], true.size / MM3_IN_ML),
        ("diameter", extent["diameter_mm"], true.diameter),
    ):
        covered.held[figure].append(interval["low"] <= value <= interval["high"])
        covered.widths[figure].append(interval["high"] / interval["low"])
