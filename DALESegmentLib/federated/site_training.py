"""The training of one site: rounds of the engine's own training, between which its weights are averaged with others'.

NVFlare runs this file as the client's script, from a copy; its imports are absolute for that reason. What the site
learned about its labels stays in its own run folder, as after any training.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from DALESegmentLib.engine.bundle.run_folder import claim_run_folder, run_folder
from DALESegmentLib.engine.bundle.validate import check_plan, check_trainable
from DALESegmentLib.engine.commands.dataset import check_image_order, find_labelled, survey, unite_with_model
from DALESegmentLib.engine.commands.parameters import CasesParameter
from DALESegmentLib.engine.commands.train import split
from DALESegmentLib.engine.commands.training_run import Run, prepare_run
from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import read_json
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.planning.networks import LEARNING_RATE, LEARNING_RATES, build
from DALESegmentLib.engine.planning.plan import Plan, TrainSettings
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.callbacks import Callback, RunOutputs
from DALESegmentLib.engine.training.checkpoint import Checkpoint
from DALESegmentLib.engine.training.trainer import Trainer
from DALESegmentLib.engine.training.validation import HeldOut, save_held_out, validation_dice

SITE_VARIABLE = "DALESEGMENT_SITE"
"""Environment variable that names the site's own file, see `Site`."""


class Site(BaseModel):
    """What a site keeps to itself. plan: the file of the agreed plan; cases: as the command train takes them; folder:
    of its run; validation: the share of its patients that it validates on."""

    model_config = ConfigDict(extra="forbid")

    plan: Path
    cases: CasesParameter
    folder: Path
    validation: float = 0.2
    device: str = "auto"


@dataclass(frozen=True)
class Rounds:
    """How long the sites train; the same at all of them. epochs: of one round; steps: of one epoch."""

    rounds: int = 10
    epochs: int = 1
    steps: int = 50
    seed: int = 0
    method: Literal["dale", "plain"] = "dale"

    def settings(self, plan: Plan) -> TrainSettings:
        """Without what one site would decide for itself: the length of the training and whether labels are refined."""
        return TrainSettings(
            method=self.method,
            dale=DaleConfig(cross_fitting=False, early_stopping=False, volume_calibration=False),
            epochs=self.rounds * self.epochs,
            steps_per_epoch=self.steps,
            seed=self.seed,
            learning_rate=LEARNING_RATES.get(plan.network, LEARNING_RATE),
        )


@dataclass(frozen=True)
class Outgoing:
    """All that leaves a site after a round: the network's parameters by name, the number of cases that it learned from,
    and the Dice of the weights it was sent on its own validation cases; None without any."""

    weights: dict[str, Tensor]
    cases: int
    validation_dice: float | None


def read_plan(path: Path) -> Plan:
    """The agreed plan. Raises EngineError("unreadable-file", "model-unusable", "not-trainable")."""
    try:
        plan = Plan.model_validate(read_json(path))
    except ValidationError as error:
        raise EngineError("unreadable-file", f"{path.name} is no plan; ask for the agreed plan.") from error
    check_plan(plan, path.name)
    check_trainable(plan, path.name)
    return plan


def read_site(path: Path) -> Site:
    """Raises EngineError("unreadable-file")."""
    try:
        return Site.model_validate(read_json(path))
    except ValidationError as error:
        raise EngineError(
            "unreadable-file", f'{path.name} names no site; write {{"plan": …, "cases": {{"folder": …}}, "folder": …}}.'
        ) from error


def find_site_cases(plan: Plan, cases: CasesParameter, progress: Progress) -> list[CaseSource]:
    """The site's cases. Raises EngineError("other-classes", "wrong-channels") where they do not fit the plan, and what
    finding and reading them raises."""
    sources = find_labelled(cases, progress, cases.find_to_learn(), plan.class_names)
    for source in sources:
        check_image_order(source.name, source.image_names, plan)
    union = unite_with_model(sources, plan.class_names)
    if union.new or union.kept:
        found, agreed = (
            ", ".join(union.names.get(value, f"class {value}") for value in values)
            for values in ([v for v in union.names if v not in union.kept] + list(union.new), plan.class_values[1:])
        )
        raise EngineError(
            "other-classes",
            f"The labels of this site have {found or 'no class'}, but the sites agreed on {agreed}; label these.",
        )
    facts = survey(sources, progress, plan.class_names)
    for fact in facts:
        if fact.channels != plan.channels or fact.planar != plan.planar:
            kinds = {True: "pictures", False: "volumes"}
            raise EngineError(
                "wrong-channels",
                f"The cases of this site are {kinds[fact.planar]} with {fact.channels} image(s) each, but the sites "
                f"agreed on {kinds[plan.planar]} with {plan.channels}; give these images alone.",
            )
    return sources


