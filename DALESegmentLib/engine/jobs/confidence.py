"""Write a label-confidence map for every labelled case."""

from __future__ import annotations

from typing import Any

from ..process.progress import Progress
from .doubt import doubts, summary
from .parameters import ModelParameters


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ModelParameters.model_validate(parameters)
    return {"items": [summary(d, d.write_confidence(asked.out)) for d in doubts(asked, progress)]}
