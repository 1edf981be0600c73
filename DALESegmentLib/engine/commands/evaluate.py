"""Compare with a reference: predictions, the labels as given, and how well confidence finds the label errors.

Where no case has a reference, the labels are the reference of the predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.progress import Progress
from ..io.case import Case, CaseSource, stem_of
from ..io.case_files import read_case, read_label_result, read_map_result, reference_of
from ..io.class_names import nameless, names_in_folder
from ..io.label_decision import LabelOptions
from ..io.label_encoding import AS_STORED, Decoded, LabelEncoding
from ..io.label_facts import classes_in, labels_of
from ..io.segmentations import segment_values
from ..metrics.label_errors import ErrorSample, error_sample, pooled, scores
from ..metrics.segmentation import Offset, agreement, bias_report, contour_offset, mean_of
from ..review.audit import errors_left_by, read_audit
from .case_checks import enumerated, is_labelled
from .dataset import find_labelled, labels_said, names_of_all
from .parameters import CasesParameter, Parameters
from .result_files import files_by_name, find_result, the_only
from .score_files import check_scores_free, write_scores


class EvaluateParameters(Parameters):
    cases: CasesParameter | None = None
    predictions: Path | None = None
    confidence: Path | None = None
    audit: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = EvaluateParameters.model_validate(parameters)
    if asked.cases is None and asked.audit is None:
        raise EngineError("no-cases", "Name the cases to compare with their reference, or a filled-in audit.")
    if asked.out is not None:
        check_scores_free(asked.out, overwrite=asked.overwrite)
    left = {} if asked.audit is None else {"errors_left": errors_left_by(read_audit(asked.audit))}
    sources, without = (
        ([], [])
        if asked.cases is None
        else with_reference(find_labelled(asked.cases, progress, asked.cases.find()), asked)
    )
    if without:
        progress.report(0, "reading", f"{enumerated(without)} left out: no reference was found")
    predictions = _results(asked.predictions, sources, "segmentation")
    confidence = _results(asked.confidence, sources, "confidence")
    names = names_of_all(sources, names_in_folder(asked.predictions))
    names = segment_values([source.reference for source in sources if source.reference is not None], names)
    names = segment_values(list(predictions.values()), names)
    drawn = _encoding_of(predictions.values(), sources) if predictions else AS_STORED
    items, samples = [], []
    offsets: list[Offset] = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "validating", f"Case {i + 1} of {len(sources)}")
        given = predictions.get(source.name), confidence.get(source.name)
        item, sample = _evaluate(source, *given, names, offsets, drawn)
        items.append(item)
        samples += [sample] if sample is not None else []
    result = {"items": items, "mean": _mean(items, samples), **_spread(items), "bias": bias_report(offsets)}
    result |= labels_said(sources) | left
    result |= {"left_out": without} if without else {}
    return result if asked.out is None else result | write_scores(asked.out, result)


def with_reference(sources: Sequence[CaseSource], asked: EvaluateParameters) -> tuple[list[CaseSource], list[str]]:
    """The cases that can be compared, and the names of those without a reference. Where none has one, predictions are
    compared with the labels. Raises EngineError("no-reference") where there is nothing to compare with."""
    if not any(source.reference for source in sources):
        if asked.predictions is None or asked.confidence is not None or not any(map(is_labelled, sources)):
            whose = f"{sources[0].name} has no" if len(sources) == 1 else f"None of the {len(sources)} cases has a"
            or_else = "" if asked.predictions else ", or give --predictions to compare these with the labels"
            raise EngineError(
                "no-reference", f"{whose} reference label; say with --reference which file it is{or_else}."
            )
        known = [source for source in sources if is_labelled(source)]
    else:
        known = [source for source in sources if source.reference]
    kept = {source.name for source in known}
    return known, [source.name for source in sources if source.name not in kept]


def _results(folder: Path | None, sources: Sequence[CaseSource], stem: str) -> dict[str, Path]:
    """The result of each case, by its name: as our own commands write it, or <folder>/<case>.*; nothing without a
    folder. Raises EngineError("no-prediction") that names the cases of which it is missing, ("missing-folder")."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise EngineError("missing-folder", f"{folder.name} is not there; check its name and place.")
    named = files_by_name(folder)
    each = {s.name: find_result(folder, s, stem) or the_only(named.get(s.name, []), s.name) for s in sources}
    missing = [name for name, path in each.items() if path is None]
    if missing:
        command = "predict" if stem == "segmentation" else "confidence"
        raise EngineError(
            "no-prediction",
            f"{folder.name} holds no {stem} for {enumerated(missing)}; run {command} for "
            f"{'this case' if len(missing) == 1 else 'these cases'} first.",
        )
    return {name: path for name, path in each.items() if path is not None}


