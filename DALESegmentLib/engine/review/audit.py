"""The audit: an estimate of how many label errors are left, from places drawn at random.

The ranked list shows the most suspicious places first, so its errors are no sample of all errors. The audit draws
voxels with equal chance from those near an outline that nobody has confirmed yet. A reader decides for each whether its
label is right, and the share of wrong ones bounds the share among all of them.

The reader fills in a CSV file: one row a place over all cases, with an empty column `verdict` for right, wrong or
unsure. Every part of the audited volume has the same chance, whatever the voxel size of its case, so the share of wrong
places estimates the share of wrong volume.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.files import replacing
from ..geometry.distance import boundary_distance, scaled_mm
from ..geometry.grid import Geometry, Unit
from ..io.csv_files import read_csv

BAND_MM = 10.0
"""From an outline, `scaled_mm`; errors farther away are whole objects, which the ranked list is there for."""


@dataclass(frozen=True)
class ErrorsLeft:
    """Voxels expected to be wrong among `voxels`, and the bounds that hold them with `level` certainty."""

    voxels: int
    wrong: float
    low: float
    high: float
    level: float


def auditable(label: np.ndarray, spacing: Sequence[float], trusted: np.ndarray | None = None) -> np.ndarray:
    """Voxels that an audit is about, (*grid) bool: within 10 mm (`scaled_mm`) of an outline, and not trusted.

    label: (*grid); spacing: mm along the array's axes.
    """
    band = scaled_mm(BAND_MM, spacing)
    distance, _nearest = boundary_distance(label, spacing, band)
    near = np.abs(distance) < band
    return near if trusted is None else near & ~np.asarray(trusted, bool)


def draw_places(where: np.ndarray, count: int, seed: int) -> list[tuple[int, ...]]:
    """`count` of the voxels of `where` (*grid), each with the same chance, as (i, j(, k)) indices.

    Raises EngineError "nothing-to-audit" where there are fewer.
    """
    flat = np.flatnonzero(where)
    if len(flat) < count:
        raise EngineError(
            "nothing-to-audit",
            f"Only {len(flat)} voxels near an outline are not confirmed yet, too few for an audit of {count}.",
        )
    chosen = np.random.default_rng(seed).choice(flat, count, replace=False)
    return [tuple(int(n) for n in reversed(np.unravel_index(index, where.shape))) for index in chosen]


def errors_left(wrong: int, looked: int, voxels: int, level: float = 0.95) -> ErrorsLeft:
    """From `wrong` of `looked` places to all `voxels` that they were drawn from; see `share_wrong`."""
    low, high = share_wrong(wrong, looked, level)
    return ErrorsLeft(voxels, voxels * wrong / looked, voxels * low, voxels * high, level)


def share_wrong(wrong: int, looked: int, level: float = 0.95) -> tuple[float, float]:
    """The bounds of the share that is wrong, where `wrong` of `looked` places drawn at random were.

    Clopper and Pearson's interval, which never holds less often than it says; drawing without replacement only
    makes it wider than need be. Raises ValueError for impossible counts.
    """
    from scipy.stats import beta

    if not 0 <= wrong <= looked or looked == 0:
        raise ValueError(f"{wrong} wrong of {looked}")
    tail = (1.0 - level) / 2
    low = beta.ppf(tail, wrong, looked - wrong + 1) if wrong else 0.0
    high = beta.ppf(1 - tail, wrong + 1, looked - wrong) if wrong < looked else 1.0
    return float(low), float(high)


VERDICTS = ("right", "wrong", "unsure")
LEVEL = 0.95


@dataclass(frozen=True)
class Place:
    """voxel: (i, j(, k)); ras: mm; drawn_from_mm3: of all cases together (2D: mm² times 1 mm); unit: of all three,
    "pixel" of pictures without a spacing; band: how near an outline all places lie, where the cases have one."""

    place: int
    case: str
    label_value: int
    ras: tuple[float, float, float]
    voxel: tuple[int, ...]
    drawn_from_mm3: float
    verdict: str = ""
    unit: Unit = "mm"
    band: float | None = None


AUDIT_FILE = "audit.csv"
COLUMNS = (
    *("place", "case", "verdict", "label_value"),
    *("r_mm", "a_mm", "s_mm", "i", "j", "k", "drawn_from_mm3", "unit", "band"),
)


class AuditDraw:
    """Draws `count` places from cases that are seen one after the other. Raises ValueError unless count > 0."""

    def __init__(self, count: int, seed: int = 0) -> None:
        if count < 1:
            raise ValueError(count)
        self._count = count
        self._random = np.random.default_rng(seed)
        self._mm3: list[float] = []
        self._drawn: list[list[Place]] = []
        self._units: set[Unit] = set()
        self._bands: set[float] = set()
        self._cases, self._outlined = 0, 0

    def see(self, case: str, label: np.ndarray, geometry: Geometry, trusted: np.ndarray | None = None) -> None:
        """label, trusted: (*grid)."""
        flat = np.flatnonzero(auditable(label, geometry.array_spacing, trusted))
        self._cases += 1
        self._outlined += bool(label.min() != label.max())
        if not flat.size:
            return
        self._units.add(geometry.unit)
        self._bands.add(scaled_mm(BAND_MM, geometry.spacing))
        chosen = self._random.choice(flat, self._count, replace=flat.size < self._count)
        self._mm3.append(flat.size * geometry.voxel_volume)
        self._drawn.append([_place(case, label, geometry, int(at)) for at in chosen])

    def places(self) -> list[Place]:
        """In the order of the cases. Raises EngineError("nothing-to-audit")."""
        total = sum(self._mm3)
        if not total:
            why = "all of them are confirmed" if self._outlined else "nothing is labelled in these cases"
            raise EngineError("nothing-to-audit", f"No voxel near an outline is left to audit; {why}.")
        counts = self._random.multinomial(self._count, np.array(self._mm3) / total)
        found = [place for drawn, n in zip(self._drawn, counts, strict=True) for place in drawn[:n]]
        size, band = float(f"{total:.9g}"), self._bands.pop() if len(self._bands) == 1 else None
        unit: Unit = "pixel" if self._units == {"pixel"} else "mm"
        return [
            replace(place, place=n, drawn_from_mm3=size, unit=unit, band=band) for n, place in enumerate(found, start=1)
        ]


def _place(case: str, label: np.ndarray, geometry: Geometry, flat: int) -> Place:
    at = np.unravel_index(flat, label.shape)
    voxel = tuple(int(n) for n in reversed(at))
    digits = decimals(geometry.spacing)
    r, a, s = (round(x, digits) for x in geometry.index_to_ras(voxel))
    return Place(0, case, int(label[at]), (r, a, s), voxel, 0.0)


def decimals(spacing: Sequence[float]) -> int:
    """Of a position in mm, so that it is known to a hundredth of a voxel; three at least."""
    return max(3, 2 - math.floor(math.log10(min(spacing))))


def check_not_begun(path: Path) -> None:
    """Raises EngineError("audit-exists") where the file holds verdicts, ("bad-audit-file") where it is something else:
    neither is to be replaced."""
    if path.is_file() and any(place.verdict for place in read_audit(path)):
        raise EngineError(
            "audit-exists", f"{path.name} holds verdicts already; evaluate it, or choose another results folder."
        )


def write_audit(places: Iterable[Place], path: Path) -> None:
    """A CSV to be filled in; in 2D the column k is empty. Raises the errors of `replacing`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for p in places:
        k = p.voxel[2] if len(p.voxel) == 3 else ""
        ras = p.ras if p.unit == "mm" else ("", "", "")
        where = (*ras, *p.voxel[:2], k)
        band = "" if p.band is None else p.band
        writer.writerow((p.place, p.case, p.verdict, p.label_value, *where, p.drawn_from_mm3, p.unit, band))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def read_audit(path: Path) -> list[Place]:
    """Raises EngineError("missing-file"), ("bad-verdict"), ("bad-audit-file") where it is damaged or something else."""
    try:
        found = [_read(row) for row in read_csv(path)]
        if not found or len({place.drawn_from_mm3 for place in found}) > 1:
            raise ValueError("no audit")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as reason:
        raise EngineError(
            "bad-audit-file",
            f"{path.name} is no list of places to audit, or it was changed beyond its column verdict; "
            "fill in the audit.csv that review wrote.",
        ) from reason
    return found


