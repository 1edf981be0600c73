"""The methods by name."""

from __future__ import annotations

from typing import Any

import torch

from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import Plan, TrainSettings
from DALESegmentLib.engine.training.callbacks import Callback

from .adele import Adele, AdeleLoss
from .aio2 import Aio2, Aio2Loss
from .baseline import Baseline
from .cleanlab_filter import CleanlabFilter
from .correct_after_epochs import CorrectAfterEpochs
from .coteaching import CoTeaching
from .gce import GeneralisedCrossEntropy
from .lopsided import Lopsided
from .robust_losses import NoiseRobustDice, TLoss

DALE: dict[str, dict[str, Any]] = {
    "dale": {},
    "dale-cross-fitted": {"cross_fitting": True},
    "plain-stopped": {
        "warm_up": 0.9999,
        "warm_up_slope": -1e9,
        "missed_objects": False,
        "volume_calibration": False,
    },
    "dale-not-stopped": {"early_stopping": False},
    "dale-no-partition": {"partition": False},
    "dale-no-confidence": {"confidence": False},
    "dale-no-consistency": {"consistency": False},
    "dale-no-alternation": {"alternation": False},
    "dale-no-alignment": {"alignment": False},
    "dale-image-evidence": {"image_evidence": True},
    "dale-no-missed-objects": {"missed_objects": False},
    "dale-no-agreement": {},
    "dale-joint": {"partition": False, "alternation": False},
    "dale-no-volume-calibration": {"volume_calibration": False},
    "dale-no-bias-correction": {"bias_correction": False},
}
"""All but dale-not-stopped end where they agree best with unseen cases; dale-cross-fitted finds out there whether it
refines labels, too. plain-stopped warms up from the beginning to the end, which is plain training."""
EVEN_ODDS = ("dale-no-agreement",)
"""Methods whose confidence is without the prior of agreement; they train as DALE does."""
BASELINES = ("gce", "nr-dice", "t-loss", "adele", "cleanlab", "coteaching", "lopsided", "aio2")
"""The last two are made for labels that lack objects."""
CORE = ("clean", "plain", *BASELINES, "dale")
TRUSTING = ("plain", "dale-no-bias-correction", "dale")
"""Methods that are run with trusted voxels, without which no bias is known."""
MISSING = ("dale-no-missed-objects",)
"""Methods that are run where objects were missed; elsewhere they do what DALE does."""
DECIDED = ("dale-cross-fitted", "plain-stopped", "dale-not-stopped")
"""Methods that decide something else on unseen cases than DALE does, and may come to plain training."""
ABLATIONS = tuple(name for name in DALE if name not in (*TRUSTING, *MISSING, *DECIDED))
AGAIN = "plain-again"
"""Plain training with other weights and batches: how much two trainings differ by chance."""
METHODS = (*CORE, AGAIN, *DECIDED, *ABLATIONS, *MISSING, "dale-no-bias-correction")
USABLE = ("plain", AGAIN, *DALE)
"""Methods that the command `train` has, by its settings."""
WORK = {"coteaching": 2.0, "aio2": 1.4, "dale-cross-fitted": 7.0}
"""How many times the work of a plain training a method does; for estimates of time only."""
REMEMBERS = ("clean", "plain", AGAIN, *DALE)
"""Methods that keep the disagreement of the given labels; the others change or drop labels."""


def dale_settings(method: str) -> DaleConfig | None:
    return DaleConfig(**DALE[method]) if method in DALE else None


def objective(method: str, plan: Plan, settings: TrainSettings) -> Baseline | None:
    """The competitor's loss; None for plain training and DALE, which are the engine's own."""
    if method == "gce":
        return GeneralisedCrossEntropy(plan.classes)
    if method == "nr-dice":
        return NoiseRobustDice(plan.classes)
    if method == "t-loss":
        return TLoss(plan.classes, settings.learning_rate)
    if method == "lopsided":
        return Lopsided(plan.classes)
    if method == "aio2":
        return Aio2Loss(plan.classes, lambda: _peer(plan, settings.seed))
    if method == "adele":
        return AdeleLoss(plan.classes)
    if method == "cleanlab":
        return Baseline(plan.classes)
    if method == "coteaching":
        return CoTeaching(plan.classes, lambda: _peer(plan, settings.seed), settings.learning_rate)
    return None


def callbacks(method: str, loss: Baseline | None, settings: TrainSettings) -> list[Callback]:
    """What a competitor does at the end of epochs; loss: its own, of `objective`."""
    if isinstance(loss, AdeleLoss):
        return [CorrectAfterEpochs(Adele(loss))]
    if isinstance(loss, Aio2Loss):
        return [Aio2(loss)]
    if method == "cleanlab":
        return [CorrectAfterEpochs(CleanlabFilter(), {max(settings.epochs // 2, 1)})]
    return []


def _peer(plan: Plan, seed: int) -> torch.nn.Module:
    """A network that starts elsewhere, without touching the chance the first one trains by."""
    with torch.random.fork_rng():
        torch.manual_seed(seed + 1_000_003)
        return build(plan.network, plan.network_arguments)
