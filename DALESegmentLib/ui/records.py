"""What readers decided, compared, reported and checked. Nothing of another reader is told before one's own sign-off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.core.files import replacing
from ..engine.dale.issues import Region
from ..engine.io.array_cases import save_array_case
from ..engine.io.case import label_fingerprint
from ..engine.review.decisions import History, write_regions_json
from ..engine.review.log import read_history
from ..engine.review.readers import LOGS, one_spelling, same_reader
from ..engine.review.verify import Verified, find_logs, verify_folder
from ..mrml import regions, review_baseline
from ..mrml.regions import READERS_DISAGREE
from .workflow import Workflow

LIST = "regions.json"
Say = Callable[[str], None]


class Records:
    """disagreements: by rank, the rows that the last comparison found readers to differ about."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._compared: tuple[str, tuple[str, str], dict[int, dict[str, Any]]] = ("", ("", ""), {})

    @property
    def disagreements(self) -> dict[int, dict[str, Any]]:
        table = self._workflow.state.regionTable
        return self._compared[2] if table is not None and table.GetID() == self._compared[0] else {}

    def pairs(self) -> list[tuple[str, str]]:
        """Readers of the image that can be compared, those with the one at this computer first."""
        reading = self._workflow.review.reading
        name, others = reading.reader.name, list(reading.others().names)
        pairs = [(name, other) for other in others] if self.hasDecided else []
        return [*pairs, *combinations(others, 2)]

    def compare(self, pair: tuple[str, str], say: Say) -> None:
        """Measure how far two readers agree about the case. Raises EngineError "not-signed-off", "no-review"."""
        workflow, reading = self._workflow, self._workflow.review.reading
        writer, table = reading.logWriter(), workflow.state.regionTable
        if writer is None or not review_baseline.hasBaseline(table):
            raise EngineError("no-review", _("There is no list yet; list the doubtful regions first."))
        name = reading.reader.name
        rows, baseline = regions.rowsFromTable(table), review_baseline.baselineCase(table)
        regionMap, results = review_baseline.regionMapView(table), workflow.session.newFolder("agreement")
        taken, tableId = workflow.session.takeImages(workflow.session.images[:1]), table.GetID()

        def write() -> dict[str, Any]:
            requireSeen(writer.results, name)
            case = taken.case()
            case.name, case.label, case.class_names = reading.case, baseline.label, baseline.class_names
            writeResults(results, case.name, rows, regionMap, np.asarray(case.label))
            for log in find_logs(writer.results / LOGS):
                if _history(log) is not None:
                    shutil.copy2(log, results / LOGS / log.name)
            save_array_case(case, results / "case")
            return {"items": [{"name": case.name, "arrays": str(results / "case")}]}

        def done(answer: dict[str, Any]) -> None:
            by_rank = {item["rank"]: item for item in answer["regions"] if item["why"]}
            self._compared = tableId, pair, by_rank
            say("\n".join(answer["sentences"]))

        parameters = {"results": str(results), "readers": list(pair), "out": str(writer.results), "overwrite": True}
        workflow.request("agreement", parameters, done, write)

    def adjudication(self) -> tuple[list[Region], str]:
        """The rows that the readers compared last differ about, each with what they decided in its note, and a sentence
        about them. Raises EngineError "own-decisions"."""
        _table, pair, found = self._compared
        name = self._workflow.review.reading.reader.name
        if any(same_reader(name, each) for each in pair):
            raise EngineError(
                "own-decisions",
                _("A third reader decides where {first} and {second} differ; enter their name under Readers.").format(
                    first=pair[0], second=pair[1]
                ),
            )
        rows = regions.rowsFromTable(self._workflow.state.regionTable)
        listed = [replace(row, note=_difference(found[row.rank])) for row in rows if row.rank in found]
        said = _("{count} rows that {first} and {second} differ about; decide them with the same keys.")
        return listed, said.format(count=len(listed), first=pair[0], second=pair[1])

    def report(self, everything: bool, say: Say) -> None:
        """Write the report about the case at hand, or about all, and open it; where the image is DICOM, this reader's
        decisions also as a structured report. Raises EngineError "not-signed-off", "no-records"."""
        from .export import Exporter

        reading = self._workflow.review.reading
        folder, name, writer = self._folder(everything), reading.reader.name, reading.logWriter()
        atHand = None if writer is None else writer.results

        def check() -> None:
            """In the place of cases, of which the report needs none."""
            if atHand is not None:
                requireSeen(atHand, name, isReader=True)
            for results in [path for path in folder.iterdir() if path.is_dir()] if everything else [folder]:
                requireSeen(results, name)

        def done(answer: dict[str, Any]) -> None:
            made = "" if everything else Exporter(self._workflow).dicomReview(folder, "reader")
            text = _("{cases} cases, {decisions} decisions by {readers}: {file}.")
            names = ", ".join(answer["readers"]) or _("nobody")
            said = text.format(cases=answer["cases"], decisions=answer["decisions"], readers=names, file=answer["html"])
            wrong = _("Logs that do not hold: {count}; see the report.").format(count=answer["bad"])
            say("\n".join(filter(None, (said, wrong if answer["bad"] else "", made))))
            openFile(Path(answer["html"]))

        self._workflow.request("report", {"folder": str(folder), "overwrite": True}, done, check)

    def verify(self, everything: bool, say: Say) -> None:
        """Whether the logs of the case, or all, are as they were written. Raises EngineError "no-records"."""
        folder = self._folder(everything)
        self._workflow.beside(lambda: verify_folder(folder), lambda found: say(answerOf(found)))

    def _folder(self, everything: bool) -> Path:
        reading = self._workflow.review.reading
        if everything:
            folder = reading.folder
        else:
            writer = reading.logWriter()
            folder = None if writer is None else writer.results
        if folder is None or not folder.is_dir() or not any(find_logs(folder)):
            raise EngineError("no-records", _("Nothing was decided yet; decide about a row, then ask again."))
        return folder

    @property
    def hasDecided(self) -> bool:
        """Whether this reader decided anything about the image."""
        writer = self._workflow.review.reading.logWriter()
        return writer is not None and writer.hasDecided()