def _read(row: dict[str, Any]) -> Place:
    verdict = row["verdict"].strip().lower()
    if verdict not in ("", *VERDICTS):
        raise EngineError(
            "bad-verdict",
            f"Place {row['place'][:20]} of the audit has the verdict {verdict[:20]!r}; "
            "write right, wrong or unsure for each.",
        )
    voxel = tuple(int(row[axis]) for axis in ("i", "j", "k") if row[axis] != "")
    unit: Unit = "pixel" if row.get("unit") == "pixel" else "mm"
    r, a, s = (float(row[axis] or "nan") if unit == "pixel" else float(row[axis]) for axis in ("r_mm", "a_mm", "s_mm"))
    size, band = float(row["drawn_from_mm3"]), float(row.get("band") or BAND_MM)
    if not (0 < size < float("inf")):
        raise ValueError(size)
    label = int(row["label_value"])
    return Place(int(row["place"]), row["case"], label, (r, a, s), voxel, size, verdict, unit, band)


def errors_left_by(places: list[Place]) -> dict[str, Any]:
    """How much of the volume that was drawn from has a wrong label, as `evaluate` reports it. A place the reader is
    unsure about widens the interval: it counts as right for its lower end and as wrong for its upper one.

    Raises EngineError("audit-incomplete"): places that were passed over would not be a random choice any more.
    """
    missing = sum(not place.verdict for place in places)
    if missing:
        raise EngineError(
            "audit-incomplete",
            f"{missing} of the {len(places)} places of the audit have no verdict yet; "
            "write right, wrong or unsure for each.",
        )
    wrong, unsure = (sum(place.verdict == verdict for place in places) for verdict in ("wrong", "unsure"))
    low, high = (share_wrong(n, len(places), LEVEL)[end] for n, end in ((wrong, 0), (wrong + unsure, 1)))
    share = (wrong + unsure / 2) / len(places)
    size, unit, band = places[0].drawn_from_mm3, places[0].unit, places[0].band or BAND_MM
    near = f"{band:,.5g} {'mm' if unit == 'mm' else 'pixels'}"
    suffix = "mm3" if unit == "mm" else "px"
    return {
        "places": len(places),
        "wrong": wrong,
        "unsure": unsure,
        "unit": unit,
        f"audited_{suffix}": size,
        "level": LEVEL,
        f"wrong_{suffix}": share * size,
        f"low_{suffix}": low * size,
        f"high_{suffix}": high * size,
        "sentence": f"{wrong} of {len(places)} places were wrong{f' and {unsure} unsure' if unsure else ''}: about "
        f"{share:.1%} of the labels within {near} of an outline that nobody confirmed are wrong; "
        f"between {low:.1%} and {high:.1%} with {LEVEL:.0%} confidence.",
    }
