"""Whether a training refines labels, and how long it lasts, decided on cases that were not learned from.

Before the training, one network learns from each half of the cases, plainly. How well it agrees with the labels given
in the other half (Dice) is followed. As long as labels do not all err in the same way, what agrees better with unseen
labels is nearer to the truth, too; a network that memorises its own labels' errors agrees with unseen ones less
and less. Two things follow:

- The length. Where agreement was clearly better earlier on than at the end, the training is as long as that.
- Label refinement (DALE). Networks of this length learn from each half, plainly and with refinement. Refinement is kept
  only where it agrees clearly better with the unseen labels; otherwise the training is plain.

"Clearly" is a mean above 0 and a signed-rank test over the cases (Wilcoxon, one-sided) below `level`; a mean alone
would hang on the few cases where everything was lost or won. Both decisions are blind to an annotator who errs in the
same way everywhere, and to cases unlike those at hand; with few cases the training is plain and as long as asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from ..core.distributed import Ranks
from ..core.progress import Progress
from ..dale.config import CrossFittingConfig
from ..metrics.segmentation import dice
from ..planning.networks import build
from ..planning.plan import Plan, TrainSettings
from ..planning.preprocessing import PreparedCase
from .callbacks import Callback, TimeBudget
from .sampling import Batch, PatchSampler

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass(frozen=True)
class Gain:
    """Differences of Dice over unseen cases, in points of 100: their mean, its standard error, how many cases, and the
    one-sided p-value of Wilcoxon's signed-rank test (1 where nothing differs)."""

    mean: float
    standard_error: float
    cases: int
    p_value: float

    @classmethod
    def of(cls, after: np.ndarray, before: np.ndarray) -> Gain:
        """after, before: (cases,) Dice from 0 to 1, of the same cases. At least two."""
        points = 100.0 * (np.asarray(after) - np.asarray(before))
        p = stats.wilcoxon(points, alternative="greater", zero_method="zsplit").pvalue if points.any() else 1.0
        return cls(float(points.mean()), float(points.std(ddof=1) / len(points) ** 0.5), len(points), float(p))

    def is_clear(self, level: float) -> bool:
        return self.mean > 0 and self.p_value < level

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ± {self.standard_error:.1f} points of Dice on {self.cases} cases"


