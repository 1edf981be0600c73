"""The outline that strokes ask for, in a box around them: one answer of an interactive segmentation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..core.device import choose_device
from ..core.errors import EngineError
from ..core.progress import Progress
from ..dale.interactive import corrected_by_strokes, segment_strokes, stroke_box
from ..geometry.distance import Box
from ..geometry.runs import runs_of
from ..inference.backend import BackendName
from ..inference.predictor import cached_predictor, predict_region
from ..io.array_cases import load_array_case
from ..io.case import Case
from .parameters import CasesParameter, Parameters

Voxels = list[tuple[int, ...]]


class PromptParameters(Parameters):
    """inside, outside: voxels (i, j(, k)) that strokes went over; value: of the label, what is wanted of the model;
    label_value: in the case's label, of the structure where it is to be corrected and not drawn anew; probabilities:
    what `review` wrote of this case and model, so that the model need not look again."""

    cases: CasesParameter
    inside: Voxels = Field([])
    outside: Voxels = Field([])
    value: int | None = Field(None, ge=1)
    label_value: int | None = Field(None, ge=1)
    model: Path | None = None
    probabilities: Path | None = None
    device: str = "auto"
    backend: BackendName = "auto"


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The corners of the box, both inside, and the voxels inside the outline as runs in it: [first, count], counted
    through the box in C order of (k, j, i); `by`: "model" or "intensities", what was asked beside the strokes;
    `corrects`: whether the structure that was drawn is changed beside the strokes alone."""
    asked = PromptParameters.model_validate(parameters)
    started = time.perf_counter()
    case = _case(asked)
    strokes = [_indices(voxels, case) for voxels in (asked.inside, asked.outside)]  # none inside: a correction alone
    box = stroke_box(np.concatenate(strokes), case.geometry.array_shape, case.geometry.array_spacing)
    progress.check()
    probability = _probability(asked, case, box, progress)
    drawn = []
    for indices in strokes:
        mask = np.zeros(case.geometry.array_shape, bool)[box]
        mask[tuple((indices - [part.start for part in box]).T)] = True
        drawn.append(mask)
    image = np.asarray(case.image[np.index_exp[:] + box])
    found = None
    if asked.label_value is not None and case.label is not None:
        there = np.asarray(case.label)[box] == asked.label_value
        found = corrected_by_strokes(image, there, drawn[0], drawn[1], case.geometry.array_spacing, probability)
    corrects = found is not None
    if found is None:
        found = segment_strokes(image, drawn[0], drawn[1], case.geometry.array_spacing, probability)
    return {
        "name": case.name,
        "first_voxel": [part.start for part in reversed(box)],
        "last_voxel": [part.stop - 1 for part in reversed(box)],
        "runs": runs_of(found),
        "by": "intensities" if probability is None else "model",
        "corrects": corrects,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _case(asked: PromptParameters) -> Case:
    source = asked.cases.find()[0]
    if source.arrays is None:
        raise EngineError(
            "no-array-case", "Strokes are answered for cases of arrays, as the application hands them over."
        )
    return load_array_case(source.arrays, source.name)


def _indices(voxels: Voxels, case: Case) -> np.ndarray:
    """(N, dims) along the array's axes. Raises EngineError("wrong-stroke")."""
    dims = len(case.geometry.array_shape)
    if any(len(voxel) != dims for voxel in voxels):
        raise EngineError("wrong-stroke", f"A voxel of a stroke in {case.name} has {dims} numbers.")
    indices = np.array(voxels, int).reshape(-1, dims)[:, ::-1]
    if (indices < 0).any() or (indices >= case.geometry.array_shape).any():
        raise EngineError("wrong-stroke", f"A stroke leaves the image of {case.name}; draw inside it.")
    return indices


def _probability(asked: PromptParameters, case: Case, box: Box, progress: Progress) -> np.ndarray | None:
    """Of the wanted class in the box; None without a model that knows it."""
    if asked.model is None or asked.value is None:
        return None
    predictor = cached_predictor(asked.model, choose_device(asked.device), asked.backend)
    if asked.value not in predictor.plan.class_values:
        return None
    index = predictor.plan.class_values.index(asked.value)
    if asked.probabilities is not None and asked.probabilities.is_file():
        kept = np.load(asked.probabilities, mmap_mode="r", allow_pickle=False)
        if kept.shape[1:] == case.geometry.array_shape and index < len(kept):
            return np.asarray(kept[index][box], np.float32) / 255
    corners = tuple(part.start for part in reversed(box)), tuple(part.stop - 1 for part in reversed(box))
    image = predictor.prepare(case, progress)
    return predict_region(predictor, image, case.geometry.part(*corners), progress)[index]