class _EndOfRound(Callback):
    """Ends a fit after so many epochs; the next goes on from there."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.should_stop = trainer.should_stop or (trainer.epoch + 1) % self.epochs == 0


class SiteTraining:
    """A site's training, a round at a time. Its folder is a run folder: `review`, `confidence` and `predict` take it.

    Raises EngineError("run-exists") where `first` and the folder holds a training, ("nothing-to-resume") where not
    `first` and it holds none, and what `find_site_cases` raises.
    """

    def __init__(self, rounds: Rounds, site: Site, *, first: bool) -> None:
        self.rounds, self.site, self.plan = rounds, site, read_plan(site.plan)
        self._open = ExitStack()
        self._open.enter_context(run_folder(site.folder, resume=not first))
        try:
            self._start(first, Progress())
        except BaseException:
            self.close()
            raise

    def _start(self, first: bool, progress: Progress) -> None:
        plan, site, settings = self.plan, self.site, self.rounds.settings(self.plan)
        sources = find_site_cases(plan, site.cases, progress)
        learned, validation = split(sources, site.validation, settings.seed)
        self.run = Run(site.folder, plan, settings, site.cases, learned, validation)
        cases, self.validation = prepare_run(self.run, progress)
        held_out = HeldOut().with_images([(case.name, case.fingerprint) for case in self.validation])
        held_out.check_unseen(cases)
        self.run = replace(self.run, inputs={case.name: case.inputs for case in [*cases, *self.validation]})
        network, device = build(plan.network, plan.network_arguments), choose_device(site.device)
        checkpoint, pause = Checkpoint(site.folder), _EndOfRound(self.rounds.epochs)
        self.trainer = training(plan, settings, network, cases, [], checkpoint, device, progress, callbacks=[pause])
        if first:
            claim_run_folder(site.folder, overwrite=False)
            save_held_out(site.folder, held_out)
            self.run.write("training", [])
            checkpoint.begin(cases)
        else:
            next(each for each in self.trainer.callbacks if isinstance(each, RunOutputs)).resume(self.trainer)

    def train_round(self, weights: Mapping[str, Any]) -> Outgoing:
        """Go on from these weights, arrays by the network's names, for a round."""
        network, trainer = self.trainer.network, self.trainer
        network.load_state_dict(_as_in(network.state_dict(), weights))
        dice = validation_dice(self.validation, trainer.predictor, trainer.progress) if self.validation else None
        trainer.should_stop = False
        trainer.fit()
        trainer.history[-1]["validation_dice"] = dice
        done = len(trainer.history) >= trainer.settings.epochs
        self.run.write("finished" if done else "training", trainer.history)
        sent = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        return Outgoing(sent, len(trainer.cases), dice)

    def close(self) -> None:
        """Let others train in the folder."""
        self._open.close()


def _as_in(own: Mapping[str, Tensor], given: Mapping[str, Any]) -> dict[str, Tensor]:
    """The given arrays in the types of the network's own. Raises EngineError("other-network")."""
    if set(own) != set(given) or any(tuple(own[name].shape) != tuple(given[name].shape) for name in own):
        raise EngineError("other-network", "The weights that came are of another network than the agreed plan's.")
    return {name: torch.as_tensor(given[name]).to(own[name].dtype) for name in own}


def arguments_of(rounds: Rounds, plan: Plan) -> str:
    """As the script takes them."""
    given = " ".join(f"--{name} {value}" for name, value in asdict(rounds).items())
    return f"{given} --plan-hash {fingerprint_of(plan)}"


def fingerprint_of(plan: Plan) -> str:
    """By which sites know that they train by one plan."""
    return hashlib.sha256(json.dumps(plan.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _parsed() -> tuple[Rounds, str, Path]:
    parser = argparse.ArgumentParser()
    for name, value in asdict(Rounds()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--plan-hash", default="")
    parser.add_argument("--site-file", type=Path, default=os.environ.get(SITE_VARIABLE))
    found = vars(parser.parse_args())
    site_file, plan_hash = found.pop("site_file"), found.pop("plan_hash")
    if site_file is None:
        raise EngineError("no-site", f"Set {SITE_VARIABLE} to the file that names this site's cases and folder.")
    return Rounds(**found), plan_hash, Path(site_file)


def _train(flare: Any) -> None:
    rounds, plan_hash, site_file = _parsed()
    site, current = read_site(site_file), None
    try:
        if plan_hash != fingerprint_of(read_plan(site.plan)):
            raise EngineError(
                "other-plan", f"{site.plan.name} is not the plan that this job was made with; get the agreed one."
            )
        while flare.is_running():
            received = flare.receive()
            if received is None:
                break
            if current is None:
                current = SiteTraining(rounds, site, first=received.current_round == 0)
            flare.send(as_message(current.train_round(received.params)))
    except EngineError as error:
        _note(site, error.sentence)
        raise
    except Exception:
        _note(site, traceback.format_exc())
        raise
    finally:
        if current is not None:
            current.close()


def as_message(outgoing: Outgoing) -> Any:
    """NVFlare's FLModel. Its FedAvg weighs by what it calls the number of steps; all sites take the same number, so
    that this is the number of cases, as in McMahan et al. 2017 (arXiv:1602.05629)."""
    from nvflare.client import FLModel, ParamsType

    dice = outgoing.validation_dice
    return FLModel(
        params_type=ParamsType.FULL,
        params=outgoing.weights,
        metrics={} if dice is None else {"validation_dice": dice},
        meta={"NUM_STEPS_CURRENT_ROUND": outgoing.cases},
    )


def _note(site: Site, text: str) -> None:
    """Beside the run folder: sentences name cases, and NVFlare may show an error's text to others."""
    path = site.folder.with_name(f"{site.folder.name}-error.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def main() -> None:
    """Train as long as the server asks. What goes wrong is written beside the site's folder alone."""
    import nvflare.client as flare

    flare.init()
    code = "internal"
    try:
        _train(flare)
        return
    except EngineError as error:
        code = error.code
    except Exception as error:
        code = type(error).__name__
    raise RuntimeError(f"The site stopped ({code}); the file *-error.txt beside its folder says why.")


if __name__ == "__main__":
    main()
