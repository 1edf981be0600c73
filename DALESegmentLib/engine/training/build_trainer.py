"""The two trainings there are, put together: from nothing, and a fine-tune."""

from __future__ import annotations

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
from .finetuning import DistillationLoss, FinetuneSampler
from .sampling import PatchSampler
from .trainer import Trainer


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
) -> Trainer:
    """A training by the settings. cases, validation: the rank's own; checkpoint: where to write, nothing is without it;
    loss, reports: others than usual; callbacks: after all others but the one that writes."""
    ranks = current()
    config = settings.objective_settings
    budget = TimeBudget(settings.seconds)
    before: tuple[Callback, ...] = (budget, LabelRefinement(settings.seconds, settings.dale), PartitionThresholds())
    if config is not None and config.cross_fitting:
        make = partial(_on_half, plan, device, config)
        before = (CrossFitting(make, budget, config.cross_fitting_config), *before)
    around = (Validation(validation), reports or StepReports(), *callbacks)
    sampler = PatchSampler(cases, plan, focus_trusted=settings.focus_trusted, ranks=ranks)
    slice_axis = plan.slice_axis if plan.dims == 2 else None
    return Trainer(
        plan,
        settings,
        network,
        cases,
        loss or DaleLoss(plan.classes, config, settings.trusted_share),
        sampler,
        device,
        progress,
        correctors=[] if config is None else label_correctors(sampler.memory, plan.classes, config, slice_axis),
        callbacks=(*before, *around, *([] if checkpoint is None else [RunOutputs(checkpoint)])),
        ranks=ranks,
    )


def _on_half(
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
    settings = settings.model_copy(update={"dale": replace(config, cross_fitting=False)})
    reports = StepReports("Comparing on halves of the cases")
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
) -> Trainer:
    """A training that starts from `network`, in a process of its own. deadline: on the monotonic clock, instead of the
    settings' seconds.

    Its batches are half as large: twice as many steps do more for what is learned by heart. Labels are not refined: it
    goes on with what the training it comes from proposed, and a budget is for what was corrected.
    """
    half = plan.model_copy(update={"batch_size": max(2, -(-plan.batch_size // 2))})
    sampler = FinetuneSampler(cases, half, settings.finetune)
    budget = TimeBudget(settings.seconds, deadline)
    best = BestOnReview(sampler, budget)
    outputs = [] if checkpoint is None else [RunOutputs(checkpoint, best)]
    return Trainer(
        plan,
        settings,
        network,
        cases,
        DistillationLoss(plan, settings, network),
        sampler,
        device,
        progress,
        callbacks=(best, budget, PartitionThresholds(), *outputs, Validation(validation, at_end=True)),
    )
