"""One reader's review log of an image on disk: a decision is there before the panel shows it, so that a crash of Slicer
loses none.

The scene keeps the decisions too, but only once somebody saves it. The log belongs to an image, whatever the scene
and the file are called; after a crash it offers what the scene does not know. Each reader has a log of their own, in a
folder that the commands `verify`, `report` and `agreement` take; of the others' logs nothing is told here but who
decided something, and which cases are locked for all.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.io.case import label_fingerprint
from ..engine.review.decisions import Decision, History, write_regions_json
from ..engine.review.log import ReviewLog, open_log, read_history
from ..engine.review.readers import LOGS, Reader, SignOff, one_spelling, reader_key, reader_log, same_reader
from ..engine.review.reviewed_voxels import TrustedVoxels
from ..mrml.regions import OPEN, regionIdentity
from .case_snapshot import CaseSnapshot


@dataclass(frozen=True)
class OtherReaders:
    """names: who else decided something about the image; locked: sign-offs for all readers, by case; problems:
    sentences about logs that cannot be read."""

    names: tuple[str, ...] = ()
    locked: tuple[SignOff, ...] = ()
    problems: tuple[str, ...] = ()


class ReviewLogWriter:
    """The log of one reader about one image, open for writing from the first use until `close`.

    folder: of all images; image: its `image_fingerprint`.
    """

    def __init__(self, folder: Path, image: str, reader: Reader) -> None:
        self.reader = reader
        self.results = imageFolder(folder, image)
        self.file = reader_log(self.results, reader.name)
        self._shared = folder / f"{self.results.name}.log"  # of a version that kept one log an image
        self._open = ExitStack()
        self._log: ReviewLog | None = None
        self._others: tuple[dict[Path, tuple[int, int]], OtherReaders] = ({}, OtherReaders())
        self.problem = ""  # why nothing is written, in a sentence
        if self.file.exists():
            with suppress(EngineError):
                self._begin()

    def isFor(self, folder: Path, image: str, reader: Reader) -> bool:
        return self.results == imageFolder(folder, image) and same_reader(self.reader.name, reader.name)

    def close(self) -> None:
        self._open.close()
        self._log = None

    def record(
        self, region: Region, verdict: str, reader: Reader, voxels: TrustedVoxels | None = None, reason: str = ""
    ) -> int | None:
        """Write a decision; its number, or None where there is no log. Raises EngineError "disk-full",
        "case-signed-off"."""
        log = self._begin()
        return None if log is None else log.decide(region, verdict, reader, voxels, reason)

    def undo(self, number: int | None, region: Region) -> None:
        """Note that a decision about the region was undone; one that this log does not know is passed over: the scene
        may come from another computer, which numbers its own."""
        standing = {} if self._log is None else self._log.state.standing
        if number in standing and _identity(standing[number]) == regionIdentity(region):
            self._log.undo(number)

    def signed(self, case: str) -> SignOff | None:
        """What locks the case for this reader: their own sign-off, or another one's for all."""
        own = None if self._log is None else self._log.state.signed.get(case)
        return own or next((each for each in self.others().locked if each.case == case), None)

    def ownSignOff(self, case: str) -> SignOff | None:
        return None if self._log is None else self._log.state.signed.get(case)

    def lastSignOff(self, case: str) -> SignOff | None:
        """This reader's last verdict about the case, whether it still stands or not."""
        history = History() if not self.file.exists() else read_history(self.file)
        found = [each for each in history.sign_offs.values() if each.case == case and each.score is not None]
        return found[-1] if found else None

    def hasDecided(self) -> bool:
        """Whether a decision of this reader stands."""
        return self._log is not None and bool(self._log.state.standing)

    def changedLabel(self, case: str) -> bool:
        """Whether a decision that stands says that the label was changed."""
        standing = {} if self._log is None else self._log.state.standing
        return any(d.case == case and d.verdict in ("accepted", "corrected") for d in standing.values())

    def signOff(self, case: str, score: int, reader: Reader, reason: str) -> None:
        """Raises EngineError "review-log" where there is no log, and as `ReviewLog.sign_off`."""
        self._required().sign_off(case, score, reader, reason)

    def reopen(self, case: str, reader: Reader, reason: str) -> None:
        """Raises as `signOff` and `ReviewLog.reopen`."""
        self._required().reopen(case, reader, reason)

    def others(self) -> OtherReaders:
        """Read anew where a log came or grew."""
        found = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in self._otherLogs()}
        if found != self._others[0]:
            self._others = found, self._readOthers(list(found))
        return self._others[1]

    def decisionsMissingFrom(self, states: dict[tuple, str]) -> list[tuple[tuple, int | None, Decision]]:
        """(identity, number, decision) of what this reader decided about regions that are still open in the list.

        states: of each listed region, by `regionIdentity`; number: in this log, None for what an earlier version wrote.
        """
        found: dict[tuple, tuple[int | None, Decision]] = {}
        for history, numbered in ((self._earlier(), False), (self._log, True)):
            standing = {} if history is None else history.state.standing if numbered else history.state().standing
            for number, decision in standing.items():
                if same_reader(decision.annotator, self.reader.name):
                    found[_identity(decision)] = (number if numbered else None, decision)
        return [
            (identity, number, decision)
            for identity, (number, decision) in found.items()
            if decision.verdict != OPEN and states.get(identity) == OPEN
        ]

    def _begin(self) -> ReviewLog | None:
        """Open the log, once; None where it cannot be: the review then goes on in the scene. Raises EngineError
        "disk-full" where it cannot even begin."""
        if self._log is None and not self.problem:
            try:
                self._log = self._open.enter_context(open_log(self.file))
            except EngineError as problem:  # in use by another Slicer, damaged, no disk
                if problem.code == "disk-full":
                    raise
                self.problem = problem.sentence
        return self._log

    def _required(self) -> ReviewLog:
        log = self._begin()
        if log is None:
            raise EngineError("review-log", self.problem)
        return log

    def _earlier(self) -> History | None:
        try:
            return read_history(self._shared) if self._shared.is_file() else None
        except EngineError:
            return None

    def _otherLogs(self) -> list[Path]:
        own = [path for path in sorted((self.results / LOGS).glob("*.log")) if path != self.file]
        return [*own, self._shared] if self._shared.is_file() else own

    def _readOthers(self, logs: list[Path]) -> OtherReaders:
        names: list[str] = []
        locked: list[SignOff] = []
        problems = []
        for path in logs:
            try:
                history = read_history(path)
            except EngineError as problem:
                problems.append(problem.sentence)
                continue
            names += [d.annotator for d in history.state().standing.values()]
            locked += [each for each in history.signed().values() if each.for_all]
        others = [name for name in one_spelling(names) if reader_key(name) not in ("", reader_key(self.reader.name))]
        return OtherReaders(tuple(others), tuple(locked), tuple(problems))


