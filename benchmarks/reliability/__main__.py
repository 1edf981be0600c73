"""Measure the promises about data:

    python -m benchmarks.reliability                         everything, in full: hours
    python -m benchmarks.reliability --only corpus kills --kills 20

and write docs/results/reliability.json. What was run shorter than its bar says has `met` null, unless it failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..machine import machine
from . import bad_input, coverage, fuzz, hostile_models, kills, privacy, soak
from .rows import Row, measured, publish

OUT = Path(__file__).resolve().parents[2] / "docs" / "results" / "reliability.json"
KILLS, CYCLES, MINUTES = 200, 200, 30.0


def main() -> None:
    given = _arguments()
    rows: dict[str, Row] = {}
    here = machine(torch.device("cpu"))
    for part in given.only:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = PARTS[part](given, Path(folder))
        print(f"{part} took {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        for key, (value, met) in found.items():
            row = rows[key] = measured(key, value, met, _command(part, given), here)
            print(f"{row.row}: {row.value:g} {row.unit} (goal {row.goal}), met: {met}", flush=True)
        publish(given.out, rows)


Measurements = dict[str, tuple[float, bool | None]]


def _kills(given: argparse.Namespace, folder: Path) -> Measurements:
    killed = kills.run(folder, given.kills)
    for what in killed.unreadable:
        print(what)
    print(f"{killed.kills} kills, {killed.while_working} of them during a job")
    full = killed.kills >= KILLS
    return {
        "lost": (killed.lost_confirmations, _met(killed.lost_confirmations == 0, full)),
        "unreadable": (len(killed.unreadable), _met(not killed.unreadable, full)),
    }


def _corpus(given: argparse.Namespace, folder: Path) -> Measurements:
    outcome = bad_input.run()
    for what in outcome.wrong:
        print(what)
    print(f"slowest: {outcome.slowest_name}; refused {outcome.refused}, right {outcome.right}")
    print(f"most seconds of the processor for one piece: {outcome.slowest_processor:.2f}")
    faulty = len({what.partition(":")[0] for what in outcome.wrong})
    good = 100.0 * (outcome.entries - faulty) / outcome.entries
    return {
        "corpus": (outcome.entries, outcome.entries >= 300),
        "answered": (good, not outcome.wrong),
        "slowest": (outcome.slowest, outcome.slowest <= 5),
        "peak": (outcome.peak_bytes / 2**30, outcome.peak_bytes < 2 * 2**30),
    }


def _fuzz(given: argparse.Namespace, folder: Path) -> Measurements:
    fuzzed = fuzz.run(60.0 * given.minutes)
    for what in fuzzed.crashes:
        print(what)
    print(f"{fuzzed.examples} examples in {fuzzed.seconds / 60:.1f} minutes")
    return {"fuzz": (len(fuzzed.crashes), _met(not fuzzed.crashes, given.minutes >= MINUTES))}


def _hostile(given: argparse.Namespace, folder: Path) -> Measurements:
    executed, names = 0, hostile_models.names()
    for n, name in enumerate(names):
        (folder / str(n)).mkdir()
        wrong = hostile_models.tried(name, folder / str(n))
        executed += wrong is not None
        if wrong:
            print(f"{name}: {wrong}")
    print(f"{len(names)} models")
    return {"hostile": (executed, executed == 0)}


def _privacy(given: argparse.Namespace, folder: Path) -> Measurements:
    found = privacy.run(folder)
    for where in found:
        print(where)
    return {"planted": (len(found), not found)}


def _soak(given: argparse.Namespace, folder: Path) -> Measurements:
    soaked = soak.run(folder, given.cycles)
    growth, slowdown = soaked.memory_growth(), soaked.slowdown(soaked.processor)
    print(f"files {soaked.files[0]} to {soaked.files[-1]}, threads {soaked.threads[0]} to {soaked.threads[-1]}")
    print(f"by the clock the slowdown is {soaked.slowdown(soaked.seconds):.2f}, by the processor {slowdown:.2f}")
    full = given.cycles >= CYCLES
    return {"memory": (growth, _met(growth < 5, full)), "slowdown": (slowdown, _met(slowdown <= 1.2, full))}


def _coverage(given: argparse.Namespace, folder: Path) -> Measurements:
    data = given.data or os.environ.get("DALESEGMENT_DATA")
    if not data or not (Path(data) / coverage.SET).is_dir():
        print(f"There is no folder {coverage.SET}; name the one above it with --data.")
        return {}
    model = given.model or coverage.model_of(Path(data), folder / "run", given.seconds)
    covered = coverage.run(Path(data), Path(model))
    percent = covered.percent("volume")
    print(f"{len(covered.held['volume'])} cases; high / low, median: {covered.width('volume'):.2f}")
    print(f"diameter: {covered.percent('diameter'):.1f} %, high / low {covered.width('diameter'):.2f}")
    return {"coverage": (percent, 85 <= percent <= 95)}


PARTS: dict[str, Callable[[argparse.Namespace, Path], Measurements]] = {
    "corpus": _corpus,
    "hostile": _hostile,
    "privacy": _privacy,
    "kills": _kills,
    "fuzz": _fuzz,
    "soak": _soak,
    "coverage": _coverage,
}


def _met(good: bool, full: bool) -> bool | None:
    """A failure is one however short the run; a success counts only in full."""
    return (True if full else None) if good else False


def _command(part: str, given: argparse.Namespace) -> str:
    size = {
        "kills": f" --kills {given.kills}",
        "soak": f" --cycles {given.cycles}",
        "fuzz": f" --minutes {given.minutes:g}",
        "coverage": f" --model {Path(given.model).name}" if given.model else f" --seconds {given.seconds:g}",
    }
    return f"python -m benchmarks.reliability --only {part}{size.get(part, '')}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to measure")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--cycles", type=int, default=CYCLES, help="of the soak")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of fuzzing")
    parser.add_argument("--seconds", type=float, default=1800.0, help="of training before the coverage is measured")
    parser.add_argument("--model", help="a model trained on LIDC's training part, instead of training one")
    parser.add_argument("--data", help="folder that holds lidc_4rater (default: DALESEGMENT_DATA)")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
