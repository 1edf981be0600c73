"""Whether two runs of the benchmark came to the same: every cell that both have, side by side.

python -m benchmarks.compare BEFORE AFTER                       two folders with a cells.jsonl each
python -m benchmarks.compare BEFORE AFTER --rename old=new      a method is called something else now

Cells are matched by what they are, not by their keys, which follow the code. The exit code is 0 where every Dice is the
same to the last digit, and 1 where one differs or there is nothing to compare.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .store import rows_of

CONFIDENCE = {"AUROC": "label_error_auroc", "ECE": "ece"}
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _asked(arguments)
    before, after = _matched(rows_of(asked.before), rows_of(asked.after), dict(asked.rename))
    both = [cell for cell in before if cell in after]
    for cell in both:
        print(_line(before[cell], after[cell]))
    for rows, others, folder in ((before, after, asked.before), (after, before, asked.after)):
        for cell in rows:
            if cell not in others:
                print(f"only in {folder.parent}: {_title(rows[cell])}")
    pairs = [(before[cell]["result"]["dice"], after[cell]["result"]["dice"]) for cell in both]
    print(_verdict(pairs))
    return 0 if pairs and all(a == b for a, b in pairs) else 1


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rename", type=_renamed, action="append", default=[], metavar="OLD=NEW")
    asked = parser.parse_args(arguments)
    for name in ("before", "after"):
        path = getattr(asked, name) / "cells.jsonl"
        if not path.is_file():
            parser.error(f"there is no {path}; name the folder that the benchmark wrote to with --out")
        setattr(asked, name, path)
    return asked


def _renamed(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"write OLD=NEW, not {text}")
    return old, new


def _matched(before: list[Row], after: list[Row], renamed: Mapping[str, str]) -> tuple[dict[str, Row], dict[str, Row]]:
    """By what a cell is; of two rows of one cell the later. Of a set those settings count that all rows have."""
    settings = [set(row["cell"]["data"]) for row in (*before, *after)]
    shared = sorted(set.intersection(*settings)) if settings else []
    for row in before:
        row["cell"]["method"] = renamed.get(row["cell"]["method"], row["cell"]["method"])
    first, second = ({_identity(row["cell"], shared): row for row in rows} for rows in (before, after))
    return first, second


def _identity(cell: Row, settings: Sequence[str]) -> str:
    """clean is plain training on labels without noise, whatever noise it is shown beside."""
    words = [cell[name] for name in ("noise", "level", "network", "method", "trusted", "draw", "length")]
    if cell["method"] == "clean" or (cell["method"] == "plain" and cell["noise"] == "none"):
        words[:2], words[3] = ["none", 0.0], "plain"
    return json.dumps([[cell["data"][name] for name in settings], *words, cell.get("path", "bench")])


def _title(row: Row) -> str:
    cell = row["cell"]
    words = (cell["data"]["name"], cell["noise"], cell["network"], cell["method"])
    long = f"{cell['length']}x"
    if cell.get("path") == "user":
        long = f"user's path {cell['length'] * cell['data']['epochs'] * cell['data']['steps_per_epoch']} steps"
    return f"{' '.join(words)} trusted {cell['trusted']:g} {long} draw {cell['draw']}"


def _line(before: Row, after: Row) -> str:
    """Title: Dice before, after, difference; then the same of the confidence, where there is one."""
    names = {"Dice": "dice", **CONFIDENCE}
    pairs = {shown: (before["result"].get(name), after["result"].get(name)) for shown, name in names.items()}
    printed = [_pair(shown, *pair) for shown, pair in pairs.items() if shown == "Dice" or pair != (None, None)]
    return f"{_title(after)}: {'; '.join(printed)}"


def _pair(name: str, before: float | None, after: float | None) -> str:
    """With all digits: repr of a float is read back as the same float."""
    difference = "" if before is None or after is None else f" ({_signed(after - before)})"
    return f"{name} {_number(before)} {_number(after)}{difference}"


def _number(value: float | None) -> str:
    return "none" if value is None else repr(value)


def _signed(difference: float) -> str:
    return "same" if difference == 0 else f"{difference:+.3g}"


def _verdict(pairs: Sequence[tuple[float | None, float | None]]) -> str:
    same = sum(a == b for a, b in pairs)
    if same == len(pairs):
        return f"{same} of {len(pairs)} cells have the same Dice to the last digit"
    most = max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)
    return f"{len(pairs) - same} of {len(pairs)} cells have another Dice, by {most:.3g} at most"


if __name__ == "__main__":
    sys.exit(main())
