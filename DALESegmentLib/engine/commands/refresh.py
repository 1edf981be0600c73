"""The command refresh: a short fine-tune on a correction, then new confidence and a new segmentation.

The corrected region is answered first, by the model in use and with the new label, before anything is learned; then by
the model that learned from it, before the rest of its image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..bundle.open_model import open_plan
from ..bundle.run_folder import BUNDLE_FOLDER
from ..bundle.validate import check_trainable
from ..core.errors import EngineError
from ..core.progress import Progress
from ..dale.candidates import BOUNDARY_BAND_MM, shown_confidence
from ..dale.quality import RegionContext
from ..geometry.distance import Box, scaled_mm
from ..geometry.objects import object_radius
from ..inference.backend import BackendName
from ..inference.predictor import Predictor, label_values, predict_region
from ..io.case import Case
from ..planning.plan import LARGEST_SEED, Plan
from ..planning.preprocessing import label_classes
from . import finetune
from .case_checks import CaseChecks
from .case_confidence import PreparedInput, case_confidences, confidence_map, prepared_inputs, summary
from .parameters import CasesParameter, ModelParameters, Parameters
from .result_files import ResultFiles, write_map


class RefreshParameters(Parameters):
    model: Path
    cases: CasesParameter
    out: Path
    seconds: float = Field(3.0, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    device: str = "auto"
    backend: BackendName = "auto"
    region: RegionParameter | None = None


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """A fine-tune of `seconds` into out/model, then the maps of its model beside it. Those of `region` are told of
    twice, as soon as they are there: before the model learns, and before it looks at the whole image, unless there are
    objections to what it learned."""
    asked = RefreshParameters.model_validate(parameters)
    shared = {"cases": asked.cases, "device": asked.device}
    learning = finetune.FinetuneParameters(
        **shared, model=asked.model, out=asked.out / "model", seconds=asked.seconds, seed=asked.seed
    )
    check_trainable(open_plan(asked.model), asked.model.name)
    if asked.region is not None:
        now = ModelParameters(**shared, backend=asked.backend, model=asked.model, out=asked.out / "first")
        for ready in prepared_inputs(now, progress.part(0, 5), CaseChecks()):
            if asked.region.case == ready.source.name:
                _tell(answer_region(asked.region, ready, now.out), ready)
                break
    answer = finetune.run(learning.model_dump(), progress.part(5, 70))
    learned = asked.out / "model" / BUNDLE_FOLDER
    looking = ModelParameters(**shared, backend=asked.backend, model=learned, out=asked.out / "maps")

    def first(ready: PreparedInput) -> None:
        if answer["accepted"] and asked.region is not None and asked.region.case == ready.source.name:
            _tell(answer_region(asked.region, ready, looking.out), ready)

    items = []
    for doubt in case_confidences(looking, progress.part(70, 100), first):
        segmentation = label_values(doubt.probabilities, doubt.plan)
        item = summary(doubt, doubt.write_maps(ResultFiles(looking.out)))
        item["segmentation"] = write_map(doubt.source, looking.out, "segmentation", segmentation, doubt.case.geometry)
        item["classes"] = {str(value): name for value, name in doubt.plan.class_names.items()}
        items.append(item)
        del doubt, segmentation  # before the next case takes as much again
    return {**answer, "items": items}


def _tell(region: dict[str, Any], ready: PreparedInput) -> None:
    # a stage of its own: the last report of a stage is always sent
    ready.progress.report(10, "writing", "The corrected region is ready", region=region)


Voxel = tuple[int, ...]


class RegionParameter(Parameters):
    """A box of a case: its first and last voxel (i, j(, k)), both inside; as a region of the review list has them."""

    case: str
    first_voxel: Voxel
    last_voxel: Voxel

    def within(self, case: Case) -> tuple[Voxel, Voxel]:
        """The corners; raises EngineError("wrong-region") where they are not in the image."""
        size = case.geometry.size
        corners = self.first_voxel, self.last_voxel
        if any(len(corner) != len(size) for corner in corners) or not all(
            0 <= a <= b < n for a, b, n in zip(*corners, size, strict=True)
        ):
            raise EngineError(
                "wrong-region",
                f"The region {self.first_voxel} to {self.last_voxel} is not inside {case.name}; give voxels of it.",
            )
        return corners


def answer_region(region: RegionParameter, ready: PreparedInput, out: Path) -> dict[str, Any]:
    """Confidence and segmentation of the box alone, as region_*: the values that the whole maps get there, but for what
    the network may hold against the label just outside."""
    case, predictor, progress = ready.case, ready.judge.predictor, ready.progress
    assert isinstance(predictor, Predictor)  # a refresh has a model
    assert ready.image is not None
    plan = predictor.plan
    first, last = region.within(case)
    box, geometry = _slices(first, last), case.geometry.part(first, last)
    probabilities = predict_region(predictor, ready.image, geometry, progress)
    part = _cut(case, first, last)
    disagreement = None if ready.disagreement is None else ready.disagreement.part(box)
    around = _around(case, plan, first, last)
    confidence = confidence_map(
        part, plan, probabilities, disagreement, recalibration=ready.judge.recalibration, around=around
    )
    maps = {
        "segmentation": label_values(probabilities, plan),
        "confidence": confidence,
        "shown": _shown(case, confidence, first, last),
    }
    paths = {name: write_map(ready.source, out, f"region_{name}", array, geometry) for name, array in maps.items()}
    return {"name": case.name, "first_voxel": list(first), "last_voxel": list(last), **paths}


def _around(case: Case, plan: Plan, first: Voxel, last: Voxel) -> RegionContext:
    """How sure an agreement is depends on outlines outside the box, too."""
    radius = object_radius(np.asarray(case.label) > 0, case.geometry.array_spacing)
    wide, here = _wide(case, first, last, radius)
    return RegionContext(label_classes(wide, plan), here, radius)


def _shown(case: Case, confidence: np.ndarray, first: Voxel, last: Voxel) -> np.ndarray:
    """What is drawn depends on them as well."""
    wide, here = _wide(case, first, last, scaled_mm(BOUNDARY_BAND_MM, case.geometry.spacing))
    values = np.ones(np.asarray(wide.label).shape, np.float32)
    values[here] = confidence
    return shown_confidence(values, np.asarray(wide.label), case.geometry.array_spacing)[here]


def _wide(case: Case, first: Voxel, last: Voxel, reach_mm: float) -> tuple[Case, Box]:
    """The box and so many mm around it, and where the box lies in that."""
    reach = [int(np.ceil(reach_mm / s)) + 1 for s in case.geometry.spacing]
    low = tuple(max(a - r, 0) for a, r in zip(first, reach, strict=True))
    high = tuple(min(b + r, n - 1) for b, r, n in zip(last, reach, case.geometry.size, strict=True))
    here = _slices(*(tuple(a - s for a, s in zip(corner, low, strict=True)) for corner in (first, last)))
    return _cut(case, low, high), here


def _cut(case: Case, first: Voxel, last: Voxel) -> Case:
    box = _slices(first, last)
    trusted = None if case.trusted is None else case.trusted[box]
    geometry = case.geometry.part(first, last)
    return replace(
        case,
        image=case.image[np.index_exp[:] + box],
        geometry=geometry,
        label=np.asarray(case.label)[box],
        trusted=trusted,
        annotated=None if case.annotated is None else case.annotated[box],
    )


def _slices(first: Voxel, last: Voxel) -> tuple[slice, ...]:
    """Of an array, whose axes are (k, j, i)."""
    return tuple(slice(a, b + 1) for a, b in zip(reversed(first), reversed(last), strict=True))
