"""Who reads: a reader's name, role and version of the reading instruction, and the sign-off of a case.

Each reader has a log of their own in the folder `reviews` of a review's results, so that nobody has to open another
one's. Names are taken as they are given; nobody is authenticated.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import EngineError

LOGS = "reviews"
"""The folder of the logs in a folder of results."""
SCORES = {
    1: "unusable",
    2: "major changes needed",
    3: "minor changes needed",
    4: "acceptable",
    5: "very good",
}
"""The Likert scale of a sign-off."""


@dataclass(frozen=True)
class Reader:
    """instruction: the version of the reading instruction that was followed."""

    name: str
    role: str = ""
    instruction: str = ""

    @staticmethod
    def of(reader: str | Reader) -> Reader:
        return reader if isinstance(reader, Reader) else Reader(reader)

    def __str__(self) -> str:
        more = [self.role, f"instruction {self.instruction}" if self.instruction else ""]
        known = ", ".join(word for word in more if word)
        return f"{self.name} ({known})" if known else self.name


@dataclass(frozen=True)
class SignOff:
    """A case's verdict, which locks it, or, where `score` is None, its reopening.

    score: of SCORES; for_all: locks the case for every reader, not for this one alone; at: UTC, ISO 8601.
    """

    case: str
    score: int | None
    annotator: str
    at: str
    role: str = ""
    instruction: str = ""
    reason: str = ""
    for_all: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> SignOff:
        """Raises KeyError, TypeError, ValueError for anything else."""
        score = data["score"]
        if score is not None and (isinstance(score, bool) or score not in SCORES):
            raise ValueError("score")
        case, who, at, role, version, reason = (
            str(data[key]) for key in ("case", "annotator", "at", "role", "instruction", "reason")
        )
        return SignOff(case, score, who, at, role, version, reason, bool(data["for_all"]))


def check_open(signed: SignOff | None) -> None:
    """Raises EngineError("case-signed-off") where the case is locked."""
    if signed is not None:
        raise EngineError(
            "case-signed-off",
            f"{signed.case} was signed off by {signed.annotator} at {signed.at} and is locked"
            f"{' for all readers' if signed.for_all else ''}; "
            f"reopen it with dalesegment sign-off {shlex.quote(signed.case)} --results ... "
            f"--reader {shlex.quote(signed.annotator)} --reopen --reason ... first.",
        )


def reader_key(name: str) -> str:
    """What two spellings of one reader's name have in common: neither case nor spaces tell readers apart."""
    return " ".join(name.split()).casefold()


def same_reader(one: str, other: str) -> bool:
    return reader_key(one) == reader_key(other)


def one_spelling(names: Iterable[str]) -> list[str]:
    """Each reader once, as the first of the names spells it."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(reader_key(name), name)
    return list(found.values())


def reader_log(results: Path, name: str) -> Path:
    """The log of a reader in a folder of results; where an earlier version began one, which told spellings apart, that
    one."""
    earlier = results / LOGS / f"{_stem(name, name.strip())}.log"
    return earlier if earlier.exists() else results / LOGS / f"{file_stem(name)}.log"


def file_stem(name: str) -> str:
    """What files of a reader are called: letters that every system takes, and a hash that tells readers apart whose
    letters are the same."""
    return _stem(name, reader_key(name))


def _stem(name: str, hashed: str) -> str:
    letters = re.sub(r"[^a-z0-9]+", "-", name.strip().lower()).strip("-")[:40] or "reader"
    return f"{letters}-{hashlib.blake2b(hashed.encode(), digest_size=4).hexdigest()}"
