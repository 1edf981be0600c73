"""A part of the cases for each of several processes or machines, which write to one folder (nnU-Net's num_parts).

The parts of a folder share its cases by name, so that the order in which a disk lists them does not matter. Each part
claims its place by a hidden file, and writes a table of its own; with the last one comes the table of all.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import EngineError
from ..core.files import not_written, remove, replacing
from ..io.case import CaseSource
from .measurement_table import TABLE, table_text

_CLAIM = re.compile(r"\.part(\d+)of(\d+)")


@dataclass(frozen=True)
class Part:
    """number: from 1 to count."""

    number: int
    count: int

    @staticmethod
    def parse(text: str) -> Part:
        """Of "2/4". Raises EngineError("bad-part")."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise EngineError(
                "bad-part", f"{text[:40]!r} is no part; write 2/4 for the second of four, the first one is 1/4."
            )
        return Part(int(found[1]), int(found[2]))

    def of(self, sources: Sequence[CaseSource]) -> list[CaseSource]:
        """Its cases: of all in the order of their names every `count`-th."""
        return sorted(sources, key=lambda source: source.name)[self.number - 1 :: self.count]

    @property
    def table(self) -> str:
        return f"{Path(TABLE).stem}_part{self.number}of{self.count}.csv"

    def shares(self, out: Path) -> bool:
        """Whether the folder holds results of other parts of the same whole, which this one may join.

        Raises EngineError("results-exist") where this part was there, or those of another number of parts.
        """
        claims = [_CLAIM.fullmatch(path.name) for path in out.iterdir()] if out.is_dir() else []
        parts = {Part(int(found[1]), int(found[2])) for found in claims if found is not None}
        if any(part.count != self.count for part in parts):
            other = min(parts, key=lambda part: part.count == self.count)
            raise EngineError(
                "results-exist",
                f"{out.resolve().name} holds results in {other.count} parts, not {self.count}; choose another results "
                "folder with --out.",
            )
        if self in parts:
            raise EngineError(
                "results-exist",
                f"{out.resolve().name} already holds part {self.number} of {self.count}, finished or not; choose "
                "another results folder with --out, or replace this part with --overwrite.",
            )
        return bool(parts)

    def claim(self, out: Path) -> None:
        """Raises EngineError("cannot-write")."""
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / f".part{self.number}of{self.count}").touch()
            remove(out / self.table)
        except OSError as error:
            raise not_written(out.name, out, error) from error

    def merge(self, out: Path) -> str | None:
        """Write the table of all parts once each has its own; the path, or None as long as one is missing."""
        tables = [out / Part(n, self.count).table for n in range(1, self.count + 1)]
        if not all(path.is_file() for path in tables):
            return None
        rows: list[dict[str, str]] = []
        for path in tables:
            with path.open(encoding="utf-8", newline="") as file:
                rows += csv.DictReader(file)
        with replacing(out / TABLE) as temporary:
            text = table_text(sorted(rows, key=lambda row: row["case"]))
            temporary.write_text(text, encoding="utf-8", newline="")
        return str(out / TABLE)
