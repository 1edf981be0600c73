"""Write a label-confidence map for every labelled case."""

from __future__ import annotations

from typing import Any

from ..process.progress import Progress
from .doubt import doubts, summary
from .extent_table import write_extents
from .parameters import ModelParameters


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ModelParameters.model_validate(parameters)
    found = doubts(asked, progress)
    items = [{**summary(d, d.write_confidence(asked.out)), "extents": d.extents()} for d in found]
    return {"items": items, "extents_csv": write_extents(items, asked.out)}
