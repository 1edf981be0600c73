"""Write what predict, confidence and review found in another format, with what was decided about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..bundle.open_model import open_plan
from ..bundle.run_folder import find_bundle
from ..core.errors import EngineError
from ..core.progress import Progress
from ..dale.issues import Region
from ..io.case import Case, CaseSource, image_fingerprint
from ..io.case_files import read_case, read_label_result, read_map_result
from ..io.class_names import IGNORE, names_in_folder, write_names
from ..io.label_facts import value_of_ignored
from ..review.decisions import ReviewState, read_regions_json
from ..review.dicom_review import decisions_of_rows, region_key
from ..review.log import read_log
from .dataset import find_labelled, names_of_all
from .parameters import CasesParameter, Parameters
from .result_files import UNKNOWN, Format, ResultFiles, find_result, provenance, write_regions
from .results_folder import check_apart, results_folder

REVIEWED = "reviewed"
"""Stem of the label as it is after the review."""


class ExportParameters(Parameters):
    cases: CasesParameter
    results: Path
    out: Path
    format: Format
    decisions: Path | None = None
    reviewer: str = Field("", description="of the label; by default who decided, as the decisions say")
    model: Path | None = None
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ExportParameters.model_validate(parameters)
    with results_folder(asked.out, overwrite=asked.overwrite, data=asked.cases.folder) as folder:
        return _run(asked, progress) | folder.about()


def _run(asked: ExportParameters, progress: Progress) -> dict[str, Any]:
    made = UNKNOWN if asked.model is None else provenance(find_bundle(asked.model))
    rows = _rows(asked.results)
    known = _names_of_results(asked, rows)
    sources = find_labelled(asked.cases, progress, asked.cases.find(), known)
    check_apart(asked.out, sources)
    files = ResultFiles(asked.out, asked.format, made)
    files.check(sources)
    names = names_of_all(sources, known) if asked.reviewer or asked.decisions is not None else known
    decided = ReviewState() if asked.decisions is None else read_decisions(asked.decisions)
    items, used = [], dict(names)
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "writing", f"Case {i + 1} of {len(sources)}")
        about = [d for d in decided.standing.values() if d.case == source.name and d.verdict != "open"]
        reviewer = asked.reviewer or ", ".join(dict.fromkeys(d.annotator for d in about if d.annotator))
        case = read_case(source if reviewer else source.without_label(), names or None)
        item = _export(case, source, files, asked.results, {**names, **case.class_names})
        own = replace(files, made=replace(made, reviewer=reviewer))
        path = find_result(asked.results, source, "regions")
        if path is not None:
            listed = [row for row in rows if row.case == source.name]
            by_region = {region_key(decision): decision for decision in about}
            item |= write_regions(own, source, read_label_result(path, case), case.geometry, listed, by_region)
        if case.label is not None:
            label, called = _reviewed(case, decided), {**names, **case.class_names}
            if case.annotated is not None:
                ignored = value_of_ignored(sources, names)
                label, called = np.where(case.annotated, label, ignored), {**called, ignored: IGNORE}
            item[REVIEWED] = own.write(source, REVIEWED, label, case.geometry, called)
            used |= called
        items.append({"name": source.name, "reviewer": reviewer, **item})
    if used and asked.format not in ("dicom", "seg.nrrd"):  # which hold the names themselves
        write_names(asked.out, used)
    if not any(len(item) > 2 for item in items):
        raise EngineError(
            "no-results",
            f"{asked.results.name} holds no results of these cases; give the folder that predict, confidence or review "
            "wrote.",
        )
    return {"items": items}


def _names_of_results(asked: ExportParameters, rows: Sequence[Region]) -> dict[int, str]:
    """{value: name} of the classes in the results, and in what was decided about them."""
    if asked.model is not None:
        return open_plan(asked.model).class_names
    return {row.label_value: row.class_name for row in rows if row.label_value} | names_in_folder(asked.results)


def _export(
    case: Case, source: CaseSource, files: ResultFiles, results: Path, names: Mapping[int, str]
) -> dict[str, str]:
    """The maps of a case, by stem."""
    written = {}
    segmentation, confidence, learned = (
        find_result(results, source, stem) for stem in ("segmentation", "confidence", "label_source")
    )
    if segmentation is not None:
        label = read_label_result(segmentation, case)
        written["segmentation"] = files.write(source, "segmentation", label, case.geometry, names)
    if confidence is not None:
        values = read_map_result(confidence, case)
        written["confidence"] = files.write(source, "confidence", values, case.geometry)
    if learned is not None:
        label = read_label_result(learned, case)
        told = json.loads((learned.parent / "label_source.json").read_text(encoding="utf-8"))["source_names"]
        of = {int(number): name for number, name in told.items() if number != "0"}
        written["label_source"] = files.write(source, "label_source", label, case.geometry, of)
    return written


def read_decisions(path: Path) -> ReviewState:
    """What stands, from a review log or from what *Export decisions* wrote in Slicer (review-<image>.json).

    Raises EngineError("missing-file", "review-log-damaged" or "bad-json").
    """
    if not path.is_file():
        raise EngineError("missing-file", f"{path.name} is not there; give a review log, or the decisions as JSON.")
    if path.suffix.lower() != ".json":
        return read_log(path)
    try:
        decisions = decisions_of_rows(json.loads(path.read_text(encoding="utf-8"))["regions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            "bad-json", f"{path.name} does not hold decisions as Slicer exports them; export them again."
        ) from error
    return ReviewState(dict(enumerate(decisions, 1)))


def _rows(results: Path) -> list[Region]:
    listed = results / "regions.json"
    return read_regions_json(listed) if listed.is_file() else []


def _reviewed(case: Case, decided: ReviewState) -> np.ndarray:
    """The label with what the decisions vouch for."""
    label = np.asarray(case.label)
    trusted, given = decided.trusted(case.name, image_fingerprint(case.image), label.shape)
    return np.where(trusted, given, label)
