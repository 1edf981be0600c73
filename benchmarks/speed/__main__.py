"""Measure the promises about time and memory, each against its reference in the same run:

    python -m benchmarks.speed                              everything, about 25 minutes on two quiet cores
    python -m benchmarks.speed --only region start          parts of it
    python -m benchmarks.speed --quick --out none           whether it works: small, and nothing is called met

and write docs/results/speed.json; docs/performance.md says what the rows mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.inference.graph_cache import CACHE_VARIABLE

from ..cell import ROOT
from ..machine import machine
from ..published import Row, publish
from .backends import measure as backends
from .big_volume import measure as big_volume
from .finetune import measure as finetune
from .growth import measure as growth
from .large_training import measure as large_training
from .ranks import measure as ranks
from .reading import measure as reading
from .region import measure as region
from .rows import BARS, Given, Measurements
from .start import measure as start
from .step import measure as step
from .throughput import measure as throughput
from .volumes import measure as volumes

OUT = ROOT / "docs" / "results" / "speed.json"

PARTS: dict[str, Callable[[Given], Measurements]] = {
    "start": start,
    "reading": reading,
    "region": region,
    "volumes": volumes,
    "backends": backends,
    "big_volume": big_volume,
    "large_training": large_training,
    "growth": growth,
    "ranks": ranks,
    "step": step,
    "throughput": throughput,
    "finetune": finetune,
}
"""Each in a file of its own."""


def main() -> int:
    asked = _arguments()
    warnings.filterwarnings("ignore")
    given = Given(asked.data, asked.work, choose_device(asked.device), asked.quick)
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(CACHE_VARIABLE, str(given.work.resolve() / "cache"))
    rows: dict[str, Row] = {}
    for part in asked.only:
        started = time.monotonic()
        found = PARTS[part](given)
        for key, one in found.items():
            met = (None if given.quick else True) if one.good else False
            rows[key] = BARS[key].measured(one.value, met, _command(part, asked), machine(given.device), one.reference)
            print(_line(rows[key]), flush=True)
        print(f"{part} took {time.monotonic() - started:.0f} s", flush=True)
        if asked.out != "none":
            publish(Path(asked.out), BARS, rows)
    print(json.dumps({"rows": [asdict(row) for row in rows.values()]}, indent=1))
    for row in rows.values():
        print(_line(row))
    return 0


def _line(row: Row) -> str:
    met = {True: "met", False: "NOT met", None: "not judged"}[row.met]
    return f"{row.row}: {row.value:g} {row.unit} (goal {row.goal}, {met}); {row.reference}"


def _command(part: str, asked: argparse.Namespace) -> str:
    return f"python -m benchmarks.speed --only {part}{' --quick' if asked.quick else ''}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    data = os.environ.get("DALESEGMENT_DATA")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to measure")
    parser.add_argument("--data", type=Path, default=data, help="folder of the sets (default: DALESEGMENT_DATA)")
    parser.add_argument("--work", type=Path, default=Path("benchmark-output") / "speed", help="models are kept here")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--out", default=str(OUT), help="rows are merged into this file; 'none' leaves it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
