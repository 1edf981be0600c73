"""Learn from a correction in seconds, and say at once what that changes: confidence and segmentation anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from ..learn.folder import BUNDLE_FOLDER
from ..learn.predictor import label_values
from ..learn.settings import LARGEST_SEED
from ..process.progress import Progress
from . import finetune
from .doubt import Ready, doubts, summary
from .outputs import write_map
from .parameters import CasesParameter, ModelParameters, Parameters
from .region_first import RegionParameter, answer_region


class RefreshParameters(Parameters):
    model: Path
    cases: CasesParameter
    out: Path
    seconds: float = Field(3.0, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    device: str = "auto"
    region: RegionParameter | None = None


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """A fine-tune of `seconds` into out/model, then the maps of its model beside it; those of `region` are told of as
    soon as they are there, before the whole image is looked at, unless there are objections to the model."""
    asked = RefreshParameters.model_validate(parameters)
    shared = {"cases": asked.cases, "device": asked.device}
    learning = finetune.FinetuneParameters(
        **shared, model=asked.model, out=asked.out / "model", seconds=asked.seconds, seed=asked.seed
    )
    answer = finetune.run(learning.model_dump(), progress.part(0, 70))
    looking = ModelParameters(**shared, model=asked.out / "model" / BUNDLE_FOLDER, out=asked.out / "maps")

    def first(ready: Ready) -> None:
        if answer["accepted"] and asked.region is not None and asked.region.case == ready.source.name:
            region = answer_region(asked.region, ready, looking.out)
            # a stage of its own: the last report of a stage is always sent
            ready.progress.report(10, "writing", "The corrected region is ready", region=region)

    items = []
    for doubt in doubts(looking, progress.part(70, 100), first):
        segmentation = label_values(doubt.probabilities, doubt.plan)
        item = summary(doubt, doubt.write_confidence(looking.out))
        item["segmentation"] = write_map(doubt.source, looking.out, "segmentation", segmentation, doubt.case.geometry)
        item["classes"] = {str(value): name for value, name in doubt.plan.class_names.items()}
        items.append(item)
        del doubt, segmentation  # before the next case takes as much again
    return {**answer, "items": items}