@dataclass(frozen=True)
class Decision:
    """epochs: how long the training lasts, of `asked`; refines: whether labels are refined; stop, refinement: the gains
    these rest on, None where nothing could be compared."""

    epochs: int
    asked: int
    refines: bool
    stop: Gain | None = None
    refinement: Gain | None = None

    def sentences(self) -> list[str]:
        """What was decided and why, for people."""
        if self.stop is None:
            return [
                "Label refinement declined, the training is plain: there are too few cases, or too few patients, to "
                "try it on unseen ones."
            ]
        told = []
        if self.epochs < self.asked:
            told.append(
                f"The training ends after {self.epochs} of {self.asked} epochs: networks trained longer memorised "
                f"label errors; stopped there they agree better with labels they have not seen ({self.stop})."
            )
        if self.refinement is None:
            return told
        how = "used" if self.refines else "declined, the training is plain"
        agrees = "agrees better" if self.refines else "does not agree clearly better"
        told.append(f"Label refinement {how}: it {agrees} with labels it has not seen ({self.refinement}).")
        return told

    def to_json(self) -> dict[str, Any]:
        gains = {name: None if gain is None else vars(gain) for name, gain in self._gains().items()}
        return {"epochs": self.epochs, "asked": self.asked, "refines": self.refines, **gains}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Decision:
        stop, refinement = (None if stored[n] is None else Gain(**stored[n]) for n in ("stop", "refinement"))
        return cls(stored["epochs"], stored["asked"], stored["refines"], stop, refinement)

    def _gains(self) -> dict[str, Gain | None]:
        return {"stop": self.stop, "refinement": self.refinement}


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

    make: of the trainings on halves; budget: the trainer's, of which `time_share` is for them. What they take beyond
    that, since evaluating many cases takes long, is not taken from the training itself.
    """

    name = "cross_fitting"

    def __init__(self, make: MakeTrainer, budget: TimeBudget, config: CrossFittingConfig) -> None:
        self.make = make
        self.budget = budget
        self.config = config
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
        asked = trainer.settings.epochs
        halves = _halves(trainer.cases, trainer.ranks)
        sizes = [sum(trainer.ranks.all_gather([len(half)])) for half in halves]
        if 2 * min(sizes) < self.config.min_cases:
            return Decision(asked, asked, refines=False)
        trials = _Trials(trainer, self, halves, progress)
        full = trials.run(asked, refines=False, part=0, follow=True)
        stop = Gain.of(full.at_others_best(), full.last)
        epochs = min(asked, 2 * full.best_epoch()) if stop.is_clear(self.config.level) else asked
        if not self.config.refine:
            return Decision(epochs, asked, refines=False, stop=stop, refinement=None)
        plain = full if epochs == asked else trials.run(epochs, refines=False, part=1)
        refined = trials.run(epochs, refines=True, part=2)
        gain = Gain.of(refined.last, plain.last)
        return Decision(epochs, asked, gain.is_clear(self.config.level), stop, gain)


def _halves(cases: Sequence[PreparedCase], ranks: Ranks) -> tuple[list[PreparedCase], list[PreparedCase]]:
    """Every other patient in turn, so that none is in both; on several ranks every other case of each rank, because
    each half is shared as all cases are. With labels about which nothing was learned."""
    patients = list(dict.fromkeys(case.patient or case.name for case in cases))
    number = {patient: n for n, patient in enumerate(patients)}
    halves: tuple[list[PreparedCase], list[PreparedCase]] = ([], [])
    for n, case in enumerate(cases):
        which = n if ranks.size > 1 else number[case.patient or case.name]
        halves[which % 2].append(replace(case, labels=case.labels.unlearned()))
    return halves


@dataclass(frozen=True)
class Agreement:
    """epochs: (E,) of a half's training, at which the agreement was computed; scores: (E, cases) Dice with the labels
    of unseen cases, the last row at the end of the training; the first `split` cases were unseen by the first half's
    network, the others by the second's."""

    epochs: list[int]
    scores: np.ndarray
    split: int

    @property
    def last(self) -> np.ndarray:
        return self.scores[-1]

    def best_epoch(self) -> int:
        """Of the mean over all cases, smoothed over three evaluations."""
        return self._best(self.scores)

    def at_others_best(self) -> np.ndarray:
        """(cases,) at the epoch that is the best one for the other half's cases: the best of many evaluations would
        always seem to be better than the last one, judged by the cases it was chosen on."""
        first, second = (self._best(part) for part in (self.scores[:, : self.split], self.scores[:, self.split :]))
        return np.concatenate([self.at(second)[: self.split], self.at(first)[self.split :]])

    def _best(self, scores: np.ndarray) -> int:
        means = scores.mean(1)
        padded = np.concatenate([means[:1], means, means[-1:]])
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        return self.epochs[int(smooth.argmax())]

    def at(self, epoch: int) -> np.ndarray:
        return self.scores[self.epochs.index(epoch)]


