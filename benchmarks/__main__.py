"""`make bench`: train and score every cell that is not there yet, then write the table, the plots and the records.

python -m benchmarks                                            the quick tier, an hour on two cores
python -m benchmarks --sets ph2_skin --noise morph --draws 0    a part of it
python -m benchmarks --tier user                                the user's path: `train` with its defaults, on files
python -m benchmarks --cost                                     step time and memory against plain alone
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from DALESegmentLib.engine.planning.networks import NETWORKS

from .cell import ROOT, Cell
from .data_set import data_set
from .methods.registry import METHODS
from .noise import KINDS
from .records import merge_quality
from .report import write_report
from .schedule import Report, clock, expected_seconds, missing, run
from .store import Store
from .tiers import TIERS, Wanted, cells

QUALITY = ROOT / "docs" / "results" / "quality.json"


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("--tier", choices=list(TIERS), default="quick")
    p.add_argument("--data", type=Path, default=os.environ.get("DALESEGMENT_DATA"), help="folder of the sets")
    p.add_argument("--sets", type=_words, help="names of folders in --data, with commas")
    p.add_argument("--methods", type=_words, help=", ".join(METHODS))
    p.add_argument("--draws", type=_numbers, help="of cases, noise and weights, such as 0,1,2")
    p.add_argument("--lengths", type=_numbers, help="times the steps of the set, such as 1,4,16")
    p.add_argument("--noise", type=_words, help=", ".join(KINDS))
    p.add_argument("--networks", type=_words, help="the first does everything, the others clean, plain and dale")
    p.add_argument("--out", type=Path, default=Path("benchmark-output"))
    p.add_argument("--quality", default=str(QUALITY), help="records are merged into this file; 'none' leaves it")
    p.add_argument("--workers", type=int, help="processes (default: cores, 4 on a GPU; 0: this process)")
    p.add_argument("--device", default="auto")
    p.add_argument("--minutes", type=float, help="start no further cell after so many")
    p.add_argument("--cost", action="store_true", help="only measure step time and memory, anew")
    p.add_argument("--report", action="store_true", help="only write the table of what is there")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _asked(arguments)
    warnings.filterwarnings("ignore")
    chosen = cells(
        Wanted(asked.tier, asked.sets, asked.methods, asked.draws, asked.noise, asked.networks, asked.lengths)
    )
    store = Store(asked.out / "cells.jsonl")
    report = Report()
    if not asked.report:
        costs_of(chosen, asked, anew=asked.cost)
    if not (asked.report or asked.cost):
        try:
            report = _train(chosen, store, asked)
        except KeyboardInterrupt:
            print("Stopped. The same command goes on from the last finished cell.")
            return 130
        except BrokenProcessPool:
            print("A process ended without a word, perhaps for want of memory. Run again, with fewer --workers.")
            return 1
    records = write_report(chosen, store, _read_costs(asked.out), asked.out, asked.tier, report.failed, report.left)
    if asked.quality != "none" and records:
        merge_quality(Path(asked.quality), records)
    for cell in report.left:
        print(f"  left: {cell.title}")
    print(f"{len(records)} records; table: {asked.out / 'results.md'}")
    return 1 if report.failed else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.data is None or not asked.data.is_dir():
        parser.error("name the folder of the sets with --data, or in the environment variable DALESEGMENT_DATA")
    for name, known in (("methods", METHODS), ("noise", KINDS), ("networks", NETWORKS)):
        if wrong := [word for word in getattr(asked, name) or () if word not in known]:
            parser.error(f"--{name}: {', '.join(wrong)} is not known; choose of {', '.join(known)}")
    if missing_sets := [name for name in asked.sets or () if not (asked.data / name).is_dir()]:
        parser.error(f"--sets: there is no folder {', '.join(missing_sets)} in {asked.data}")
    return asked


def _train(chosen: Sequence[Cell], store: Store, asked: argparse.Namespace) -> Report:
    workers = _default_workers(asked.device) if asked.workers is None else asked.workers
    todo = missing(chosen, store)
    _say(f"{len(chosen)} cells, {len(chosen) - len(todo)} of them done or the same as another, {len(todo)} to train.")
    expected = clock(expected_seconds(todo, store, chosen, workers))
    _say(f"Expected: {expected} with {workers or 1} process(es) of one thread.")
    return run(chosen, store, asked.data, asked.device, workers, asked.minutes, _say)


def _say(line: str) -> None:
    print(line, flush=True)


def costs_of(chosen: Sequence[Cell], asked: argparse.Namespace, anew: bool) -> None:
    """Measure what is missing, alone on the machine as far as we are concerned, before the cells start."""
    from .cost import cost

    costs = {} if anew else _read_costs(asked.out)
    pairs = dict.fromkeys((c.data.name, c.network) for c in chosen if c.method == "dale" and c.path == "bench")
    for name, network in pairs:
        if f"{name}/{network}" not in costs:
            found = cost(data_set(name, asked.tier), network, asked.data, asked.device)
            costs[f"{name}/{network}"] = found
            print(
                f"  cost {name} {network}: step {found['step_time_ratio']}x, memory {found['memory_ratio']}x",
                flush=True,
            )
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "costs.json").write_text(json.dumps(costs, indent=1), encoding="utf-8")


def _read_costs(out: Path) -> dict[str, dict[str, float]]:
    path = out / "costs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _default_workers(device: str) -> int:
    import torch

    return 4 if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()) else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
