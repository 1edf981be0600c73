"""A training that starts from a model: its network with outputs for new classes, and its other classes kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..bundle.lineage import weights_hash
from ..bundle.open_model import open_model
from ..bundle.run_folder import find_bundle
from ..bundle.validate import check_trainable
from ..core.errors import EngineError
from ..core.progress import Progress
from ..inference.predictor import Predictor
from ..io.case import CaseSource, patient_of
from ..planning.class_union import ClassUnion
from ..planning.data_shift import widened as widened_range
from ..planning.networks import check_widened, widened
from ..planning.plan import CaseFingerprint, Plan
from ..planning.preprocessing import PreparedCase
from ..training.rehearsal import rehearse
from .dataset import check_image_order


@dataclass(frozen=True)
class Pretrained:
    """network, plan: of the model before, whose classes are the first of the new model's."""

    folder: Path
    network: nn.Module
    plan: Plan
    device: torch.device

    @staticmethod
    def open(model: Path, device: torch.device) -> Pretrained:
        """Raises what `open_model` and `check_trainable` do."""
        network, plan = open_model(model, device, to_train=True)
        check_trainable(plan, model.name)
        return Pretrained(model, network, plan, device)

    def widened(self, plan: Plan) -> nn.Module:
        """The network to train, by the new model's plan. Raises EngineError("not-widened")."""
        if plan.classes == self.plan.classes:
            return self.network
        wide = widened(self.network, plan.network, plan.network_arguments).to(self.device)
        patch = torch.zeros((1, plan.channels, *plan.network_patch), device=self.device)
        check_widened(
            self.network, wide, torch.randn(patch.shape, generator=torch.Generator().manual_seed(0)).to(patch)
        )
        return wide

    def rehearse(self, cases: Sequence[PreparedCase], classes: ClassUnion, progress: Progress) -> None:
        """Teach the classes kept by what the model before predicts, where these cases' labels say nothing of them."""
        if classes.kept:
            kept = [self.plan.class_values.index(value) for value in classes.kept]
            rehearse(cases, kept, Predictor(self.network, self.plan, self.device), progress)

    def as_recorded(self, classes: ClassUnion) -> dict[str, Any]:
        """For run.json."""
        weights = weights_hash(find_bundle(self.folder))
        return {
            "model": str(self.folder.resolve()),
            "weights": weights,
            "new": list(classes.new),
            "kept": list(classes.kept),
        }


def following(plan: Plan, classes: ClassUnion, sources: Sequence[CaseSource], facts: Sequence[CaseFingerprint]) -> Plan:
    """The plan of a training that follows a model's. Raises EngineError("wrong-channels")."""
    for source in sources:
        check_image_order(source.name, source.image_names, plan)
    seen = [fact.statistics for fact in facts if fact.statistics is not None]
    return classes.widen(plan).model_copy(update={"trained_on": widened_range(plan.trained_on, seen)})


def still_held_out(
    training: list[CaseSource], validation: list[CaseSource], held_out: Collection[str]
) -> tuple[list[CaseSource], list[CaseSource]]:
    """Cases that the model was validated on are validated on again, and others of the same patients. Raises
    EngineError("only-validation-cases")."""
    patients = {patient_of(CaseSource(name)) for name in held_out}
    patients |= {patient_of(source) for source in [*training, *validation] if source.name in held_out}
    moved = [s for s in training if s.name in held_out or patient_of(s) in patients]
    left = [s for s in training if s not in moved]
    if not left:
        raise EngineError(
            "only-validation-cases",
            "All the cases given are validation cases of this model; give at least one it may learn from.",
        )
    return left, [*validation, *moved]


def recorded_model(record: Mapping[str, Any], run: str) -> Path:
    """The model that a run in progress was started from.

    Raises EngineError("data-changed") where it is another one now, and what `find_bundle` raises.
    """
    model = Path(str(record["model"]))
    if weights_hash(find_bundle(model)) != record["weights"]:
        raise EngineError(
            "data-changed",
            f"Since the training in {run} was started, the model {model.name} that it starts from changed; put back "
            "what was there to resume it, or start a new training in another folder.",
        )
    return model
