"""How often the 90 % interval of the volume, as it follows from the confidence map, holds the volume that at least two
of four radiologists outlined. Cases nobody learned from; the label judged is one radiologist's, drawn by lot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.case_files import read_reference
from DALESegmentLib.engine.cases.find_cases import find_cases
from DALESegmentLib.engine.jobs import train
from DALESegmentLib.engine.jobs.survey import read_labelled
from DALESegmentLib.engine.learn.bundle import load_bundle
from DALESegmentLib.engine.learn.confidence_map import confidence_map
from DALESegmentLib.engine.learn.predictor import Predictor
from DALESegmentLib.engine.measure.extent_interval import (
    Interval,
    diameter_interval,
    longest_diameter,
    membership,
    volume_interval,
)
from DALESegmentLib.engine.process.progress import Progress

SET = "lidc_4rater"
LABELS = {"image": "image", "label": "rater*", "reference": "votes:2"}


@dataclass
class Covered:
    """held: by figure, one truth value a case; width: high over low of the volumes, median, where low is not 0."""

    held: dict[str, list[bool]] = field(default_factory=lambda: {"volume": [], "diameter": []})
    widths: list[float] = field(default_factory=list)

    def percent(self, figure: str) -> float:
        return 100.0 * float(np.mean(self.held[figure]))


def model_of(data: Path, out: Path, seconds: float) -> Path:
    """A model trained for so long on the training part."""
    cases = {"folder": str(data / SET), "split": "train", "image": "image", "label": "rater*"}
    asked = {"cases": cases, "out": str(out), "seconds": seconds, "epochs": 200, "steps_per_epoch": 30, "device": "cpu"}
    return Path(train.run(asked, Progress())["model"])


def run(data: Path, model: Path) -> Covered:
    network, plan = load_bundle(model, torch.device("cpu"))
    predictor, covered = Predictor(network, plan, torch.device("cpu")), Covered()
    for source in find_cases(folder=data / SET, split="test", **LABELS):
        case = read_labelled(source, plan.class_names)
        confidence = confidence_map(case, plan, predictor.probabilities(case, Progress()), None)
        _compare(case, confidence, read_reference(source, case) > 0, covered)
    return covered


def _compare(case: Case, confidence: np.ndarray, truth: np.ndarray, covered: Covered) -> None:
    assert case.label is not None
    probability: Any = membership(np.asarray(case.label), confidence, 1)
    spacing, voxel = case.geometry.spacing, case.geometry.voxel_volume
    volume = volume_interval(probability, voxel)
    covered.held["volume"].append(_holds(volume, truth.sum() * voxel))
    covered.held["diameter"].append(_holds(diameter_interval(probability, spacing), longest_diameter(truth, spacing)))
    if volume.low > 0:
        covered.widths.append(volume.high / volume.low)


def _holds(interval: Interval, value: float) -> bool:
    return bool(interval.low <= value <= interval.high)
