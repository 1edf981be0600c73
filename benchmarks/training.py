"""Train a cell through the engine's own path: plan, prepared cases, trainer."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.correctors.annotator_bias import correct_bias
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.planning.networks import LEARNING_RATE, LEARNING_RATES, build
from DALESegmentLib.engine.planning.plan import Plan, TrainSettings
from DALESegmentLib.engine.planning.preprocessing import PreparedCase, prepare_case, prepare_label
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.cross_fitting import CrossFitting, Decision
from DALESegmentLib.engine.training.trainer import Trainer

from .cell import Cell
from .loading import Sample, load
from .methods.registry import callbacks, dale_settings, objective
from .noise import noisy_label
from .small_plan import plan_for
from .trusted_voxels import trusted_masks

TRUSTED_SHARE = 0.2
"""Of the loss of a batch that holds trusted voxels, at least so much is theirs; as in the engine's fine-tuning."""


@dataclass
class Trained:
    """samples and cases go together: the clean truth, and the very case that was learned from."""

    plan: Plan
    samples: list[Sample]
    cases: list[Case]
    prepared: list[PreparedCase]
    predictor: Predictor
    seconds: float
    cpu_seconds: float
    steps: int
    decision: Decision | None
    """What cross-fitting came to, of methods that have it."""


def noisy_cases(samples: list[Sample], cell: Cell) -> list[Case]:
    """The training cases with the label as the annotator drew it."""
    noise, level = cell.spoiled_by
    return [replace(s.case, label=noisy_label(s, noise, level, cell.draw)) for s in samples]


def corrected_cases(samples: list[Sample], noisy: list[Case], cell: Cell) -> list[Case]:
    """Corrected and trusted where the clinician reviewed."""
    if not cell.trusted:
        return noisy
    labels = [np.asarray(case.label) for case in noisy]
    truths = [np.asarray(s.case.label) for s in samples]
    masks = trusted_masks(labels, truths, [s.case.geometry.array_spacing for s in samples], cell.trusted)
    return [
        replace(case, label=np.where(mask, truth, label), trusted=mask)
        for case, label, truth, mask in zip(noisy, labels, truths, masks, strict=True)
    ]


def train_settings(cell: Cell) -> TrainSettings:
    dale = dale_settings(cell.trained_as)
    return TrainSettings(
        method="plain" if dale is None else "dale",
        dale=dale or DaleConfig(),
        epochs=cell.length * cell.data.epochs,
        steps_per_epoch=cell.data.steps_per_epoch,
        seed=cell.seed,
        learning_rate=LEARNING_RATES.get(cell.network, LEARNING_RATE),
        trusted_share=TRUSTED_SHARE if cell.trusted else 0.0,
        focus_trusted=cell.trusted > 0,
    )


def make_trainer(cell: Cell, data: Path, device_name: str = "auto") -> tuple[Trainer, list[Sample], list[Case]]:
    device = choose_device(device_name)
    samples = list(load(cell.data, data, "train", cell.draw))
    plan = plan_for(samples, cell.data, cell.network, device.type)
    noisy = noisy_cases(samples, cell)
    cases = corrected_cases(samples, noisy, cell)
    settings = train_settings(cell)
    torch.manual_seed(cell.seed)
    network = build(plan.network, plan.network_arguments)
    loss = objective(cell.trained_as, plan, settings)
    prepared = [replace(prepare_case(c, plan), patient=s.patient) for c, s in zip(cases, samples, strict=True)]
    if settings.method == "dale" and settings.dale.bias_correction and cell.trusted:
        for each, case in zip(prepared, noisy, strict=True):
            each.labels.restore_given(prepare_label(case, plan)[0])
        correct_bias(prepared, [], settings.dale.annotator_bias_config)
    more = callbacks(cell.trained_as, loss, settings)
    trainer = training(plan, settings, network, prepared, [], None, device, Progress(), loss=loss, callbacks=more)
    return trainer, samples, cases


def train(cell: Cell, data: Path, device_name: str = "auto") -> Trained:
    trainer, samples, cases = make_trainer(cell, data, device_name)
    started, cpu = time.monotonic(), time.process_time()
    trainer.fit()
    return Trained(
        trainer.plan,
        samples,
        cases,
        list(trainer.cases),
        trainer.predictor,
        time.monotonic() - started,
        time.process_time() - cpu,
        len(trainer.history) * cell.data.steps_per_epoch,
        next((c.decision for c in trainer.callbacks if isinstance(c, CrossFitting)), None),
    )