def _evaluate(
    source: CaseSource,
    path: Path | None,
    confidence_path: Path | None,
    names: dict[int, str],
    offsets: list[Offset],
    drawn: LabelEncoding,
) -> tuple[dict[str, Any], ErrorSample | None]:
    """path, confidence_path: of its prediction and its confidence map; names: {value: name} of the predictions and of
    all segments, so that a value means the same everywhere. offsets: where those of the given label are added; drawn:
    the encoding of the predictions. Voxels that label or reference do not annotate count nowhere."""
    case = read_case(source, names)
    given = None if case.label is None else np.asarray(case.label)
    if source.reference is None and given is not None:
        found, given = Decoded(given), None
    else:
        found = reference_of(source, case, names)
    reference = found.label
    masks = [mask for mask in (case.annotated, found.annotated) if mask is not None]
    scored = np.logical_and.reduce(masks) if masks else None
    if scored is not None:
        reference = np.where(scored, reference, 0)
        given = None if given is None else np.where(scored, given, 0)
    values = np.unique(np.concatenate([np.unique(a) for a in (reference, given) if a is not None]))
    classes = [int(v) for v in values if v]
    spacing, unit = case.geometry.array_spacing, case.geometry.unit
    known = {**names, **case.class_names}
    item: dict[str, Any] = {"name": case.name, "classes": {str(v): known.get(v, nameless(v)) for v in classes}}
    if path is not None:
        prediction = read_label_result(path, case, names, drawn)
        if scored is not None:
            prediction = np.where(scored, prediction, 0)
        _check_one_encoding(prediction, reference, path.name, case.name)
        item["prediction"] = agreement(prediction, reference, spacing, classes, unit=unit)
    if given is None:
        return item, None
    item["label"] = agreement(given, reference, spacing, classes, unit=unit)
    offsets += _offsets(source, case, given, reference, classes)
    confidence = _confidence(case, confidence_path)
    if confidence is None:
        return item, None
    sample = error_sample(given, reference, confidence, spacing)
    if scored is not None:
        sample = sample.part(scored.ravel())
    return {**item, "label_errors": scores(sample)}, sample


def _encoding_of(predictions: Iterable[Path], sources: Sequence[CaseSource]) -> LabelEncoding:
    """What the values of the predictions mean: as labels have them, where ours were read so; else decided over all."""
    found = [CaseSource(file.name, label=file) for file in predictions if file.suffix != ".npy"]
    return labels_of(found, LabelOptions(), dict.fromkeys(classes_in(sources), "")).encoding


def _check_one_encoding(prediction: np.ndarray, reference: np.ndarray, file: str, case: str) -> None:
    """Raises EngineError("class-mismatch") where the two have no class in common, though both have some."""
    drawn, wanted = (sorted(int(v) for v in np.unique(a) if v) for a in (prediction, reference))
    if drawn and wanted and set(drawn).isdisjoint(wanted):
        raise EngineError(
            "class-mismatch",
            f"{file} of {case} has the values {', '.join(map(str, drawn))}, but its reference has "
            f"{', '.join(map(str, wanted))}: they do not mean the same; compare labels with one numbering.",
        )


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
            name = case.class_names.get(value, f"class {value}")
            found.append(Offset(name, annotator, mm, case.geometry.unit))
    return found


def _confidence(case: Case, path: Path | None) -> np.ndarray | None:
    if path is not None:
        return read_map_result(path, case)
    return None if case.confidence is None else np.asarray(case.confidence)


QUARTILES = {"median": 50.0, "quartile_1": 25.0, "quartile_3": 75.0}


def _spread(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and quartiles over cases of the means over classes, as `_mean` has their mean."""
    found: dict[str, Any] = {name: {} for name in QUARTILES}
    for what in ("prediction", "label"):
        rows = [item[what]["mean"] for item in items if what in item]
        for name, percent in QUARTILES.items() if rows else ():
            columns = {score: [row[score] for row in rows if row.get(score) is not None] for score in _names(rows)}
            found[name][what] = {s: float(np.percentile(v, percent)) if v else None for s, v in columns.items()}
    return found


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of the scores; mm and pixels are scores of their own."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _mean(items: list[dict[str, Any]], samples: Iterable[ErrorSample]) -> dict[str, Any]:
    """Means over cases of the means over classes; label errors over all voxels together."""
    mean: dict[str, Any] = {}
    for what in ("prediction", "label"):
        rows = [item[what]["mean"] for item in items if what in item]
        if rows:
            mean[what] = {score: mean_of(row.get(score) for row in rows) for score in _names(rows)}
    samples = list(samples)
    return {**mean, "label_errors": pooled(samples)} if samples else mean
