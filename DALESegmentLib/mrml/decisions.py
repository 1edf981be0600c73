"""What was decided about the doubtful regions, by whom and when; kept with the region table in the scene."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from ..engine.dale.issues import Region
from ..engine.review.readers import one_spelling
from .regions import (
    OPEN,
    regionIdentity,
    regionNotes,
    regionsFromTable,
    regionStates,
    rowsFromTable,
    rowState,
    setRegionState,
)

LOG = "DALESegment.Decisions"
OWNER = "DALESegment.Reader"

Decision = dict[str, Any]
"""region (its identity), state, before (state, who, when), who, when; press: which key press it belongs to, where that
decided about several pieces. Times are ISO 8601 with their offset."""


def decide(
    tableNode: Any,
    region: Region,
    state: str,
    who: str,
    number: int | None = None,
    when: str | None = None,
    press: int | None = None,
) -> None:
    """Note a decision in the table and at the end of its log; number: what it is called in the review log on disk;
    when: of one that was made earlier; press: number of the key press that decided about several pieces at once."""
    identity, when = regionIdentity(region), when or datetime.now(timezone.utc).isoformat(timespec="seconds")
    entry = {"region": identity, "state": state, "who": who, "when": when, "before": _note(tableNode, identity)}
    if number is not None:
        entry["number"] = number
    if press is not None:
        entry["press"] = press
    setRegionState(tableNode, region, state, who, when)
    _write(tableNode, [*decisionLog(tableNode), entry])


def undoDecision(tableNode: Any) -> tuple[Region, str, int | None] | None:
    """Take back the last decision about a region of the table; returns the region, what had been decided and its
    number in the review log, or None where there is nothing to take back.

    The log keeps both.
    """
    last = lastDecision(tableNode)
    if last is None:
        return None
    log = decisionLog(tableNode)
    entry = log[_lastStanding(log, set(regionStates(tableNode)))]
    setRegionState(tableNode, last[0], *entry["before"])
    entry["undone"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    _write(tableNode, log)
    return last


def lastDecision(tableNode: Any) -> tuple[Region, str, int | None] | None:
    """What `undoDecision` would take back."""
    log = decisionLog(tableNode)
    place = _lastStanding(log, set(regionStates(tableNode)))
    if place is None:
        return None
    entry = log[place]
    region = next(r for r in regionsFromTable(tableNode) if regionIdentity(r) == _key(entry))
    return region, entry["state"], entry.get("number")


def lastPress(tableNode: Any) -> int | None:
    """The key press that the last standing decision belongs to; None where it was about one region."""
    log = decisionLog(tableNode)
    place = _lastStanding(log, set(regionStates(tableNode)))
    return None if place is None else log[place].get("press")


def canUndo(tableNode: Any) -> bool:
    """Whether there is a decision to take back."""
    return _lastStanding(decisionLog(tableNode), set(regionStates(tableNode))) is not None


def decisionLog(tableNode: Any) -> list[Decision]:
    """Every decision ever noted in this table, the oldest first; one that was taken back has the key "undone"."""
    return json.loads(tableNode.GetAttribute(LOG) or "[]")


def readersOf(tableNode: Any) -> list[str]:
    """Whose list it is, and who decided something in it; nobody where nothing was decided."""
    owner, log = tableNode.GetAttribute(OWNER), tableNode.GetAttribute(LOG)
    return one_spelling([name for name in (owner, *(_whoIn(log) if log else ())) if name])


def setOwner(tableNode: Any, name: str) -> None:
    """Whose list it is, before anything was decided in it."""
    tableNode.SetAttribute(OWNER, name)


@lru_cache(maxsize=8)
def _whoIn(log: str) -> tuple[str, ...]:
    """Read once: the panel asks at every change."""
    return tuple(dict.fromkeys(entry["who"] for entry in json.loads(log) if "undone" not in entry))


def decisionRows(tableNode: Any) -> list[dict[str, Any]]:
    """The rows of the list in rank order, each with its state, who decided last and when, and so its pieces."""
    notes, states = regionNotes(tableNode), regionStates(tableNode)
    rows = []
    for row in rowsFromTable(tableNode):
        known = [notes.get(regionIdentity(leaf), (OPEN, "", "")) for leaf in row.leaves]
        _state, who, when = max(known, key=lambda note: note[2])
        pieces = [
            {**leaf.as_dict(), "state": state, "who": one, "when": at}
            for leaf, (state, one, at) in zip(row.leaves, known, strict=True)
        ]
        entry = {**row.as_dict(), "state": rowState(row, states), "who": who, "when": when}
        rows.append({**entry, "pieces": pieces if row.pieces else []})
    return rows


def _note(tableNode: Any, identity: tuple) -> tuple[str, str, str]:
    return regionNotes(tableNode).get(identity, (OPEN, "", ""))


def _lastStanding(log: list[Decision], regions: set[tuple]) -> int | None:
    standing = (i for i in reversed(range(len(log))) if "undone" not in log[i] and _key(log[i]) in regions)
    return next(standing, None)


def _key(entry: Decision) -> tuple:
    case, value, suspicion, voxel = entry["region"]
    return case, value, suspicion, tuple(voxel)


def _write(tableNode: Any, log: list[Decision]) -> None:
    tableNode.SetAttribute(LOG, json.dumps(log))
