"""Kill -9 at random moments, of the engine or of the process that started it, and of one that writes the review log:
after each the last good state opens, every decision is there, and the next run goes on."""

from __future__ import annotations

import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER, RUN_FILE
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import read_json

from .lines_engine import LinesEngine, NoAnswer
from .review_log_process import ReviewLogProcess
from .small_cases import small_cases

SHORT = {"epochs": 12, "steps_per_epoch": 2, "device": "cpu"}
LONGEST_SECONDS = 1.5
"""Into a job: long enough for the reading, the first epochs with their checkpoints and bundles, and the end."""
KINDS = ("train", "resume", "finetune", "predict", "review")
OF_A_PARENT = 4
"""Each so manieth kill hits not the engine but its parent, after which the engine ends by itself."""
ORPHAN_SECONDS = 5.0
KILLS_A_LOG = 20


@dataclass
class Killed:
    kills: int = 0
    lost_confirmations: int = 0
    unreadable: list[str] = field(default_factory=list)
    while_working: int = 0
    """Kills that hit a job before it had answered."""


def run(root: Path, kills: int, seed: int = 0) -> Killed:
    """root: an empty folder."""
    chance, outcome = random.Random(seed), Killed()
    cases = small_cases(root / "cases", 2)
    with LinesEngine() as engine:
        engine.ask("train", {"cases": cases, "out": str(root / "good"), **SHORT, "epochs": 1})
    out = root / "out"
    with ThreadPoolExecutor(1) as starting:
        coming = starting.submit(_engine, 0)
        while outcome.kills < kills:
            with coming.result() as engine:
                if outcome.kills + 1 < kills:  # the next one starts meanwhile: most of its time goes into imports
                    coming = starting.submit(_engine, outcome.kills + 1)
                _kill_one(engine, root, cases, out, chance, outcome)
    with LinesEngine() as engine:  # and what was killed goes on to its end
        shutil.rmtree(out, ignore_errors=True)
        engine.ask("train", {"cases": cases, "out": str(out), **SHORT})
    return outcome


def _engine(number: int) -> LinesEngine:
    return LinesEngine(by_a_parent=number % OF_A_PARENT == OF_A_PARENT - 1)


def _kill_one(
    engine: LinesEngine, root: Path, cases: dict[str, Any], out: Path, chance: random.Random, outcome: Killed
) -> None:
    kind = KINDS[outcome.kills % len(KINDS)]
    if kind != "resume":
        shutil.rmtree(out, ignore_errors=True)
    _warm(engine, root, cases)
    confirming = ReviewLogProcess(root / f"review{outcome.kills // KILLS_A_LOG}.log")
    engine.begin(*_request(kind, root, cases, out))
    time.sleep(chance.random() * LONGEST_SECONDS)
    engine.process.kill()
    outcome.kills += 1
    wrong = [] if engine.gone_within(ORPHAN_SECONDS) else ["the engine outlived its parent"]
    try:
        outcome.lost_confirmations += confirming.killed()
    except EngineError as problem:
        wrong.append(problem.sentence)
    outcome.while_working += _unanswered(engine)
    outcome.unreadable += [f"kill {outcome.kills} during {kind}: {what}" for what in (*wrong, *_unreadable(root, out))]


def _warm(engine: LinesEngine, root: Path, cases: dict[str, Any]) -> None:
    """So that the kill meets the work and not the imports."""
    engine.ask(
        "predict",
        {"model": str(root / "good"), "cases": cases, "out": str(root / "warm"), "device": "cpu", "overwrite": True},
    )


def _request(kind: str, root: Path, cases: dict[str, Any], out: Path) -> tuple[str, dict[str, Any]]:
    model = {"model": str(root / "good"), "cases": cases}
    if kind == "resume" and (out / RUN_FILE).exists():
        return "train", {"out": str(out), "resume": True, "device": "cpu"}
    if kind in ("train", "resume"):
        return "train", {"cases": cases, "out": str(out), **SHORT}
    if kind == "finetune":
        return kind, {**model, "out": str(out), **SHORT}
    return kind, {**model, "out": str(out), "device": "cpu", "overwrite": True}


def _unanswered(engine: LinesEngine) -> bool:
    engine.process.wait()
    try:
        engine.answer(2.0)
    except NoAnswer:
        return True
    return False


def _unreadable(root: Path, out: Path) -> list[str]:
    """What is there and does not open. A run without a bundle yet, or no run, is no fault."""
    wrong = [what for folder in (root / "good", out) if (what := _unopened(folder)) is not None]
    arrays = out.rglob("*.npy") if out.is_dir() else ()
    return wrong + [path.name for path in arrays if not path.name.startswith(".") and not _whole(path)]


def _unopened(run_folder: Path) -> str | None:
    try:
        if (run_folder / RUN_FILE).exists():
            read_json(run_folder / RUN_FILE)
        if (run_folder / BUNDLE_FOLDER).exists():
            load_bundle(run_folder, torch.device("cpu"))
    except EngineError as problem:
        return f"{run_folder.name}: {problem.sentence}"
    return None


def _whole(path: Path) -> bool:
    try:
        np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return False
    return True
