"""Show the plan a training would follow, without training."""

from __future__ import annotations

from typing import Any, Literal

from ..learn.device import choose_device
from ..learn.plan import make_plan
from ..process.progress import Progress
from .parameters import CasesParameter, Parameters
from .survey import survey


class PlanParameters(Parameters):
    cases: CasesParameter
    network: str | None = None
    dims: Literal[2, 3] | None = None
    device: str = "auto"


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = PlanParameters.model_validate(parameters)
    device = choose_device(asked.device)
    facts = survey(asked.cases.find_to_learn(), progress)
    plan = make_plan(facts, network=asked.network, dims=asked.dims, device=device.type)
    return {**plan.model_dump(mode="json"), "classes": plan.classes, "device": str(device)}
