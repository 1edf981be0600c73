"""List the doubtful regions of all cases, worst first, with the maps they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from .. import __version__
from ..bundle.lineage import weights_hash
from ..bundle.run_folder import find_bundle
from ..core.errors import checkpoint
from ..core.files import write_json
from ..core.progress import Progress
from ..dale.agreement import Agreements
from ..dale.issues import Region, find_regions
from ..dale.missed_regions import find_missed_regions
from ..dale.quality import Recalibration
from ..dale.reasons import explained
from ..dale.review_list import find_surroundings, make_review_list, without_weak
from ..dale.review_rows import PIECES_A_ROW, as_rows, number_errors
from ..dale.suggestions import suggest_for_rows
from ..geometry.runs import runs_of
from ..io.case import is_picture, label_fingerprint
from ..planning.plan import LARGEST_SEED
from ..planning.preprocessing import label_classes
from ..review.audit import AUDIT_FILE, AuditDraw, check_not_begun, write_audit
from ..review.decisions import write_regions_csv, write_regions_json
from ..review.page import linked_files, write_page
from ..review.pictures import RegionViews, first_pieces, look_at
from .case_checks import CaseChecks, weak_since_training
from .case_confidence import CaseConfidence, case_confidences, summary
from .dataset import labels_said, unused_files_said
from .measurement_table import write_measurements
from .probability_files import unlike_labels
from .result_files import ConfidenceParameters, ResultFiles, SparseMap, write_map, write_regions
from .results_folder import results_folder


class ReviewParameters(ConfidenceParameters):
    limit: int = Field(20, ge=1, description="errors a case, beside those that are gathered")
    audit: int = Field(0, ge=0, le=10_000, description="places to draw at random, over all cases")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="of the audit")


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ReviewParameters.model_validate(parameters)
    asked.check_model()
    if asked.audit:
        check_not_begun(asked.out / AUDIT_FILE)
    with results_folder(asked.out, overwrite=asked.overwrite, data=asked.cases.folder) as folder:
        return _review(asked, progress) | folder.about()


def _review(asked: ReviewParameters, progress: Progress) -> dict[str, Any]:
    looked, beside = CaseChecks(), unused_files_said(asked.cases, progress)
    items, found, maps = [], [], []
    reviewed: dict[str, str] = {}
    files, views = ResultFiles.of(asked), RegionViews()
    if files.has_conditions:
        files.check(asked.cases.find())
    agreed: Agreements = {}
    recalibration: Recalibration | None = None
    known_names: dict[int, str] = {}
    audit = AuditDraw(asked.audit, asked.seed) if asked.audit else None
    for doubt in case_confidences(asked, progress.part(0, 95), looked=looked):
        case, plan = doubt.case, doubt.plan
        names = {**plan.class_names, **case.class_names}
        known_names |= names
        doubt.progress.report(60, "review", f"Looking for regions, {doubt.position}")
        progress.check()
        label, spacing, image = label_classes(case, plan), case.geometry.array_spacing, np.asarray(case.image)
        regions, region_map = find_regions(
            case.name,
            label,
            doubt.confidence,
            doubt.probabilities,
            case.geometry,
            names,
            doubt.settled,
            PIECES_A_ROW * asked.limit,
            class_values=plan.class_values,
        )
        progress.check()
        if not doubt.unseen:
            regions += find_missed_regions(
                case.name,
                regions,
                region_map,
                label,
                doubt.confidence,
                doubt.probabilities,
                image,
                case.geometry,
                names,
                doubt.settled,
                plan.class_values,
            )
            progress.check()
        known = label, doubt.probabilities, image, spacing, names, not doubt.unseen, plan.class_values
        regions, region_map = number_errors(
            explained(regions, region_map, *known), region_map, label, spacing, asked.limit
        )
        if doubt.label_source is not None:
            regions = [doubt.label_source.described(region, region_map, plan, names) for region in regions]
        progress.check()
        doubt.progress.report(85, "writing", f"Writing the maps, {doubt.position}")
        item = summary(doubt, doubt.write_maps(files)) | looked.of(case.name)
        progress.check()
        if doubt.source.arrays is not None:
            item["probabilities"] = _write_probabilities(doubt, asked.out)
            item["suggestions"] = _write_suggestions(doubt, label, regions, region_map, asked.out)
            item["classes"] = {str(value): names.get(value, f"Class {value}") for value in plan.class_values if value}
        reviewed[case.name] = label_fingerprint(np.asarray(case.label))
        item["extents"] = doubt.extents()
        progress.check()
        if doubt.source.arrays is None:
            _take_views(views, doubt, regions, region_map)
        items.append(item)
        found.append(find_surroundings(regions, region_map, image, label, doubt.agreement(), plan.class_values))
        maps.append((doubt.source, case.geometry, SparseMap.of(region_map)))
        agreed, recalibration = doubt.agreed, doubt.recalibration
        if audit is not None:
            audit.see(case.name, np.asarray(case.label), case.geometry, doubt.settled)
        del doubt, case, region_map, label, image, known  # before the next case takes as much again
    progress.report(97, "writing", "Writing the list")
    made = as_rows(make_review_list(found, known_names, agreed, recalibration))
    rows_of: dict[str, list[Region]] = {}
    for row in made.regions:
        rows_of.setdefault(row.case, []).append(row)
    for item, case_found, (source, geometry, sparse) in zip(items, found, maps, strict=True):
        progress.check()
        kept = {region.region_id for region in without_weak(case_found, made.too_weak).regions}
        item |= write_regions(files, source, sparse.full(kept), geometry, rows_of.get(source.name, []))
    csv, json = asked.out / "regions.csv", asked.out / "regions.json"
    write_regions_csv(made.regions, csv)
    weights = "" if asked.model is None else weights_hash(find_bundle(asked.model))
    by = {"program": f"DALESegment {__version__}", "weights": weights}
    write_regions_json(made.regions, json, made_by=by, labels=reviewed, **made.about())
    result = {"regions": [r.as_dict() for r in made.regions], "csv": str(csv), "json": str(json), "items": items}
    weak = weak_since_training(agreed, known_names, made.too_weak)
    if asked.probabilities is not None:
        weak |= unlike_labels({i["name"]: of.agreement for i, of in zip(items, found, strict=True)})
    result |= made.about() | weak | looked.about() | beside | labels_said([source for source, *_ in maps])
    result["extents_csv"] = write_measurements(items, asked.out)
    if any(source.arrays is None for source, _, _ in maps):
        sentences = [
            made.about()["expected_real"]["sentence"],
            *(each["sentence"] for each in made.about()["too_weak"]),
            *(sentence for told in weak.values() for sentence in told),
        ]
        result["html"] = write_page(
            made.regions, views, asked.out, {i["name"]: linked_files(i) for i in items}, sentences
        )
    return result if audit is None else {**result, "audit": _written(audit, asked.out / AUDIT_FILE)}


def _write_probabilities(doubt: CaseConfidence, out: Path) -> str:
    """For the application: the model's probabilities in 255 steps, for `prompt`."""
    steps = np.empty(doubt.probabilities.shape, np.uint8)
    for coarse, probability in zip(steps, doubt.probabilities, strict=True):
        checkpoint()
        np.rint(255 * np.clip(probability, 0, 1), out=coarse, casting="unsafe")
    return write_map(doubt.source, out, "model_probabilities", steps, doubt.case.geometry)


