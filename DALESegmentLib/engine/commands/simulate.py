"""Spoil labels the way annotators do, for studies where the truth is known."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..core.progress import Progress
from ..metrics.segmentation import mean_dice
from ..metrics.simulated_annotators import simulate_annotator
from .dataset import read_labelled
from .parameters import CasesParameter, Parameters
from .result_files import write_map


class SimulateParameters(Parameters):
    cases: CasesParameter
    out: Path
    kind: str
    amount: float
    relative: bool = False
    share: float = Field(1.0, ge=0.0, le=1.0, description="of the cases that are spoiled")
    seed: int = Field(0, ge=0)


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = SimulateParameters.model_validate(parameters)
    sources = asked.cases.find()
    items = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "writing", f"Case {i + 1} of {len(sources)}")
        case = read_labelled(source)
        label = np.asarray(case.label)
        # seeded by the case's name, so that adding a case changes no other
        random = np.random.default_rng([asked.seed, zlib.crc32(case.name.encode())])
        if random.random() < asked.share:
            spoiled = simulate_annotator(
                label, case.geometry.array_spacing, asked.kind, asked.amount, random, relative=asked.relative
            )
        else:
            spoiled = label
        path = write_map(source, asked.out, "label", spoiled, case.geometry)
        items.append({"name": case.name, "label": path, "dice": mean_dice(spoiled, label)})
    return {"items": items}
