"""The two trainings there are, put together: from nothing, and a fine-tune."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ..core.distributed import current
from ..core.progress import Progress
from ..dale import DaleConfig, DaleLoss, label_correctors
from ..planning.plan import Plan, TrainSettings
from ..planning.preprocessing import PreparedCase
from .callbacks import (
    BestOnReview,
    Callback,
    LabelRefinement,
    PartitionThresholds,
    RunOutputs,
    StepReports,
    TimeBudget,
    Validation,
)
from .checkpoint import Checkpoint
from .cross_fitting import CrossFitting
from .early_stopping import EarlyStopping, UnseenAgreement
from .finetuning import DistillationLoss, FinetuneSampler
from .run_log import Logger, RunLog
from .sampling import PatchSampler
from .trainer import Trainer
from .volume_calibration import VolumeCalibration


def training(
    plan: Plan,
    settings: TrainSettings,
    network: nn.Module,
    cases: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    checkpoint: Checkpoint | None,
    device: torch.device,
    progress: Progress,
    *,
    loss: DaleLoss | None = None,
    reports: StepReports | None = None,
    callbacks: Sequence[Callback] = (),
    logger: Logger | None = None,
) -> Trainer:
    """A training by the settings. cases, validation: the rank's own; checkpoint: where to write, nothing is without it;
    loss, reports: others than usual; callbacks: after all others but the one that writes;
    logger: see `RunLog`."""
    ranks = current()
    config = settings.objective_settings
    budget = TimeBudget(settings.seconds)
    before: tuple[Callback, ...] = (budget, LabelRefinement(settings.seconds, settings.dale), PartitionThresholds())
    loss = loss or DaleLoss(plan.classes, config, settings.trusted_share)
    if config is not None:
        if config.volume_calibration:
            before = (VolumeCalibration(config), *before)
        before = (*_on_unseen_cases(plan, settings, config, network, loss, cases, validation, device, budget), *before)
    around = (Validation(validation), reports or StepReports(), *callbacks)
    sampler = PatchSampler(cases, plan, focus_trusted=settings.focus_trusted, ranks=ranks)
    slice_axis = plan.slice_axis if plan.dims == 2 else None
    return Trainer(
        plan,
        settings,
        network,
        cases,
        loss,
        sampler,
        device,
        progress,
        correctors=[] if config is None else label_correctors(sampler.memory, plan.classes, config, slice_axis),
        callbacks=(*before, *around, *_written(checkpoint, None, logger)),
        ranks=ranks,
    )


def _written(checkpoint: Checkpoint | None, best: BestOnReview | None, logger: Logger | None) -> list[Callback]:
    """What writes to the run folder."""
    return [] if checkpoint is None else [RunLog(checkpoint.folder, logger), RunOutputs(checkpoint, best)]


def _on_unseen_cases(
    plan: Plan,
    settings: TrainSettings,
    config: DaleConfig,
    network: nn.Module,
    loss: DaleLoss,
    cases: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    device: torch.device,
    budget: TimeBudget,
) -> list[Callback]:
    """What decides on cases that are not learned from: the validation cases where they are enough, or folds."""
    ranks, crossing = current(), config.cross_fitting_config
    held_out, patch = sum(ranks.all_gather([len(validation)])), math.prod(plan.patch_size)
    voxels = sum(ranks.all_gather([max(math.prod(case.labels.shape), patch) for case in cases]))
    looks = settings.epochs * settings.steps_per_epoch * plan.batch_size * patch / max(voxels, 1)
    stops = config.early_stopping and looks > crossing.min_looks
    first = math.ceil(settings.epochs * crossing.min_looks / looks) if stops else 0
    # folds would take the time of a budget, in which there may be few looks
    if config.cross_fitting or (stops and held_out < crossing.min_validation and settings.seconds is None):
        make = partial(_on_folds, plan, device, config)
        return [CrossFitting(make, budget, crossing, compares=config.cross_fitting, stops=stops, first_epoch=first)]
    if not stops or held_out < crossing.min_validation:
        return []
    unseen = UnseenAgreement(validation, plan, ranks, crossing, follow=True, first_epoch=first)
    return [EarlyStopping(unseen, network.state_dict(), loss.state_dict(), budget)]


def _on_folds(
    plan: Plan,
    device: torch.device,
    config: DaleConfig,
    settings: TrainSettings,
    network: nn.Module,
    cases: Sequence[PreparedCase],
    progress: Progress,
    callbacks: Sequence[Callback],
) -> Trainer:
    """A training for cross-fitting: it decides nothing of its own and writes nothing."""
    settings = settings.model_copy(update={"dale": replace(config, cross_fitting=False, early_stopping=False)})
    reports = StepReports("Comparing on folds of the cases")
    return training(plan, settings, network, cases, [], None, device, progress, reports=reports, callbacks=callbacks)


def finetuning(
    plan: Plan,
    settings: TrainSettings,
    network: nn.Module,
    cases: Sequence[PreparedCase],
    validation: Sequence[PreparedCase],
    checkpoint: Checkpoint | None,
    device: torch.device,
    progress: Progress,
    *,
    deadline: float | None = None,
    logger: Logger | None = None,
) -> Trainer:
    """A training that starts from `network`. cases, validation: the rank's own; deadline: on the monotonic clock,
    instead of the settings' seconds.

    Its batches are half as large: twice as many steps do more for what is learned by heart. Labels are not refined: it
    goes on with what the training it comes from proposed, and a budget is for what was corrected.
    """
    half = plan.model_copy(update={"batch_size": max(2, -(-plan.batch_size // 2))})
    sampler = FinetuneSampler(cases, half, settings.finetune, ranks=current())
    budget = TimeBudget(settings.seconds, deadline)
    best = BestOnReview(sampler, budget)
    *log, outputs = _written(checkpoint, best, logger) or [Callback()]
    return Trainer(
        plan,
        settings,
        network,
        cases,
        DistillationLoss(plan, settings, network),
        sampler,
        device,
        progress,
        callbacks=(best, budget, PartitionThresholds(), outputs, Validation(validation, at_end=True), *log),
    )
