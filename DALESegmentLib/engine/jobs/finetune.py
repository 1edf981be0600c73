"""Go on from a model with corrected cases; what a clinician confirmed counts fully."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from ..cases.patients import patient_of
from ..cases.source import CaseSource
from ..errors import EngineError
from ..learn.bundle import load_bundle
from ..learn.confidence_map import label_classes
from ..learn.device import choose_device
from ..learn.folder import RUN_FILE, find_bundle, read_json
from ..learn.held_out import load_held_out
from ..learn.plan import Plan
from ..learn.predictor import Predictor
from ..learn.recalibrated import load_recalibration, outcomes, save_recalibration
from ..learn.remembered import load_remembered
from ..learn.run_lock import run_folder
from ..learn.settings import LARGEST_SEED, TrainSettings
from ..learn.validation import validation_dice
from ..process.progress import Progress
from .acceptance import judge, verdict
from .parameters import CasesParameter, Parameters
from .survey import read_labelled, tell_left_aside
from .training import Run, prepare_all, train_and_record

TRUSTED_SHARE = 0.1
"""Of the cross-entropy of a batch that holds trusted voxels, about so much is theirs at least."""


class FinetuneParameters(Parameters):
    model: Path
    cases: CasesParameter
    out: Path
    seconds: float | None = Field(None, gt=0)
    epochs: int = Field(10, ge=1)
    steps_per_epoch: int = Field(20, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    device: str = "auto"
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = FinetuneParameters.model_validate(parameters)
    if asked.out.resolve() == _run_folder(asked.model).resolve():
        raise EngineError(
            "run-exists", "A fine-tune needs a folder of its own, so that the model it starts from is kept."
        )
    with run_folder(asked.out, overwrite=asked.overwrite):
        return _finetune(asked, progress)


def _finetune(asked: FinetuneParameters, progress: Progress) -> dict[str, Any]:
    device = choose_device(asked.device)
    network, plan = load_bundle(asked.model, device)
    earlier = _earlier_run(asked.model)
    held_out = load_held_out(find_bundle(asked.model))
    training, validation = _split(asked.cases.find_to_learn(), held_out.names)
    tell_left_aside(asked.cases, progress)
    _check_cases([*training, *validation], plan, progress.part(0, 5))
    record = Run(asked.out, plan, _settings(asked, earlier), asked.cases, training, validation, held_out)
    predictor = Predictor(network, plan, device)
    before = judge(training, predictor, progress.part(5, 8))
    dice = validation_dice(prepare_all(validation, plan, progress.part(8, 9)), predictor, progress.part(9, 10))
    remembered, known = load_remembered(_run_folder(asked.model)), load_recalibration(_run_folder(asked.model))
    looked_at = prepare_all([s for s in training if s.name in before.right], plan, progress.part(10, 11))
    known = outcomes(known, looked_at, remembered, predictor, progress.part(11, 13))
    torch.manual_seed(asked.seed)
    result = train_and_record(
        record, network, device, progress.part(13, 95), overwrite=asked.overwrite, remembered=remembered
    )
    save_recalibration(asked.out, known)
    network.eval()
    after = judge(training, predictor, progress.part(95, 100))
    return result | verdict(before, after, dice, result["validation_dice"])


def _settings(asked: FinetuneParameters, earlier: dict[str, Any]) -> TrainSettings:
    """DALE (or plain) as the model was trained, without a warm-up: the model is warm."""
    stored = TrainSettings.model_validate(earlier["settings"]) if earlier else TrainSettings()
    return stored.model_copy(
        update={
            "dale": stored.dale.model_copy(update={"warm_up": 0.0}),
            "epochs": asked.epochs,
            "steps_per_epoch": asked.steps_per_epoch,
            "seconds": asked.seconds,
            "seed": asked.seed,
            "learning_rate": asked.learning_rate,
            "focus_trusted": True,
            "trusted_share": TRUSTED_SHARE,
        }
    )


def _split(sources: list[CaseSource], held_out: Collection[str]) -> tuple[list[CaseSource], list[CaseSource]]:
    """Cases the model was validated on stay validation cases, so that its score keeps its meaning; and so do others of
    the same patients."""
    patients = {patient_of(CaseSource(name)) for name in held_out}
    patients |= {patient_of(source) for source in sources if source.name in held_out}
    training = [s for s in sources if s.name not in held_out and patient_of(s) not in patients]
    if not training:
        raise EngineError(
            "only-validation-cases",
            "All the cases given are validation cases of this model; give at least one it may learn from.",
        )
    return training, [s for s in sources if s not in training]


def _check_cases(sources: list[CaseSource], plan: Plan, progress: Progress) -> None:
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Looking at case {i + 1} of {len(sources)}")
        case = read_labelled(source, plan.class_names)
        label_classes(case, plan)
        if case.channels != plan.channels:
            raise EngineError(
                "wrong-channels",
                f"{case.name} has {case.channels} channel(s), but the model was trained on {plan.channels}.",
            )


def _run_folder(model: Path) -> Path:
    return find_bundle(model).parent


def _earlier_run(model: Path) -> dict[str, Any]:
    """run.json of the training the model came from; empty for a bundle on its own."""
    path = _run_folder(model) / RUN_FILE
    return read_json(path) if path.is_file() else {}
