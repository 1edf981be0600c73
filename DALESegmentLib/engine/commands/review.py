"""List the doubtful regions of all cases, worst first, with the maps they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..core.errors import checkpoint
from ..core.progress import Progress
from ..dale.agreement import Agreements
from ..dale.interactive import sharpened
from ..dale.issues import Region, find_regions
from ..dale.quality import Recalibration
from ..dale.reasons import box_around, explained
from ..dale.review_list import find_surroundings, make_review_list, without_weak
from ..dale.rows import PIECES_A_ROW, as_rows, number_errors
from ..geometry.grid import Geometry
from ..inference.predictor import label_values
from ..io.case import CaseSource
from ..io.images import read_stored
from ..planning.plan import LARGEST_SEED
from ..planning.preprocessing import label_classes
from ..review.audit import AUDIT_FILE, AuditDraw, check_not_begun, write_audit
from ..review.decisions import write_regions_csv, write_regions_json
from .case_confidence import CaseConfidence, case_confidences, summary, write_map
from .dataset import labels_said
from .measurement_table import write_measurements
from .parameters import ModelParameters
from .results_folder import results_folder
from .suitability import Suitability

AROUND = 6
"""Voxels around a region, of the box that the model's outline is sharpened in."""


class ReviewParameters(ModelParameters):
    limit: int = Field(20, ge=1, description="errors a case, beside those that are gathered")
    audit: int = Field(0, ge=0, le=10_000, description="places to draw at random, over all cases")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="of the audit")


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ReviewParameters.model_validate(parameters)
    if asked.audit:
        check_not_begun(asked.out / AUDIT_FILE)
    with results_folder(asked.out, overwrite=asked.overwrite, data=asked.cases.folder) as files:
        return _review(asked, progress) | files.about()


def _review(asked: ReviewParameters, progress: Progress) -> dict[str, Any]:
    looked = Suitability()
    items, found, written = [], [], []
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
        known = label, doubt.probabilities, image, spacing, names, not doubt.unseen, plan.class_values
        regions, region_map = number_errors(
            explained(regions, region_map, *known), region_map, label, spacing, asked.limit
        )
        if doubt.label_source is not None:
            regions = [doubt.label_source.described(region, region_map, plan, names) for region in regions]
        progress.check()
        doubt.progress.report(85, "writing", f"Writing the maps, {doubt.position}")
        item = summary(doubt, doubt.write_maps(asked.out)) | looked.of(case.name)
        progress.check()
        if doubt.source.arrays is not None:
            item |= _model_maps(doubt, regions, asked.out)
            item["classes"] = {str(value): names.get(value, f"Class {value}") for value in plan.class_values if value}
        item["extents"] = doubt.extents()
        progress.check()
        item["regions_map"] = write_map(doubt.source, asked.out, "regions", region_map, case.geometry)
        items.append(item)
        found.append(find_surroundings(regions, region_map, image, label, doubt.agreement(), plan.class_values))
        written.append((doubt.source, case.geometry, item["regions_map"]))
        agreed, recalibration = doubt.agreed, doubt.recalibration
        if audit is not None:
            audit.see(case.name, np.asarray(case.label), case.geometry, doubt.settled)
        del doubt, case, region_map, label, image, known  # before the next case takes as much again
    progress.report(97, "writing", "Writing the list")
    made = as_rows(make_review_list(found, known_names, agreed, recalibration))
    for case_found, (source, geometry, path) in zip(found, written, strict=True):
        kept = without_weak(case_found, made.too_weak).regions
        gone = {r.region_id for r in case_found.regions} - {r.region_id for r in kept}
        if gone:
            progress.check()
            _take_out(gone, source, geometry, path, asked.out)
    csv, json = asked.out / "regions.csv", asked.out / "regions.json"
    write_regions_csv(made.regions, csv)
    write_regions_json(made.regions, json, **made.about())
    result = {"regions": [r.as_dict() for r in made.regions], "csv": str(csv), "json": str(json), "items": items}
    result |= made.about() | looked.about() | labels_said([source for source, *_ in written])
    result["extents_csv"] = write_measurements(items, asked.out)
    return result if audit is None else {**result, "audit": _written(audit, asked.out / AUDIT_FILE)}


def _model_maps(doubt: CaseConfidence, regions: list[Region], out: Path) -> dict[str, str]:
    """For the application: what the model would draw, at the regions along the image's edges, and its probabilities in
    255 steps, for `prompt`."""
    grid = doubt.case.geometry
    steps = np.empty(doubt.probabilities.shape, np.uint8)
    for coarse, probability in zip(steps, doubt.probabilities, strict=True):
        checkpoint()
        np.rint(255 * np.clip(probability, 0, 1), out=coarse, casting="unsafe")
    segmentation = label_values(doubt.probabilities, doubt.plan)
    for region in regions:
        checkpoint()
        box = box_around([region.first_voxel], [region.last_voxel], AROUND)
        at, value = np.index_exp[:] + box, region.label_value
        other = 0 if region.suggested_value == value else region.suggested_value
        probability = doubt.probabilities[doubt.plan.class_values.index(value)][box]
        image = np.asarray(doubt.case.image[at])
        segmentation[box] = sharpened(segmentation[box], probability, image, grid.array_spacing, value, other)
    return {
        "segmentation": write_map(doubt.source, out, "model", segmentation, grid),
        "probabilities": write_map(doubt.source, out, "model_probabilities", steps, grid),
    }


def _take_out(gone: set[int], source: CaseSource, geometry: Geometry, path: str, out: Path) -> None:
    """Of the map of regions at `path`, those with these IDs."""
    region_map = np.load(path) if source.arrays is not None else read_stored(Path(path))[0][0].astype(np.int32)
    region_map[np.isin(region_map, list(gone))] = 0
    write_map(source, out, "regions", region_map, geometry)


def _written(audit: AuditDraw, path: Path) -> str:
    write_audit(audit.places(), path)
    return str(path)
