"""Label confidence of cases under a model: what `confidence` writes and `review` builds on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from ..cases.case import Case
from ..cases.source import CaseSource
from ..dale.label_state import LabelDisagreement, LabelState
from ..learn.checkpoint import load_labels
from ..learn.confidence_map import confidence_map
from ..learn.device import choose_device
from ..learn.extent import Scales, extents_of_label
from ..learn.extent_scales import load_extents
from ..learn.folder import find_bundle
from ..learn.plan import Plan
from ..learn.predictor import Predictor
from ..learn.prepare import native_disagreement, prepare_label
from ..learn.recalibrated import load_recalibration
from ..learn.warm_model import warm_predictor
from ..process.progress import Progress
from ..review.recalibration import Recalibration
from ..review.shown import shown_confidence
from .outputs import write_map
from .parameters import ModelParameters
from .survey import read_labelled


@dataclass
class Doubt:
    """A case with its model's probabilities (K, *grid) and its label confidence (*grid)."""

    source: CaseSource
    case: Case
    plan: Plan
    probabilities: np.ndarray
    confidence: np.ndarray
    scales: Scales
    unseen: bool
    """Whether the model did not learn from this case."""
    progress: Progress
    """For what is still done with this case, from 60 % on."""
    position: str
    """"case 3 of 7": names of cases are often those of patients, and progress is logged and shown around."""

    def write_confidence(self, out: Path) -> dict[str, str]:
        """The paths of what was written: the confidence and, for the application, what of it is to be drawn."""
        case = self.case
        paths = {"confidence": write_map(self.source, out, "confidence", self.confidence, case.geometry)}
        if self.source.arrays is not None:
            shown = shown_confidence(self.confidence, np.asarray(case.label), case.geometry.array_spacing)
            paths["shown"] = write_map(self.source, out, "shown", shown, case.geometry)
        return paths

    def extents(self) -> dict[str, Any]:
        """Volume and diameter of each class in the label, with intervals."""
        return extents_of_label(self.case, self.probabilities, self.plan, self.scales, unseen=self.unseen)


@dataclass
class Ready:
    """A case that is read and prepared, before the long look at all of it."""

    source: CaseSource
    case: Case
    image: MetaTensor
    disagreement: LabelDisagreement | None
    recalibration: Recalibration
    predictor: Predictor
    progress: Progress


def doubts(asked: ModelParameters, progress: Progress, first: Callable[[Ready], None] | None = None) -> Iterator[Doubt]:
    """One case after the other. Cases the model was trained on bring what training remembered of their label.

    first: is called with every case before the model looks at the whole of it.
    """
    device = choose_device(asked.device)
    predictor = warm_predictor(asked.model, device)
    plan, bundle = predictor.plan, find_bundle(asked.model)
    run_folder, scales = bundle.parent, load_extents(bundle)
    labels, recalibration = load_labels(run_folder), load_recalibration(run_folder)
    sources = asked.cases.find()
    for i, source in enumerate(sources):
        message = f"Case {i + 1} of {len(sources)}"
        part = progress.part(100.0 * i / len(sources), 100.0 * (i + 1) / len(sources))
        part.check()
        part.report(0, "confidence", message)
        case = read_labelled(source, plan.class_names)
        part.check()
        image = predictor.prepare(case, part)
        part.check()
        disagreement = _native(labels.get(source.name), case, plan, part)
        part.check()
        if first is not None:
            first(Ready(source, case, image, disagreement, recalibration, predictor, part))
        probabilities = predictor.probabilities(case, part, image=image)
        part.check()
        part.report(40, "confidence", message)
        confidence = confidence_map(case, plan, probabilities, disagreement, recalibration=recalibration)
        part.check()
        part.report(60, "confidence", message)
        unseen = source.name not in labels
        yield Doubt(source, case, plan, probabilities, confidence, scales, unseen, part, message.lower())
        del case, image, disagreement, probabilities, confidence  # before the next case takes as much again


def _native(labels: LabelState | None, case: Case, plan: Plan, progress: Progress) -> LabelDisagreement | None:
    """What training found about this label, on the case's own grid; None where it saw no such case."""
    if labels is None:
        return None
    label, affine = prepare_label(case, plan)
    progress.check()
    known = labels.disagreement_of(label)
    return None if known is None else native_disagreement(known, affine, case.geometry)


def summary(doubt: Doubt, paths: dict[str, str]) -> dict[str, Any]:
    inside = doubt.confidence[np.asarray(doubt.case.label) > 0]
    mean = float(inside.mean()) if inside.size else float(doubt.confidence.mean())
    return {"name": doubt.case.name, **paths, "mean_confidence": round(mean, 4)}
