"""The review log on disk: a decision is there before the panel shows it, so that a crash of Slicer loses none.

The scene keeps the decisions too, but only once somebody saves it. The log belongs to an image, whatever the scene
and the file are called; after a crash it offers what the scene does not know.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.review.decisions import Decision
from ..engine.review.log import ReviewLog, open_log
from ..mrml.regions import OPEN, regionIdentity


class ReviewLogWriter:
    """The log of one image, open from the first use until `close`. image: its `image_fingerprint`."""

    def __init__(self, folder: Path, image: str) -> None:
        self.file = folder / f"{re.sub(r'[^0-9a-f]', '', image)}.log"
        self._open = ExitStack()
        self._log: ReviewLog | None = None
        self.problem = ""  # why nothing is written, in a sentence
        try:
            self._log = self._open.enter_context(open_log(self.file))
        except EngineError as problem:  # in use by another Slicer, damaged, no disk: the review goes on in the scene
            self.problem = problem.sentence

    def close(self) -> None:
        self._open.close()
        self._log = None

    def record(self, region: Region, verdict: str, who: str) -> int | None:
        """Write a decision; its number, or None where there is no log. Raises EngineError "disk-full"."""
        return None if self._log is None else self._log.decide(region, verdict, who)

    def undo(self, number: int | None, region: Region) -> None:
        """Note that a decision about the region was undone; one that this log does not know is passed over: the scene
        may come from another computer, which numbers its own."""
        standing = {} if self._log is None else self._log.state.standing
        if number in standing and _identity(standing[number]) == regionIdentity(region):
            self._log.undo(number)

    def decisionsMissingFrom(self, states: dict[tuple, str]) -> list[tuple[tuple, int, Decision]]:
        """(identity, number, decision) of what stands in the log about regions that are still open in the list.

        states: of each listed region, by `regionIdentity`.
        """
        if self._log is None:
            return []
        found = []
        for number, decision in self._log.state.standing.items():
            identity = _identity(decision)
            if decision.verdict != OPEN and states.get(identity) == OPEN:
                found.append((identity, number, decision))
        return found


def _identity(decision: Decision) -> tuple:
    return decision.case, decision.label_value, decision.suspicion, decision.centre_voxel


def regionsByIdentity(found: list[Region]) -> dict[tuple, Region]:
    return {regionIdentity(region): region for region in found}


def reviewLogFolder(state: Any) -> Path:
    """Beside the work where the reader chose a place for it, else beside Slicer's settings, which no clean-up takes."""
    import slicer

    if Path(state.workFolder).is_absolute():  # that of a scene from another system is not
        return Path(state.workFolder) / "reviews"
    return Path(slicer.app.slicerUserSettingsFilePath).parent / "DALESegment" / "reviews"
