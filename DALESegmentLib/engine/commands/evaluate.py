"""Compare with a reference: predictions, the labels as given, and how well confidence finds the label errors."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.files import write_json
from ..core.progress import Progress
from ..io.case import Case, CaseSource, stem_of
from ..io.case_files import read_case, read_label_result, read_map_result, read_reference
from ..io.class_names import names_in_folder
from ..io.segmentations import segment_values
from ..metrics.label_errors import ErrorSample, error_sample, pooled, scores
from ..metrics.segmentation import SCORES, Offset, agreement, bias_report, contour_offset, mean_of
from ..review.audit import errors_left_by, read_audit
from .parameters import CasesParameter, Parameters


class EvaluateParameters(Parameters):
    cases: CasesParameter | None = None
    predictions: Path | None = None
    confidence: Path | None = None
    audit: Path | None = None
    out: Path | None = None


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = EvaluateParameters.model_validate(parameters)
    if asked.cases is None and asked.audit is None:
        raise EngineError("no-cases", "Name the cases to compare with their reference, or a filled-in audit.")
    left = {} if asked.audit is None else {"errors_left": errors_left_by(read_audit(asked.audit))}
    sources = [] if asked.cases is None else asked.cases.find()
    files = [path for s in sources for path in (s.label, s.reference) if path is not None]
    names = segment_values(files, names_in_folder(asked.predictions))
    items, samples = [], []
    offsets: list[Offset] = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "validating", f"Case {i + 1} of {len(sources)}")
        item, sample = _evaluate(source, asked, names, offsets)
        items.append(item)
        samples += [sample] if sample is not None else []
    result = {"items": items, "mean": _mean(items, samples), "bias": bias_report(offsets), **left}
    if asked.out is not None:
        write_json(asked.out, result)
    return result


def _evaluate(
    source: CaseSource, asked: EvaluateParameters, names: dict[int, str], offsets: list[Offset]
) -> tuple[dict[str, Any], ErrorSample | None]:
    """names: {value: name} of the predictions and of all segments, so that a value means the same everywhere.
    offsets: where those of the given label are added."""
    case = read_case(source, names)
    reference = read_reference(source, case, names)
    given = np.asarray(case.label) if case.label is not None else None
    values = np.unique(np.concatenate([np.unique(a) for a in (reference, given) if a is not None]))
    classes = [int(v) for v in values if v]
    spacing = case.geometry.array_spacing
    item: dict[str, Any] = {"name": case.name}
    if asked.predictions is not None:
        prediction = read_label_result(_result(asked.predictions, source, "segmentation"), case, names)
        item["prediction"] = agreement(prediction, reference, spacing, classes)
    if given is None:
        return item, None
    item["label"] = agreement(given, reference, spacing, classes)
    offsets += _offsets(source, case, given, reference, classes)
    confidence = _confidence(case, source, asked)
    if confidence is None:
        return item, None
    sample = error_sample(given, reference, confidence, spacing)
    return {**item, "label_errors": scores(sample)}, sample


def _offsets(
    source: CaseSource, case: Case, given: np.ndarray, reference: np.ndarray, classes: list[int]
) -> list[Offset]:
    """The annotator is the label file's name, where that says more than "label"."""
    name = "" if source.label is None else stem_of(source.label).removeprefix(f"{source.name}_")
    annotator = "" if name in ("label", source.name) else name
    found = []
    for value in classes:
        mm = contour_offset(given == value, reference == value, case.geometry.array_spacing)
        if mm is not None:
            found.append(Offset(case.class_names.get(value, f"class {value}"), annotator, mm))
    return found


def _confidence(case: Case, source: CaseSource, asked: EvaluateParameters) -> np.ndarray | None:
    if asked.confidence is not None:
        return read_map_result(_result(asked.confidence, source, "confidence"), case)
    return None if case.confidence is None else np.asarray(case.confidence)


def _result(folder: Path, source: CaseSource, stem: str) -> Path:
    """<folder>/<case>/<stem>.* as our own commands write it, or <folder>/<case>.*"""
    for path in (
        *sorted((folder / source.name).glob(f"{stem}.*")),
        *sorted(folder.glob(f"{glob.escape(source.name)}.*")),
    ):
        if path.is_file():
            return path
    raise EngineError("no-prediction", f"{folder.name} holds no {stem} for {source.name}; run it for this case first.")


def _mean(items: list[dict[str, Any]], samples: Iterable[ErrorSample]) -> dict[str, Any]:
    """Means over cases of the means over classes; label errors over all voxels together."""
    mean: dict[str, Any] = {}
    for what in ("prediction", "label"):
        rows = [item[what]["mean"] for item in items if what in item]
        if rows:
            mean[what] = {score: mean_of(row[score] for row in rows) for score in SCORES}
    samples = list(samples)
    return {**mean, "label_errors": pooled(samples)} if samples else mean