def _identity(decision: Decision) -> tuple:
    return decision.case, decision.label_value, decision.suspicion, decision.centre_voxel


def regionsByIdentity(found: list[Region]) -> dict[tuple, Region]:
    return {regionIdentity(region): region for region in found}


def imageFolder(folder: Path, image: str) -> Path:
    """Where the records of an image lie: the list, and below it each reader's log."""
    return folder / re.sub(r"[^0-9a-f]", "", image)


def keepList(folder: Path, taken: CaseSnapshot, rows: list[Region]) -> None:
    """The list of an image beside the logs of its readers, for the commands; on any thread. Where it cannot be written
    the logs go on without it."""
    results, label = imageFolder(folder, taken.fingerprint), np.asarray(taken.case().label)
    with suppress(EngineError, OSError):
        results.mkdir(parents=True, exist_ok=True)
        write_regions_json(rows, results / "regions.json", labels={taken.name: label_fingerprint(label)})


def reviewLogFolder(state: Any) -> Path:
    """Beside the work where the reader chose a place for it, else beside Slicer's settings, which no clean-up takes."""
    import slicer

    if Path(state.workFolder).is_absolute():  # that of a scene from another system is not
        return Path(state.workFolder) / "reviews"
    return Path(slicer.app.slicerUserSettingsFilePath).parent / "DALESegment" / "reviews"
