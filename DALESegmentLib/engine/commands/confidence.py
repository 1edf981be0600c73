"""Write a label-confidence map for every labelled case."""

from __future__ import annotations

from typing import Any

from ..core.progress import Progress
from ..dale.agreement import Agreements, pooled_agreement, weak_classes
from .case_checks import CaseChecks, weak_since_training
from .case_confidence import case_confidences, summary
from .dataset import labels_said, unused_files_said
from .measurement_table import write_measurements
from .probability_files import unlike_labels
from .result_files import ConfidenceParameters, ResultFiles
from .results_folder import results_folder


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ConfidenceParameters.model_validate(parameters)
    asked.check_model()
    with results_folder(asked.out, overwrite=asked.overwrite, data=asked.cases.folder) as folder:
        return _confidence(asked, progress) | folder.about()


def _confidence(asked: ConfidenceParameters, progress: Progress) -> dict[str, Any]:
    beside = unused_files_said(asked.cases, progress)
    looked = CaseChecks()
    items, agreements = [], []
    agreed: Agreements = {}
    labels: dict[str, list[str]] = {}
    names: dict[int, str] = {}
    files = ResultFiles.of(asked)
    if files.has_conditions:
        files.check(asked.cases.find())
    for doubt in case_confidences(asked, progress, looked=looked):
        item = {**summary(doubt, doubt.write_maps(files)), "extents": doubt.extents()}
        items.append(item | looked.of(doubt.case.name))
        agreements.append(doubt.agreement())
        agreed = doubt.agreed
        labels = labels_said([doubt.source])
        names |= {**doubt.plan.class_names, **doubt.case.class_names}
        del doubt  # which holds the case and its maps, before the next is made
    weak = weak_classes(pooled_agreement(agreements, agreed), names, agreed)
    told = {"too_weak": [each.as_dict() for each in weak], **weak_since_training(agreed, names, weak)}
    if asked.probabilities is not None:
        told |= unlike_labels({item["name"]: of for item, of in zip(items, agreements, strict=True)})
    extents_csv = write_measurements(items, asked.out)
    return {"items": items, **told, "extents_csv": extents_csv, **looked.about(), **labels, **beside}
