"""How well a network agrees with the labels of cases that it does not learn from, and when a training stops for it.

As long as labels do not all err in the same way, what agrees better with unseen labels is nearer to the truth, too; a
network that memorises its own labels' errors agrees with unseen ones less and less. Where agreement was clearly better
earlier on than at the end, the training starts over and is as long as that, so that its learning rate falls to its end
there, too.

Agreement is the Dice of predictions whose sizes are right: under noise the outlines with the highest Dice are too wide
(Nordström et al., arXiv 2304.04116), and of two networks the one that draws wider would seem to agree better. So one
offset is added to the logits of all classes but the background, with which the median predicted size of the unseen
cases is that of their labels.

"Clearly" is a mean above 0 and a signed-rank test over the cases (Wilcoxon, one-sided) below `level`; a mean alone
would hang on the few cases where everything was lost or won. It is blind to an annotator who errs in the same way
everywhere, and to cases unlike those at hand; with few unseen cases a training is as long as asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from torch import Tensor

from ..core.distributed import Ranks
from ..dale.config import CrossFittingConfig
from ..planning.plan import Plan
from ..planning.preprocessing import PreparedCase
from .callbacks import Callback, TimeBudget
from .sampling import PatchSampler
from .validation import agreement_of, evaluation_windows, predicted

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
            declined = (
                "Label refinement declined, the training is plain: there are too few cases, or too few patients, to "
                "try it on unseen ones."
            )
            return [] if self.refines else [declined]
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


@dataclass(frozen=True)
class Agreement:
    """epochs: (E,) at which agreement was computed; scores: (E, cases) Dice with the labels of unseen cases, the last
    row at the end of the training; parts: how many of the cases each network did not see, one network after the
    other. Of a single network, any parts."""

    epochs: list[int]
    scores: np.ndarray
    parts: tuple[int, ...]

    @property
    def last(self) -> np.ndarray:
        return self.scores[-1]

    def best_epoch(self) -> int:
        """The last one that follows the best without agreeing less by more than a standard error (Breiman et al. 1984,
        one-standard-error rule): a training is no shorter than it must be. Smoothed over three evaluations."""
        return self._best(np.ones(self.scores.shape[1], bool))

    def at_others_best(self) -> np.ndarray:
        """(cases,) at the epoch that is the best one for the cases of the other parts: the best of many evaluations
        would always seem to be better than the last one, judged by the cases it was chosen on."""
        found = self.last.copy()
        owner = np.repeat(np.arange(len(self.parts)), self.parts)
        for part in range(len(self.parts)):
            own = owner == part
            found[own] = self.at(self._best(~own))[own]
        return found

    def gain(self) -> Gain:
        """Of stopping at the best epoch against the last one."""
        return Gain.of(self.at_others_best(), self.last)

    def _best(self, chosen: np.ndarray) -> int:
        scores = self.scores[:, chosen]
        smooth = _smoothed(scores)
        found = best = int(smooth.mean(1).argmax())
        for later in range(best + 1, len(self.epochs)):
            lost = smooth[best] - smooth[later]
            if len(lost) < 2 or lost.mean() > lost.std(ddof=1) / len(lost) ** 0.5:
                break
            found = later
        return self.epochs[found]

    def at(self, epoch: int) -> np.ndarray:
        return self.scores[self.epochs.index(epoch)]


def _smoothed(scores: np.ndarray) -> np.ndarray:
    """(E, cases), over three evaluations each."""
    padded = np.concatenate([scores[:1], scores, scores[-1:]])
    smooth: np.ndarray = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return smooth


class UnseenAgreement(Callback):
    """Computes a network's agreement with the labels of cases that it does not learn from, at the end of the training,
    and while it lasts where `follow`; it then ends the training once agreement is long past its best, from
    `first_epoch` on."""

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        plan: Plan,
        ranks: Ranks,
        config: CrossFittingConfig,
        *,
        follow: bool,
        first_epoch: int = 0,
    ) -> None:
        self.windows = evaluation_windows(PatchSampler(cases, plan, ranks=ranks), config)
        self.config = config
        self.follow = follow
        self.first_epoch = first_epoch
        self.epochs: list[int] = []
        self.scores: list[list[float]] = []

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.follow and self.is_due(trainer):
            self.evaluate(trainer)
            trainer.should_stop = trainer.should_stop or self.is_long_past()

    def on_fit_end(self, trainer: Trainer) -> None:
        if not trainer.interrupted and len(trainer.history) not in self.epochs:
            self.evaluate(trainer)

    def is_due(self, trainer: Trainer) -> bool:
        epochs, done = trainer.settings.epochs, len(trainer.history)
        return done % -(-epochs // self.config.evaluations) == 0 or done == epochs

    def is_long_past(self) -> bool:
        """Whether agreement was clearly better in half of the time or less than in each of the last two evaluations: a
        network that is worse for a moment has not memorised anything."""
        if len(self.scores) < 3 or self.epochs[-1] < self.first_epoch:
            return False
        smooth = _smoothed(np.array(self.scores))
        best = int(smooth.mean(1).argmax())
        lost = [Gain.of(smooth[best], np.array(row)) for row in self.scores[-2:]]
        return self.epochs[-2] >= 2 * self.epochs[best] and all(one.is_clear(self.config.long_past) for one in lost)

    def evaluate(self, trainer: Trainer) -> None:
        own = []
        for windows in self.windows:
            own.append(predicted(trainer.network, windows, trainer.device))
            if trainer.ranks.size == 1:  # ranks have not as many cases each
                trainer.progress.check()
        self.epochs.append(len(trainer.history))
        self.scores.append(agreement_of(trainer.ranks.all_gather(own)))


class EarlyStopping(Callback):
    """Follows agreement with the labels of the validation cases while the training lasts, and starts it over for as
    many epochs as were best, see above; within a time budget, if that fits into the time that is left.

    weights, loss: what the training begins with. decision: None as long as it has not been started over.
    """

    name = "early_stopping"

    def __init__(
        self, unseen: UnseenAgreement, weights: Mapping[str, Tensor], loss: Mapping[str, Any], budget: TimeBudget
    ) -> None:
        self.unseen = unseen
        self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
        self.loss = deepcopy(dict(loss))
        self.budget = budget
        self.decision: Decision | None = None
        self.started_over = False
        self.seconds = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        if self.started_over:
            self._shorten(trainer)
        elif self.decision is not None:  # resumed after the epoch that decided
            trainer.starts_over = True

    def on_epoch_end(self, trainer: Trainer) -> None:
        unseen = self.unseen
        if self.decision is not None or not unseen.is_due(trainer):
            return
        unseen.evaluate(trainer)
        trainer.history[-1]["agreement"] = float(np.mean(unseen.scores[-1]))
        cases = len(unseen.scores[0])
        found = Agreement(unseen.epochs, np.array(unseen.scores), (cases // 2, cases - cases // 2))
        gain, best, done = found.gain(), found.best_epoch(), len(trainer.history)
        spent = trainer.ranks.broadcast(trainer.elapsed) / self.budget.seconds if self.budget.seconds else 0.0
        again = spent * best / done
        is_late = spent + spent / len(unseen.epochs) + again > 1 and self._was_past(found)
        if spent + again > 1 or not gain.is_clear(unseen.config.level):
            return
        ends = done == trainer.settings.epochs or is_late or unseen.is_long_past()
        if best < done and done >= unseen.first_epoch and ends:
            self.decision = Decision(best, trainer.settings.epochs, refines=True, stop=gain)
            trainer.starts_over = True

    def _was_past(self, found: Agreement) -> bool:
        """Whether agreement was clearly past its best in the evaluation before, too."""
        if len(found.epochs) < 2:
            return False
        earlier = Agreement(found.epochs[:-1], found.scores[:-1], found.parts)
        return earlier.gain().is_clear(self.unseen.config.level)

    def on_start_over(self, trainer: Trainer) -> None:
        assert self.decision is not None  # that is why
        message = f"Memorised label errors; training again, for {self.decision.epochs} epochs"
        trainer.progress.report(100.0 * trainer.share, "training", message)
        trainer.progress = trainer.progress.part(100.0 * trainer.share, 100)
        trainer.reset(self.weights, self.loss)
        self.started_over, self.seconds = True, trainer.ranks.broadcast(trainer.elapsed)
        trainer.restart_clock()
        self._shorten(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {
            "epochs": self.unseen.epochs,
            "scores": self.unseen.scores,
            "decision": None if self.decision is None else self.decision.to_json(),
            "started_over": self.started_over,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.unseen.epochs, self.unseen.scores = state["epochs"], state["scores"]
        self.decision = None if state["decision"] is None else Decision.from_json(state["decision"])
        self.started_over, self.seconds = state["started_over"], state["seconds"]

    def _shorten(self, trainer: Trainer) -> None:
        assert self.decision is not None
        trainer.settings = trainer.settings.model_copy(update={"epochs": self.decision.epochs})
        if self.budget.seconds is not None:
            self.budget.seconds = max(self.budget.seconds - self.seconds, 1e-3)
