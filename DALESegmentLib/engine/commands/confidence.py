"""Write a label-confidence map for every labelled case."""

from __future__ import annotations

from typing import Any

from ..core.progress import Progress
from .case_confidence import case_confidences, summary, write_measurements
from .parameters import ModelParameters


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ModelParameters.model_validate(parameters)
    items = []
    for doubt in case_confidences(asked, progress):
        items.append({**summary(doubt, doubt.write_maps(asked.out)), "extents": doubt.extents()})
        del doubt  # which holds the case and its maps, before the next is made
    return {"items": items, "extents_csv": write_measurements(items, asked.out)}
