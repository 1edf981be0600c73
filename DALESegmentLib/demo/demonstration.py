"""The whole job once, by one engine process: train, review, correct, fine-tune, compare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.dale.issues import Region
from ..engine.rpc.client import EngineClient
from .data import DemoData
from .progress_printer import ProgressPrinter
from .simulated_review import simulate_review

WORST = 5  # regions that are corrected


@dataclass(frozen=True)
class Effort:
    """Numbers of steps, not of seconds: two runs with one seed learn the same, on whatever machine."""

    epochs: int = 16
    steps: int = 30
    tune_epochs: int = 15
    tune_steps: int = 20


EXPECTED = {
    "data": 5.0,
    "plain": 90.0,
    "dale": 95.0,
    "review": 6.0,
    "correct": 3.0,
    "tune": 30.0,
    "compare": 20.0,
    "pictures": 7.0,
}
"""Seconds of each step on two free cores, for the first guess of how long it takes."""


@dataclass
class DemoResults:
    """The results, by "plain", "dale" and "tuned" (DALE after the corrections).

    held_out, training: the means of `evaluate` against the reference. labels: the same for the labels learned from,
    with their label errors. review: what the simulated review was worth. tuned: the confirmed voxels.
    """

    effort: Effort
    models: dict[str, str] = field(default_factory=dict)
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    held_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the engine says about the list of regions as a whole."""
    review: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
    device: str = ""

    @property
    def worst(self) -> list[Region]:
        return self.regions[:WORST]


@dataclass
class Demonstration:
    data: DemoData
    out: Path
    seed: int
    engine: EngineClient
    report: ProgressPrinter
    effort: Effort = field(default_factory=Effort)

    def run(self) -> DemoResults:
        done = DemoResults(self.effort)
        self._train(done, "plain", "plain Dice + cross-entropy, with every label at full weight")
        self._train(done, "dale", "DALE, which learns on the way how far each label can be trusted")
        self._review(done)
        corrected = self._correct(done)
        self._fine_tune(done, corrected)
        self._compare(done)
        return done

    def _train(self, done: DemoResults, method: str, words: str) -> None:
        steps = self.effort.epochs * self.effort.steps
        self.report.step(method, f"Training on {len(self.data.train)} cases, {steps} steps, with {words}")
        result = self._ask(
            "train",
            cases=self._cases(self.data.train),
            out=str(self.out / "models" / method),
            method=method,
            epochs=self.effort.epochs,
            steps_per_epoch=self.effort.steps,
            seed=self.seed,
            validation=0.0,
            normalise=self.data.normalise,
            dims=2 if self.data.normalise == "slice" else None,  # slices that do not compare are learned one by one
        )
        done.models[method], done.histories[method] = result["run"], result["history"]
        done.device = result["device"]

    def _review(self, done: DemoResults) -> None:
        self.report.step("review", "Finding doubtful regions in the labels of the training cases")
        cases, maps = self._cases(self.data.train), str(self.out / "review")
        result = self._ask("review", model=done.models["dale"], cases=cases, out=maps)
        done.regions = [Region.from_dict(region) for region in result["regions"]]
        said = [*(weak["sentence"] for weak in result["too_weak"]), result["expected_real"]["sentence"]]
        done.notes = [sentence for sentence in said if sentence]
        done.labels = self._ask("evaluate", cases=cases, confidence=maps)["mean"]

    def _correct(self, done: DemoResults) -> list[dict[str, Any]]:
        count = len(done.worst)
        self.report.step("correct", f"Correcting the {count} worst places from the reference, as a clinician would")
        reviewed = simulate_review(self.data, done.worst, self.out)
        done.review = reviewed.facts
        return reviewed.items

    def _fine_tune(self, done: DemoResults, corrected: list[dict[str, Any]]) -> None:
        effort = self.effort
        steps = effort.tune_epochs * effort.tune_steps
        self.report.step("tune", f"Fine-tuning DALE's model on the corrected labels, {steps} steps")
        result = self._ask(
            "finetune",
            model=done.models["dale"],
            cases={"items": corrected},
            out=str(self.out / "models" / "tuned"),
            epochs=effort.tune_epochs,
            steps_per_epoch=effort.tune_steps,
            seed=self.seed,
        )
        done.models["tuned"], done.histories["tuned"] = result["run"], result["history"]
        done.tuned = {key: result[key] for key in ("confirmed_voxels", "confirmed_violated")}

    def _compare(self, done: DemoResults) -> None:
        self.report.step("compare", "Segmenting all cases with the three models and comparing with the reference")
        for name, model in done.models.items():
            done.held_out[name] = self._score(name, model, self.data.test)
            done.training[name] = self._score(name, model, self.data.train)

    def _score(self, name: str, model: str, cases: Iterable[str]) -> dict[str, Any]:
        asked, folder = self._cases(cases), str(self.out / "segmentations" / name)
        self._ask("predict", model=model, cases=asked, out=folder, overwrite=True)
        return self._ask("evaluate", cases=asked, predictions=folder)["mean"]

    def _cases(self, names: Iterable[str]) -> dict[str, Any]:
        return {"items": self.data.items(names)}

    def _ask(self, command: str, **parameters: Any) -> dict[str, Any]:
        return self.engine.call(command, parameters, self.report.progress)
