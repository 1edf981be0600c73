"""The whole job once, spoken to one engine process: train, doubt, correct, fine-tune, compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.case_files import read_case, read_reference
from DALESegmentLib.engine.cases.image_files import write_image
from DALESegmentLib.engine.cases.source import CaseSource
from DALESegmentLib.engine.measure.overlap import mean_dice
from DALESegmentLib.engine.process.client import EngineClient
from DALESegmentLib.engine.review.corrections import correct_from_reference
from DALESegmentLib.engine.review.region import Region

from .data import DemoData

EPOCHS, STEPS = 16, 25
TRAIN_SECONDS = 80.0
TUNE_EPOCHS, TUNE_STEPS = 5, 20
WORST = 5

Say = Callable[[str], None]


@dataclass
class Rounds:
    """What came of it. models, histories: by "plain", "dale", "tuned"; scores: `evaluate`'s means on held-out cases."""

    models: dict[str, str] = field(default_factory=dict)
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    worst: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
    device: str = ""


@dataclass
class Demonstration:
    data: DemoData
    out: Path
    seed: int
    engine: EngineClient
    say: Say

    def play(self) -> Rounds:
        done = Rounds()
        self._train(done, "plain", EPOCHS, TRAIN_SECONDS)
        # as many steps as plain training had, however fast this machine is
        self._train(done, "dale", len(done.histories["plain"]), None)
        self._review(done)
        corrected = self._correct(done)
        self._fine_tune(done, corrected)
        for name in ("plain", "dale", "tuned"):
            done.scores[name] = self._score(name, done.models[name])
        return done

    def _ask(self, command: str, **parameters: Any) -> dict[str, Any]:
        last = [0.0]

        def show(report: dict[str, Any]) -> None:
            if time.monotonic() - last[0] < 15:
                return
            last[0] = time.monotonic()
            left = report.get("seconds_left")
            about = f", about {left:.0f} s left" if left is not None else ""
            self.say(f"   {report['percent']:3.0f} %  {report['message']}{about}")

        return self.engine.call(command, parameters, show)

    def _train(self, done: Rounds, method: str, epochs: int, seconds: float | None) -> None:
        words = {"plain": "plain Dice + cross-entropy", "dale": "DALE, which learns label confidence on the way"}
        self.say(f"Training with {words[method]} (up to {epochs} × {STEPS} steps)")
        result = self._ask(
            "train",
            cases={"items": self.data.items(self.data.train)},
            out=str(self.out / "models" / method),
            method=method,
            epochs=epochs,
            steps_per_epoch=STEPS,
            seconds=seconds,
            seed=self.seed,
            validation=0.0,
            normalise=self.data.normalise,
        )
        done.models[method], done.histories[method] = result["run"], result["history"]
        done.seconds[method], done.device = result["seconds"], result["device"]

    def _review(self, done: Rounds) -> None:
        self.say("Looking for doubtful label voxels in the training cases")
        asked = {"cases": {"items": self.data.items(self.data.train)}, "out": str(self.out / "review")}
        result = self._ask("review", model=done.models["dale"], **asked)
        done.regions = [Region.from_dict(region) for region in result["regions"]]
        maps = str(self.out / "review")
        done.labels = self._ask("evaluate", cases=asked["cases"], confidence=maps)["mean"]

    def _correct(self, done: Rounds) -> list[dict[str, Any]]:
        """Play the reviewer: the worst regions are redrawn from the reference, and trusted from then on."""
        worst = done.regions[:WORST]
        self.say(f"Correcting the {len(worst)} worst regions from the reference, as a clinician would")
        items, before, after, seen, wrong = {i["name"]: i for i in self.data.items(self.data.train)}, [], [], 0, 0
        for name in sorted({region.case for region in worst}):
            case, reference = load(items[name])
            ids = [region.region_id for region in worst if region.case == name]
            region_map = read_case(self._map_source(name)).image[0].astype(int)
            label, trusted = correct_from_reference(case.label, reference, region_map, ids, case.geometry.spacing)
            inside = np.isin(region_map, ids)
            seen, wrong = seen + int(inside.sum()), wrong + int((case.label != reference)[inside].sum())
            before.append(_dice(case.label, reference))
            after.append(_dice(label, reference))
            folder = self.out / "corrected" / name
            for role, array in (("label", label), ("trusted", trusted.astype(np.uint8))):
                path = folder / (role + self.data.extension)
                write_image(path, array, case.geometry)
                items[name][role] = str(path.absolute())
        share = wrong / seen if seen else None
        band = done.labels["label_errors"]["band"]["prevalence"]
        done.worst = {"regions": len(worst), "voxels": seen, "truly_wrong": share, "wrong_in_band": band}
        done.worst |= {"label_dice_before": _mean(before), "label_dice_after": _mean(after)}
        return list(items.values())

    def _map_source(self, name: str) -> CaseSource:
        return CaseSource(name, images=(self.out / "review" / name / ("regions" + self.data.extension),))

    def _fine_tune(self, done: Rounds, corrected: list[dict[str, Any]]) -> None:
        self.say("Fine-tuning on the corrections")
        result = self._ask(
            "finetune",
            model=done.models["dale"],
            cases={"items": corrected},
            out=str(self.out / "models" / "tuned"),
            epochs=TUNE_EPOCHS,
            steps_per_epoch=TUNE_STEPS,
            seed=self.seed,
        )
        done.models["tuned"], done.histories["tuned"] = result["run"], result["history"]
        done.seconds["tuned"] = result["seconds"]
        done.tuned = {key: result[key] for key in ("confirmed_voxels", "confirmed_violated")}

    def _score(self, name: str, model: str) -> dict[str, Any]:
        self.say(f"Predicting the held-out cases ({name})")
        cases = {"items": self.data.items(self.data.test)}
        folder = str(self.out / "predictions" / name)
        self._ask("predict", model=model, cases=cases, out=folder)
        return self._ask("evaluate", cases=cases, predictions=folder)["mean"]


def load(item: dict[str, Any]) -> tuple[Case, np.ndarray]:
    """A case and its reference (*grid), from the item the engine was given."""
    source = CaseSource(
        item["name"],
        images=tuple(Path(p) for p in item["images"]),
        label=Path(item["label"]),
        reference=Path(item["reference"]),
    )
    case = read_case(source)
    return case, read_reference(source, case)


def _dice(label: Any, reference: np.ndarray) -> float:
    score = mean_dice(np.asarray(label), reference)
    return 1.0 if score is None else score


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