def requireSeen(results: Path, name: str, *, isReader: bool = False) -> None:
    """Who reads an image sees what the others decided once they signed it off. On any thread. isReader: whether they
    read it although they decided nothing yet. Raises EngineError "not-signed-off"."""
    folder = results / LOGS
    states = [history.state() for log in find_logs(folder) if (history := _history(log))] if folder.is_dir() else []
    decided = [(d, state) for state in states for d in state.standing.values()]
    left = {d.case for d, state in decided if same_reader(d.annotator, name) and d.case not in state.signed}
    others = [d.case for d, _state in decided if not same_reader(d.annotator, name)]
    signed = any(same_reader(s.annotator, name) for state in states for s in state.signed.values())
    if isReader and others and not signed:
        left |= {others[0]}
    if left and others:
        text = _("{case} was read by others, too; sign off your own reading before you see theirs.")
        raise EngineError("not-signed-off", text.format(case=sorted(left)[0]))


def writeResults(folder: Path, case: str, rows: list[Region], regionMap: np.ndarray | None, label: np.ndarray) -> None:
    """A folder of results as the command `review` leaves it: the list, and the map of regions where it is given."""
    (folder / LOGS).mkdir(parents=True, exist_ok=True)
    write_regions_json(rows, folder / LIST, labels={case: label_fingerprint(label)})
    if regionMap is not None:
        (folder / case).mkdir(parents=True, exist_ok=True)
        with replacing(folder / case / "regions.npy") as temporary:
            np.save(temporary, regionMap, allow_pickle=False)


def answerOf(found: list[Verified]) -> str:
    """In a sentence: what holds since when, or what does not."""
    bad = [log.sentence for log in found if not log.holds]
    if bad:
        return " ".join(bad)
    entries = sum(max(log.lines - 1, 0) for log in found)
    times = [at[:16].replace("T", " ") for log in found for at in (log.first, log.last) if at]
    names = one_spelling([name for log in found for name in log.readers])
    text = _("All {count} logs hold: {entries} entries from {first} to {last} UTC by {names}.")
    return text.format(
        count=len(found), entries=entries, first=min(times, default="–"), last=max(times, default="–"),
        names=", ".join(names) or _("nobody"),
    )  # fmt: skip


def openFile(path: Path) -> None:
    """In the program that this computer has for it."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))


def _difference(item: dict[str, Any]) -> str:
    parts = [
        _("{name} decided {verdict}").format(name=item[f"reader_{n}"], verdict=item[f"verdict_{n}"])
        + (f" ({item[f'reason_{n}']})" if item[f"reason_{n}"] else "")
        for n in (1, 2)
    ]
    if item["dice"] is not None:
        parts.append(_("Dice {dice:.2f} there").format(dice=item["dice"]))
    return f"{READERS_DISAGREE}: {'; '.join(parts)}."


def _history(log: Path) -> History | None:
    """None where the log is damaged, or gone."""
    try:
        return read_history(log) if log.is_file() else None
    except EngineError:
        return None
