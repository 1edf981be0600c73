"""How long a training lasts, and whether it refines labels, decided on cases that were not learned from.

The cases are parted into folds, none with a patient of another. Before the training, one network learns plainly from
all folds but one, for each fold, and its agreement with the labels of the fold that it does not see is followed (see
`early_stopping`). Two things follow:

- The length. Where agreement was clearly better earlier on than at the end, the training is as long as that; longer by
  as much as its cases are more, so that each is seen as often.
- Label refinement (DALE), where that is asked, too. Networks of this length learn with refinement as well, and
  refinement is kept only where it agrees clearly better with the unseen labels; otherwise the training is plain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import nn

from ..core.distributed import Ranks
from ..core.progress import Progress
from ..dale.config import CrossFittingConfig
from ..planning.networks import build
from ..planning.plan import TrainSettings
from ..planning.preprocessing import PreparedCase
from .callbacks import Callback, TimeBudget
from .early_stopping import Agreement, Decision, Gain, UnseenAgreement

if TYPE_CHECKING:
    from .trainer import Trainer


class MakeTrainer(Protocol):
    """Puts a training without cross-fitting together."""

    def __call__(
        self,
        settings: TrainSettings,
        network: nn.Module,
        cases: Sequence[PreparedCase],
        progress: Progress,
        callbacks: Sequence[Callback],
    ) -> Trainer: ...


class CrossFitting(Callback):
    """Decides before the first epoch, see above, and sets the trainer accordingly.

    make: of the trainings on folds; budget: the trainer's, of which `time_share` is for them. What they take beyond
    that, since evaluating many cases takes long, is not taken from the training itself. compares: whether refinement is
    compared with plain training; without it labels are refined as they are asked to be. stops: whether the training is
    shortened where that is clearly better. first_epoch: up to which every training is followed.
    """

    name = "cross_fitting"

    def __init__(
        self,
        make: MakeTrainer,
        budget: TimeBudget,
        config: CrossFittingConfig,
        *,
        compares: bool,
        stops: bool = True,
        first_epoch: int = 0,
    ) -> None:
        self.make = make
        self.budget = budget
        self.config = config
        self.compares = compares
        self.stops = stops
        self.first_epoch = first_epoch
        self.decision: Decision | None = None
        self.seconds = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        if self.decision is None:
            started, progress = trainer.elapsed, trainer.progress
            trainer.progress = progress.part(50, 100)
            self.decision = self._decide(trainer, progress.part(0, 50))
            self.seconds = trainer.ranks.broadcast(trainer.elapsed - started)
            trainer.restart_clock()
        if self.budget.seconds is not None:
            rest = self.budget.seconds - self.seconds
            self.budget.seconds = max(rest, (1 - self.config.time_share) * self.budget.seconds)
        trainer.settings = trainer.settings.model_copy(update={"epochs": self.decision.epochs})
        if not self.decision.refines:
            trainer.loss.config = None

    def state_dict(self) -> dict[str, Any]:
        assert self.decision is not None  # of a training that has begun
        return {"seconds": self.seconds, "decision": self.decision.to_json()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds, self.decision = state["seconds"], Decision.from_json(state["decision"])

    def _decide(self, trainer: Trainer, progress: Progress) -> Decision:
        config, asked = self.config, trainer.settings.epochs
        folds = _folds(trainer.cases, trainer.ranks, config.folds)
        sizes = [sum(trainer.ranks.all_gather([len(fold)])) for fold in folds]
        owners = trainer.ranks.all_gather([case.patient or case.name for case in trainer.cases])
        if trainer.ranks.size > 1 and len(set(owners)) < len(owners):  # whose folds could share a patient
            return Decision(asked, asked, refines=not self.compares)
        if sum(sizes) < config.min_cases or min(sizes) < config.min_cases // (2 * config.folds):
            return Decision(asked, asked, refines=not self.compares)
        trials = _Trials(trainer, self, folds, progress, parts=3 if self.compares else 1)
        full = trials.run(asked, refines=False, part=0, follow=True)
        stop, epochs = full.gain(), asked
        if self.stops and stop.is_clear(config.level):
            epochs = min(asked, -(-full.best_epoch() * config.folds // (config.folds - 1)))
        if not self.compares:
            return Decision(epochs, asked, refines=True, stop=stop)
        plain = full if epochs == asked else trials.run(epochs, refines=False, part=1)
        refined = trials.run(epochs, refines=True, part=2)
        gain = Gain.of(refined.last, plain.last)
        return Decision(epochs, asked, gain.is_clear(config.level), stop, gain)


def _folds(cases: Sequence[PreparedCase], ranks: Ranks, count: int) -> list[list[PreparedCase]]:
    """One patient after the other in turn, so that none is in two; on several ranks one case of each rank after the
    other, because each fold is shared as all cases are (of patients with one case each). With labels about which
    nothing was learned."""
    patients = list(dict.fromkeys(case.patient or case.name for case in cases))
    number = {patient: n for n, patient in enumerate(patients)}
    folds: list[list[PreparedCase]] = [[] for _ in range(count)]
    for n, case in enumerate(cases):
        which = n if ranks.size > 1 else number[case.patient or case.name]
        folds[which % count].append(replace(case, labels=case.labels.unlearned()))
    return folds


class _Trials:
    """Trainings on all folds but one; all begin with the weights that the whole training begins with. parts: how many
    times `run` may be called."""

    def __init__(
        self,
        trainer: Trainer,
        by: CrossFitting,
        folds: Sequence[Sequence[PreparedCase]],
        progress: Progress,
        parts: int,
    ) -> None:
        self.trainer = trainer
        self.by = by
        self.folds = folds
        self.progress = progress
        self.parts = parts
        self.weights = {name: value.detach().clone() for name, value in trainer.network.state_dict().items()}

    def run(self, epochs: int, *, refines: bool, part: int, follow: bool = False) -> Agreement:
        """Of trainings of so many epochs, as many as the training on all cases would have."""
        config, seconds, ranks = self.by.config, self.by.budget.seconds, self.trainer.ranks
        trainings = self.parts * len(self.folds)
        settings = self.trainer.settings.model_copy(
            update={
                "method": "dale" if refines else "plain",
                "epochs": epochs,
                "seconds": None if seconds is None else config.time_share * seconds / trainings,
            }
        )
        found = []
        for n, fold in enumerate(self.folds):
            others = [case for m, other in enumerate(self.folds) if m != n for case in other]
            learned = [replace(case, labels=case.labels.unlearned()) for case in others]
            first = self.by.first_epoch
            unseen = UnseenAgreement(fold, self.trainer.plan, ranks, config, follow=follow, first_epoch=first)
            place = part * len(self.folds) + n
            progress = self.progress.part(100 * place / trainings, 100 * (place + 1) / trainings)
            self.by.make(settings, self._network(), learned, progress, [unseen]).fit()
            found.append(unseen)
        return _together(found)

    def _network(self) -> nn.Module:
        plan = self.trainer.plan
        network = build(plan.network, plan.network_arguments)
        network.load_state_dict(self.weights)
        return network


def _together(found: Sequence[UnseenAgreement]) -> Agreement:
    """Of all folds, at the epochs at which each was evaluated, and at the end of each."""
    shared = [epoch for epoch in found[0].epochs if all(epoch in one.epochs for one in found)]
    rows = [np.concatenate([one.scores[one.epochs.index(epoch)] for one in found]) for epoch in shared]
    rows.append(np.concatenate([one.scores[-1] for one in found]))
    last = max(one.epochs[-1] for one in found)
    return Agreement([*shared, last], np.array(rows), tuple(len(one.scores[-1]) for one in found))
