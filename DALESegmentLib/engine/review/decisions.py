"""A clinician's decisions, the state that a history of them leads to, and the files of both.

The review list and what was decided about it are written as a table (CSV) and as a whole (JSON), see docs/formats.md.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..core.errors import EngineError
from ..core.files import replacing
from ..dale.issues import Region
from ..dale.reasons import reason
from .audit import decimals
from .readers import Reader, SignOff, same_reader
from .reviewed_voxels import TrustedVoxels

Verdict = Literal["confirmed", "accepted", "corrected", "unsure", "open"]
VERDICTS = get_args(Verdict)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Decision:
    """One key press. case, label_value, suspicion and centre_voxel say which region it is about, as ranks and ids are
    renumbered with every list; without a centre it is about voxels that were edited elsewhere. at: UTC, ISO 8601,
    for people only: clocks jump, and the order is that of the log. role, instruction: of the `Reader`; reason: why, in
    the reader's words."""

    case: str
    verdict: Verdict
    annotator: str
    at: str
    label_value: int | None = None
    suspicion: str | None = None
    centre_voxel: tuple[int, ...] | None = None
    voxels: TrustedVoxels | None = None
    role: str = ""
    instruction: str = ""
    reason: str = ""

    @staticmethod
    def about(
        region: Region,
        verdict: Verdict,
        annotator: str | Reader,
        at: str,
        voxels: TrustedVoxels | None = None,
        reason: str = "",
    ) -> Decision:
        of, centre = Reader.of(annotator), tuple(region.centre_voxel)
        which = region.label_value, region.suspicion, centre
        return Decision(region.case, verdict, of.name, at, *which, voxels, of.role, of.instruction, reason)

    @property
    def reader(self) -> Reader:
        return Reader(self.annotator, self.role, self.instruction)

    def as_dict(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "verdict": self.verdict,
            "annotator": self.annotator,
            "at": self.at,
            "label_value": self.label_value,
            "suspicion": self.suspicion,
            "centre_voxel": None if self.centre_voxel is None else list(self.centre_voxel),
            "voxels": None if self.voxels is None else self.voxels.as_dict(),
            **{key: getattr(self, key) for key in ("role", "instruction", "reason") if getattr(self, key)},
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Decision:
        """Raises KeyError, TypeError, ValueError for anything else."""
        if data["verdict"] not in VERDICTS:
            raise ValueError("verdict")
        centre, voxels = data["centre_voxel"], data["voxels"]
        return Decision(
            str(data["case"]),
            data["verdict"],
            str(data["annotator"]),
            str(data["at"]),
            None if data["label_value"] is None else int(data["label_value"]),
            data["suspicion"],
            None if centre is None else tuple(int(n) for n in centre),
            None if voxels is None else TrustedVoxels.from_dict(voxels),
            *(str(data.get(key, "")) for key in ("role", "instruction", "reason")),
        )


@dataclass(frozen=True)
class ReviewState:
    """The decisions that stand, by their number in the log, in its order.

    Of several about the same region the last one stands. What was taken back does not. signed: the sign-offs of the
    cases that are locked, by case.
    """

    standing: dict[int, Decision] = field(default_factory=dict)
    signed: dict[str, SignOff] = field(default_factory=dict)

    def verdicts(self, case: str) -> dict[Key, Verdict]:
        """By (label_value, suspicion, centre_voxel)."""
        found = [d for d in self.standing.values() if d.case == case and d.centre_voxel is not None]
        return {(d.label_value, d.suspicion, d.centre_voxel): d.verdict for d in found}

    def trusted(self, case: str, image: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """What is vouched for of this image: (*grid) bool, and (*grid) int32 with its label there, 0 elsewhere.

        Decisions about another image of that name say nothing. Raises EngineError("geometry-mismatch").
        """
        trusted, label = np.zeros(shape, bool), np.zeros(shape, np.int32)
        for decision in self.standing.values():
            voxels = decision.voxels
            if decision.case == case and voxels is not None and voxels.image == image:
                voxels.put(trusted, label)
        return trusted, label


@dataclass
class History:
    """The entries of a log, {"decide": {...}}, {"undo": number}, {"sign_off": {...}} or {"reopen": {...}}, numbered
    from 1, and what they come to."""

    decided: dict[int, Decision] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    sign_offs: dict[int, SignOff] = field(default_factory=dict)
    """Reopenings, too."""
    length: int = 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError, ValueError, and changes nothing, where it is none of these, or takes back what
        was not decided."""
        if "undo" in entry:
            if not self.can_undo(entry["undo"]):
                raise ValueError("undo of nothing")
            self.undone.add(entry["undo"])
        elif "sign_off" in entry or "reopen" in entry:
            signed = SignOff.from_dict(entry["sign_off"] if "sign_off" in entry else entry["reopen"])
            if (signed.score is None) != ("reopen" in entry):
                raise ValueError("score")
            self.sign_offs[self.length + 1] = signed
        else:
            self.decided[self.length + 1] = Decision.from_dict(entry["decide"])
        self.length += 1

    def can_undo(self, number: int) -> bool:
        return number in self.decided and number not in self.undone

    def state(self, annotator: str | None = None) -> ReviewState:
        """annotator: as if this reader's decisions were the only ones."""
        last: dict[Key, int] = {}
        for number, decision in self.decided.items():
            if number not in self.undone and (annotator is None or same_reader(annotator, decision.annotator)):
                last[_key(number, decision)] = number
        return ReviewState({number: self.decided[number] for number in sorted(last.values())}, self.signed(annotator))

    def signed(self, annotator: str | None = None) -> dict[str, SignOff]:
        """Of the cases that are locked, or of those that this reader has locked."""
        own = [s for s in self.sign_offs.values() if annotator is None or same_reader(annotator, s.annotator)]
        last = {signed.case: signed for signed in own}
        return {case: signed for case, signed in last.items() if signed.score is not None}


def replay(entries: Iterable[Mapping[str, Any]]) -> History:
    """Raises the errors of `History.add`."""
    history = History()
    for entry in entries:
        history.add(entry)
    return history


def _key(number: int, decision: Decision) -> Key:
    if decision.centre_voxel is None:
        return (number,)
    return decision.case, decision.label_value, decision.suspicion, decision.centre_voxel


FORMAT = "dalesegment-regions"
VERSION = 1
COLUMNS = (
    *(
        "rank",
        "case",
        "region_id",
        "label_value",
        "class_name",
        "suspicion",
        "suggested_value",
        "voxels",
        "size_mm3",
    ),
    *("mean_confidence", "lowest_confidence", "expected_wrong"),
    *("centre_r_mm", "centre_a_mm", "centre_s_mm", "centre_i", "centre_j", "centre_k"),
    *("first_i", "first_j", "first_k", "last_i", "last_j", "last_k"),
    *("label_source", "learned_value", "learned_class", "learned_voxels"),
    *("recurs_in_cases", "note", "real_probability"),
    *("pieces", "region_ids", "gathered", "reason", "unit"),
)


def write_regions_csv(regions: Iterable[Region], path: str | Path) -> None:
    """One row an error, best rank first; a 2D region leaves the columns of k empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(region_row(region) for region in regions)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def write_regions_json(regions: Iterable[Region], path: str | Path, **about: Any) -> None:
    """Everything a region knows, under a format name and a version. about: what is known of the list as a whole, plain
    JSON values."""
    data = {"format": FORMAT, "version": VERSION, **about, "regions": [region.as_dict() for region in regions]}
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_regions_json(path: str | Path) -> list[Region]:
    """Raises EngineError("bad-regions-file") where the file is missing, damaged or something else."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT or data["version"] != VERSION:
            raise ValueError(f"format {data['format']} {data['version']}")
        return [Region.from_dict(entry) for entry in data["regions"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as reason:
        raise EngineError(
            "bad-regions-file",
            f"“{path.name}” is not a list of doubtful regions this version can read; run the review again.",
        ) from reason


def region_row(region: Region) -> dict[str, Any]:
    """The region as the texts and numbers of COLUMNS."""
    row = {key: value for key, value in region.as_dict().items() if key in COLUMNS}
    row |= {"pieces": len(region.leaves), "gathered": int(region.gathered), "reason": reason(region)}
    row["region_ids"] = " ".join(str(piece.region_id) for piece in region.leaves)
    if region.unit == "mm":
        edge = (region.size_mm3 / region.voxels) ** (1 / len(region.centre_voxel)) if region.voxels else 1.0
        digits = decimals([edge or 1.0])
        centre = (f"{x:.{digits}f}" for x in region.centre_ras)
        row |= zip(("centre_r_mm", "centre_a_mm", "centre_s_mm"), centre, strict=True)
    else:
        row["size_mm3"] = ""
    for name in ("centre", "first", "last"):
        row |= {f"{name}_{axis}": n for axis, n in zip("ijk", getattr(region, f"{name}_voxel"), strict=False)}
    for key in ("size_mm3", "expected_wrong"):
        row[key] = _digits(row[key])
    for key in ("mean_confidence", "lowest_confidence", "real_probability"):
        row[key] = "" if row[key] is None else f"{row[key]:.4f}"
    return row


def _digits(number: float | str) -> str:
    """Two decimals, and of a small number three digits, so that it is never 0.00."""
    if isinstance(number, str):
        return number
    return f"{number:.2f}" if abs(number) >= 0.1 or not number else f"{number:.3g}"


NOTES = ("state", "who", "when")


def write_decisions_csv(rows: Iterable[dict[str, Any]], path: str | Path) -> None:
    """The columns of a region list, and "state", "who", "when". rows: regions as dicts, each with these three.

    Raises EngineError "cannot-write", "disk-full".
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *NOTES), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        region = Region.from_dict(_without_notes(row))
        writer.writerow({**region_row(region), **{key: row[key] for key in NOTES}})
    with replacing(Path(path)) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _without_notes(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in row.items() if key not in NOTES}
    return {**plain, "pieces": [_without_notes(piece) for piece in row.get("pieces", ())]}


def write_decisions_json(record: dict[str, Any], path: str | Path) -> None:
    """The record as it is, indented. Raises EngineError "cannot-write", "disk-full"."""
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
