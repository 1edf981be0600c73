"""Show the plan a training would follow, without training."""

from __future__ import annotations

from typing import Any, Literal

from ..core.device import choose_device
from ..core.progress import Progress
from ..planning.plan import make_plan
from ..planning.plan_summary import plan_sentences
from .dataset import find_labelled, labels_said, survey
from .parameters import CasesParameter, Parameters


class PlanParameters(Parameters):
    cases: CasesParameter
    network: str | None = None
    dims: Literal[2, 3] | None = None
    device: str = "auto"


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = PlanParameters.model_validate(parameters)
    device = choose_device(asked.device)
    sources = find_labelled(asked.cases, progress, asked.cases.find_to_learn())
    facts = survey(sources, progress)
    plan = make_plan(facts, network=asked.network, dims=asked.dims, device=device.type)
    known = {**plan.model_dump(mode="json"), "classes": plan.classes, "device": str(device), **labels_said(sources)}
    return known | {"sentences": plan_sentences(plan, facts, device.type, network=asked.network, dims=asked.dims)}
