"""Review logs that were changed at random, and whole ones: which of them `verify` finds.

python -m benchmarks.reliability.damaged_logs --logs 1000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.review.log import ReviewLog, open_log
from DALESegmentLib.engine.review.log_lines import count_file
from DALESegmentLib.engine.review.readers import Reader
from DALESegmentLib.engine.review.verify import verify_log

from .small_cases import region, voxels

DAMAGES = ("byte", "removed", "swapped", "cut")
ACCIDENTS = ("none", "half a line", "count behind", "opened again")
"""What happens to a log that nobody changed."""


@dataclass
class Outcome:
    """By kind: how many were damaged, how many of these were found; whole logs, and those that were called damaged."""

    damaged: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    alarms: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.found == self.damaged and not self.alarms


def run(folder: Path, logs: int, seed: int = 0) -> Outcome:
    """So many damaged logs, and as many whole ones."""
    outcome = Outcome()
    for n in range(logs):
        random = np.random.default_rng([seed, n])
        kind, accident = DAMAGES[n % len(DAMAGES)], ACCIDENTS[n % len(ACCIDENTS)]
        path = folder / f"{n}.log"
        _written(path, random)
        before = path.read_bytes()
        path.write_bytes(_damaged(before, kind, random))
        outcome.damaged[kind] += 1
        outcome.found[kind] += not verify_log(path).holds
        path.write_bytes(before)
        _befallen(path, accident, random)
        outcome.whole[accident] += 1
        told = verify_log(path)
        if not told.holds:
            outcome.alarms.append(f"{accident}: {told.sentence}")
        for file in (path, count_file(path)):
            file.unlink()
    return outcome


def _written(path: Path, random: np.random.Generator) -> None:
    with open_log(path) as log:
        for _ in range(int(random.integers(1, 13))):
            _do(log, random)


def _do(log: ReviewLog, random: np.random.Generator) -> None:
    reader = Reader(f"reader {random.integers(3)}", "radiologist", "1.2")
    standing, signed = list(log.state.standing), log.state.signed
    if signed:
        log.reopen("case0", reader, "looked again")
    elif random.random() < 0.1:
        log.sign_off("case0", int(random.integers(1, 6)), reader)
    elif standing and random.random() < 0.2:
        log.undo(int(random.choice(standing)))
    else:
        n = int(random.integers(100))
        log.decide(region(n), "confirmed", reader, voxels(n) if random.random() < 0.5 else None)


def _damaged(data: bytes, kind: str, random: np.random.Generator) -> bytes:
    lines = data.splitlines(keepends=True)
    if kind == "byte":
        changed = bytearray(data)
        changed[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
        return bytes(changed)
    if kind == "cut":
        return data[: int(random.integers(len(data)))]
    first, second = (int(n) for n in random.choice(len(lines), 2, replace=False))
    if kind == "removed":
        del lines[first]
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def _befallen(path: Path, accident: str, random: np.random.Generator) -> None:
    if accident == "half a line":  # a crash while it was written
        with path.open("ab") as file:
            file.write(b'0123456789abcdef0123456789abcdef {"decide": {"case'[: int(random.integers(1, 50))])
    elif accident == "count behind":  # a crash before the count was written
        kept = count_file(path).read_bytes()
        with open_log(path) as log:
            _do(log, random)
        count_file(path).write_bytes(kept)
    elif accident == "opened again":
        with open_log(path) as log:
            _do(log, random)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.damaged_logs", description=__doc__)
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), given.logs, given.seed)
    for kind, count in outcome.damaged.items():
        print(f"{kind}: {outcome.found[kind]} of {count} found")
    for alarm in outcome.alarms:
        print(alarm)
    print(f"whole logs: {len(outcome.alarms)} false alarms on {outcome.whole.total()}")
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