class _Trials:
    """Trainings on halves; all begin with the weights that the whole training begins with."""

    def __init__(
        self,
        trainer: Trainer,
        by: CrossFitting,
        halves: tuple[list[PreparedCase], list[PreparedCase]],
        progress: Progress,
    ) -> None:
        self.trainer = trainer
        self.by = by
        self.halves = halves
        self.progress = progress
        self.weights = {name: value.detach().clone() for name, value in trainer.network.state_dict().items()}

    def run(self, epochs: int, *, refines: bool, part: int, follow: bool = False) -> Agreement:
        """Of a training of so many epochs on all cases; a half is learned in half as many."""
        config, seconds = self.by.config, self.by.budget.seconds
        settings = self.trainer.settings.model_copy(
            update={
                "method": "dale" if refines else "plain",
                "epochs": -(-epochs // 2),
                "seconds": None if seconds is None else config.time_share * seconds / 6,
            }
        )
        found = []
        for n in (0, 1):
            learned = [replace(case, labels=case.labels.unlearned()) for case in self.halves[n]]
            unseen = UnseenAgreement(self.halves[1 - n], self.trainer.plan, self.trainer.ranks, config, follow=follow)
            progress = self.progress.part(100 * (2 * part + n) / 6, 100 * (2 * part + n + 1) / 6)
            self.by.make(settings, self._network(), learned, progress, [unseen]).fit()
            found.append(unseen)
        shared = [epoch for epoch in found[0].epochs if epoch in found[1].epochs]
        rows = [np.concatenate([one.scores[one.epochs.index(epoch)] for one in found]) for epoch in shared]
        rows.append(np.concatenate([one.scores[-1] for one in found]))
        split = len(found[0].scores[-1])
        return Agreement([*shared, max(one.epochs[-1] for one in found)], np.array(rows), split)

    def _network(self) -> nn.Module:
        plan = self.trainer.plan
        network = build(plan.network, plan.network_arguments)
        network.load_state_dict(self.weights)
        return network


class UnseenAgreement(Callback):
    """Computes a network's Dice with the labels of cases that it does not learn from, at the end of the training, and
    while it lasts where `follow`; it then ends the training once agreement is long past its best."""

    def __init__(
        self, cases: Sequence[PreparedCase], plan: Plan, ranks: Ranks, config: CrossFittingConfig, *, follow: bool
    ) -> None:
        self.batches = unseen_batches(cases, plan, ranks, config)
        self.config = config
        self.follow = follow
        self.epochs: list[int] = []
        self.scores: list[list[float]] = []

    def on_epoch_end(self, trainer: Trainer) -> None:
        epochs, done = trainer.settings.epochs, trainer.epoch + 1
        every = -(-epochs // self.config.evaluations)
        if not self.follow or done % every or done == epochs:
            return
        self._evaluate(trainer, done)
        best = int(np.argmax([np.mean(row) for row in self.scores]))
        lost = Gain.of(np.array(self.scores[best]), np.array(self.scores[-1]))
        if done >= 2 * self.epochs[best] and lost.is_clear(self.config.long_past):
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        if not trainer.interrupted and (done := len(trainer.history)) not in self.epochs:
            self._evaluate(trainer, done)

    def _evaluate(self, trainer: Trainer, epoch: int) -> None:
        own = [case_dice(trainer.network, batches, trainer.device) for batches in self.batches]
        self.epochs.append(epoch)
        self.scores.append(trainer.ranks.all_gather(own))


def unseen_batches(
    cases: Sequence[PreparedCase], plan: Plan, ranks: Ranks, config: CrossFittingConfig
) -> list[list[Batch]]:
    """For each case some windows as the sliding window has them, as batches on the CPU: at most `windows` of it, half
    of them with something labelled, where there are such. cases: the rank's own, of which at most `cases` in all are
    evenly taken, on each rank alike."""
    sampler = PatchSampler(cases, plan, ranks=ranks)
    chosen = range(0, len(cases), max(1, -(-len(sampler.outlines) // config.cases)))
    found = []
    for n in chosen:
        windows = sampler.windows_of(sampler.numbers[n])
        labels = cases[n].labels
        inside = [w for w in windows if bool((labels.initial(w.coverage(labels.shape).where) > 0).any())]
        if len(windows) > config.windows:
            some = _evenly(inside, config.windows // 2)
            others = [w for w in windows if w not in some]
            windows = [*some, *_evenly(others, config.windows - len(some))]
        size = max(plan.batch_size, 1)
        cpu = torch.device("cpu")
        found.append([sampler.take(windows[i : i + size], cpu) for i in range(0, len(windows), size)])
    return found


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    return list(items) if len(items) <= most else [items[round(i)] for i in np.linspace(0, len(items) - 1, most)]


@torch.no_grad()
def case_dice(network: nn.Module, batches: Sequence[Batch], device: torch.device) -> float:
    """Dice of the most probable classes with the target over all batches of a case: the mean of the classes that are in
    either; 1 where there are none in both."""
    was = network.training
    network.eval()
    both, sizes = torch.zeros(1), torch.zeros(1)
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits: Tensor = network(batch.image.to(device))
        classes = logits.shape[1]
        valid = (batch.valid > 0).flatten()
        found, given = logits.argmax(1).cpu().flatten()[valid], batch.target.flatten()[valid]
        both = both + torch.bincount(given[found == given], minlength=classes)
        sizes = sizes + torch.bincount(found, minlength=classes) + torch.bincount(given, minlength=classes)
    network.train(was)
    pairs = zip(both[1:].tolist(), sizes[1:].tolist(), strict=True)
    scores = [score for n, size in pairs if (score := dice(n, size)) is not None]
    return float(np.mean(scores)) if scores else 1.0
