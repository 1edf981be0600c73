"""A case's regions and what was decided about them as DICOM: a segmentation of the regions, and a report about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dale.issues import Region
from ..dale.reasons import reason
from ..geometry.grid import Geometry
from ..io.checks import label_values
from ..io.dicom_objects import Provenance, region_segments, segmentation
from ..io.dicom_report import Finding, review_report
from .decisions import NOTES, VERDICTS, Decision

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Key = tuple[Any, ...]


def region_key(about: Region | Decision) -> Key:
    """By which a decision knows its region."""
    return about.case, about.label_value, about.suspicion, tuple(about.centre_voxel or ())


def decisions_of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Decision]:
    """Of rows as Slicer exports them: regions as dicts, each with "state", "who" and "when", and so their pieces. A row
    that is decided in part says nothing, its pieces do. Raises KeyError, TypeError, ValueError for anything else."""
    found = []
    for row in (one for each in rows for one in (each, *each["pieces"])):
        if row["state"] in VERDICTS:
            plain = {key: value for key, value in row.items() if key not in (*NOTES, "pieces")}
            region = Region.from_dict(plain)
            found.append(Decision.about(region, row["state"], str(row["who"]), str(row["when"])))
    return found


def region_names(rows: Sequence[Region], region_map: np.ndarray) -> dict[int, str]:
    """{value: name} of a map of regions: rank, class and suspicion; a number of those that no row is about."""
    names = {value: f"Region {value}" for value in label_values(region_map) if value}
    listed = {piece.region_id: f"{row.rank} {row.class_name} {row.suspicion}" for row in rows for piece in row.leaves}
    return names | listed


def review_objects(
    rows: Sequence[Region],
    region_map: np.ndarray,
    geometry: Geometry,
    images: Sequence[Dataset],
    made: Provenance,
    decided: Mapping[Key, Decision],
) -> tuple[Dataset, Dataset | None]:
    """The segmentation, a segment for each region, and the report, None where there is no region.

    rows: of this case's list; region_map: (k, j, i) of the regions' IDs; images: as `source_images` gives them;
    decided: what stands, by `region_key` of a row or a piece.
    """
    segments = region_segments(region_names(rows, region_map))
    numbers = {value: number for number, value in enumerate(segments, 1)}
    drawn = segmentation(region_map, geometry, segments, images, made, "regions")
    findings = [
        _finding(row, piece, numbers[piece.region_id], decided.get(region_key(piece), decided.get(region_key(row))))
        for row in rows
        for piece in row.leaves
    ]
    return drawn, review_report(findings, drawn, images, made) if findings else None


def _finding(row: Region, piece: Region, segment: int, decision: Decision | None) -> Finding:
    place = " ".join(str(n) for n in piece.centre_voxel)
    return Finding(
        segment,
        f"{piece.class_name} {piece.suspicion} at {place}",
        piece.class_name,
        piece.suspicion,
        piece.size_mm3,
        piece.mean_confidence,
        row.note or reason(piece),
        *((decision.verdict, decision.annotator, decision.at, _signed(decision)) if decision is not None else ()),
    )


def _signed(decision: Decision) -> str:
    words = {"Role": decision.role, "Instruction": decision.instruction, "Reason": decision.reason}
    return "; ".join(f"{name}: {word}" for name, word in words.items() if word)