def _write_suggestions(
    doubt: CaseConfidence, label: np.ndarray, regions: list[Region], region_map: np.ndarray, out: Path
) -> str:
    """For the application: the voxels that are offered to be changed at each region, as runs in a box."""
    case = doubt.case
    image, spacing = np.asarray(case.image), case.geometry.array_spacing
    found = suggest_for_rows(regions, region_map, label, doubt.confidence, image, spacing, doubt.plan.class_values)
    path = out / doubt.source.name / "suggestions.json"
    write_json(
        path,
        {
            str(number): {
                "first_voxel": [part.start for part in reversed(one.box)],
                "last_voxel": [part.stop - 1 for part in reversed(one.box)],
                "sure": runs_of(one.sure),
                "likely": runs_of(one.likely),
            }
            for number, one in found.items()
        },
    )
    return str(path)


def _take_views(views: RegionViews, doubt: CaseConfidence, regions: list[Region], region_map: np.ndarray) -> None:
    """Of each error of a case, for the page."""
    case, flat = doubt.case, is_picture(doubt.source.images[0])
    for region, pieces in first_pieces(regions):
        checkpoint()
        label = np.asarray(case.label)
        view = look_at(region, pieces, case.image, label, region_map, doubt.confidence, case.geometry, picture=flat)
        views.add(region, view)


def _written(audit: AuditDraw, path: Path) -> str:
    write_audit(audit.places(), path)
    return str(path)
