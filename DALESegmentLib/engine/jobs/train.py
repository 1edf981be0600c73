"""Train a model from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from .. import __version__
from ..cases.patients import patient_of
from ..cases.source import CaseSource
from ..dale.config import DaleConfig
from ..distributed.ranks import current
from ..errors import EngineError
from ..learn.build_trainer import training
from ..learn.checkpoint import Checkpoint
from ..learn.device import choose_device
from ..learn.networks import LEARNING_RATE, LEARNING_RATES, build
from ..learn.plan import Normalise, Plan, make_plan
from ..learn.prepare import PreparedCase
from ..learn.run_lock import run_folder
from ..learn.settings import LARGEST_SEED, TrainSettings
from ..learn.trainer import Trainer
from ..process.progress import Progress
from .parameters import CasesParameter, Parameters
from .resumed import resumed
from .survey import survey, tell_left_aside
from .training import Run, prepare_run, train_and_record, validation_count


class TrainParameters(Parameters):
    cases: CasesParameter | None = None
    out: Path
    method: Literal["dale", "plain"] = "dale"
    network: str | None = None
    dims: Literal[2, 3] | None = None
    normalise: Normalise | None = None
    epochs: int = Field(50, ge=1)
    steps_per_epoch: int = Field(50, ge=1)
    batch_size: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    learning_rate: float | None = Field(None, gt=0)
    device: str = "auto"
    dale: DaleConfig = DaleConfig()
    validation: float = Field(0.2, ge=0.0, lt=1.0)
    resume: bool = False
    overwrite: bool = False

    def settings(self, plan: Plan) -> TrainSettings:
        shared = set(TrainSettings.model_fields) & set(type(self).model_fields)
        values = {name: getattr(self, name) for name in shared}
        rate = self.learning_rate or LEARNING_RATES.get(plan.network, LEARNING_RATE)
        return TrainSettings(**{**values, "learning_rate": rate})


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = TrainParameters.model_validate(parameters)
    with run_folder(asked.out, resume=asked.resume, overwrite=asked.overwrite):
        return _train(asked, progress)


def _train(asked: TrainParameters, progress: Progress) -> dict[str, Any]:
    ranks = current()
    device = choose_device(asked.device)
    ranks.check_same("commands, versions or devices", (__version__, device.type, asked.model_dump(mode="json")))
    record = _record(asked, device, progress.part(0, 10)) if ranks.leads else None
    record = ranks.first(record)
    assert record is not None
    torch.manual_seed(record.settings.seed)
    network = build(record.plan.network, record.plan.network_arguments)
    prepared = prepare_run(record, progress.part(10, 19))
    plan, settings = record.plan, record.settings
    with_files = Checkpoint(asked.out, ranks)

    def make(cases: list[PreparedCase], validation: list[PreparedCase], part: Progress) -> Trainer:
        return training(plan, settings, network, cases, validation, with_files, device, part)

    return train_and_record(
        record, prepared, make, progress.part(19, 100), resume=asked.resume, overwrite=asked.overwrite
    )


def _record(asked: TrainParameters, device: torch.device, progress: Progress) -> Run:
    return resumed(asked) if asked.resume else _started(asked, device, progress)


def _started(asked: TrainParameters, device: torch.device, progress: Progress) -> Run:
    if asked.cases is None:
        raise EngineError("no-cases", "Name the cases to learn from: a folder, a list or items.")
    sources = asked.cases.find_to_learn()
    tell_left_aside(asked.cases, progress)
    facts = survey(sources, progress)
    plan = make_plan(facts, network=asked.network, dims=asked.dims, device=device.type, normalise=asked.normalise)
    # each rank has room for as many patches as were planned for one
    batch = asked.batch_size or plan.batch_size * current().size
    plan = plan.model_copy(update={"batch_size": batch})
    to_learn, validation = split(sources, asked.validation, asked.seed)
    labelled = {fact.name for fact in facts if fact.labelled}
    if labelled.isdisjoint(source.name for source in to_learn):
        raise EngineError(
            "label-empty",
            "All cases with anything labelled were drawn for the validation; give another seed, or a smaller share to "
            "validate on.",
        )
    return Run(asked.out, plan, asked.settings(plan), asked.cases, to_learn, validation)


def split(sources: list[CaseSource], share: float, seed: int) -> tuple[list[CaseSource], list[CaseSource]]:
    """Training and validation cases, no patient in both. Fewer than five patients are all trained on: a validation
    would say nothing."""
    patients = list(dict.fromkeys(patient_of(source) for source in sources))
    count = validation_count(share, len(patients))
    chosen = {patients[i] for i in np.random.default_rng(seed).permutation(len(patients))[:count]}
    training = [s for s in sources if patient_of(s) not in chosen]
    return training, [s for s in sources if patient_of(s) in chosen]
