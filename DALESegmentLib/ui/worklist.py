"""Case after case: the cases of a folder or the images of the scene, each with a verdict, its time and its keys.

A folder's cases come into the scene one at a time. When one is left, its segmentation as it is now and a line of the
log are written beside the folder, and it goes from the scene; the folder itself stays as it is. Images of the scene are
chosen one after the other, and only the log is written. Another reader begins with the labels of the folder, and their
segmentations are written into a folder of their own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.core.files import not_written
from ..engine.io.case import Case, CaseSource, UnusableCase
from ..engine.review.readers import file_stem, same_reader
from ..mrml.cases import addCase, removeCase
from ..mrml.labelmap_snapshot import LabelmapSnapshot
from ..mrml.outlines import LINE
from ..mrml.segmentations import segmentationSnapshot, userSegmentIds
from ..mrml.views import showWholeImage
from ..mrml.volumes import geometryFromVolume, imagesOfScene
from .reader import currentReader
from .workflow import Workflow
from .worklist_log import COLUMNS, appendRow, readRows

VERDICTS = {"accepted": _("accepted"), "revise": _("to be revised")}
LOG, OTHERS = "worklist.csv", "readers"


@dataclass
class WorklistCase:
    """source: the files of a folder's case; nodes: an image of the scene and its segmentation, or None for that.
    verdict: a key of VERDICTS, "" while there is none; seconds, keys: that it took, all visits together; score: of its
    sign-off, 0 while it is not signed off; others: who else has read it, with their verdict and score."""

    name: str
    source: CaseSource | None = None
    nodes: tuple[Any, Any] = (None, None)
    verdict: str = ""
    seconds: float = 0.0
    keys: int = 0
    score: int = 0
    others: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def isDone(self) -> bool:
        return bool(self.verdict or self.score)


class Worklist:
    """The cases and the one at hand. Reading and writing go on beside the user interface, as a step of the workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self.cases: list[WorklistCase] = []
        self.unusable: list[str] = []  # sentences about cases that could not be read
        self.at: int | None = None
        self._left: int | None = None  # the case that was at hand before
        self._folder: Path | None = None
        self._loaded: tuple[list[Any], Any] | None = None  # nodes that a folder's case brought into the scene
        self._began = 0.0
        self._shown = ""
        self._keys = 0
        self._owners: dict[str, str] = {}  # who read a case first
        self.reader = ""  # who opened the list

    @property
    def case(self) -> WorklistCase | None:
        """The case at hand."""
        return None if self.at is None else self.cases[self.at]

    @property
    def out(self) -> Path:
        """Where segmentations and log are written."""
        if self._folder is None:
            return self._workflow.session.root
        chosen = Path(self._workflow.state.workFolder)
        if chosen.is_absolute():
            return chosen / "reviewed" / self._folder.name
        return self._folder.with_name(f"{self._folder.name}-reviewed")

    @property
    def writesSegmentations(self) -> bool:
        """Whether these are a folder's cases, whose segmentations are written when they are left."""
        return self._folder is not None

    def forget(self) -> None:
        """The scene goes. What was written stays, and the folder can be opened again."""
        self.cases, self.at, self._left, self._folder, self._loaded = [], None, None, None, None

    def sign(self, score: int) -> None:
        """The case at hand was signed off with this score, or opened again (0)."""
        if self.case is not None:
            self.case.score = score

    def countKey(self) -> None:
        """One more key of the review was pressed."""
        self._keys += 1

    def openScene(self) -> None:
        """The images of the scene, each with the segmentation that was drawn on it. Raises EngineError "no-image"."""
        images = imagesOfScene()
        if not images:
            raise EngineError("no-image", "There is no image in the scene; load one, or work through a folder.")

        def begin() -> None:
            self._folder, self.unusable = None, []
            self.cases = [WorklistCase(image.GetName(), nodes=(image, _drawnOn(image))) for image in images]
            self._recall()
            self._show(self._firstOpen())

        self._leave(begin)

    def openFolder(self, folder: Path) -> None:
        """The cases that the engine finds in a folder, with one meaning of the values in all labels. What was decided
        there earlier is taken up again."""
        from ..engine.io.find_cases import find_each
        from ..engine.io.label_decision import LabelOptions
        from ..engine.io.label_facts import labels_of

        def find() -> tuple[list[CaseSource], list[str]]:
            found = find_each(folder)
            usable = [source for source in found if isinstance(source, CaseSource)]
            if not usable:
                raise EngineError("no-cases", f"No case of “{folder.name}” can be read; check the folder under Data.")
            broken = [f"{one.name}: {one.problem.sentence}" for one in found if isinstance(one, UnusableCase)]
            encoding = labels_of(usable, LabelOptions()).encoding
            return [replace(source, encoding=encoding) for source in usable], broken

        def done(found: tuple[list[CaseSource], list[str]]) -> None:
            self._folder = folder
            self.cases = [WorklistCase(source.name, source) for source in found[0]]
            self.unusable = found[1]
            self._recall()
            self._show(self._firstOpen())

        self._leave(lambda: self._workflow.beside(find, done))

    def decide(self, verdict: str) -> None:
        """Note the verdict about the case at hand and go on to the next one without any."""
        self._requireCase()
        self._leave(lambda: self._show(self._firstOpen()), verdict)

    def move(self, by: int) -> None:
        """To the case so many places on, without a verdict. Raises EngineError "no-case" beyond the ends."""
        self._requireCase()
        if not 0 <= self.at + by < len(self.cases):
            raise EngineError("no-case", "There is no further case in that direction.")
        wanted = self.at + by
        self._leave(lambda: self._show(wanted))

    def goTo(self, n: int) -> None:
        if n != self.at:
            self._leave(lambda: self._show(n))

    def summary(self) -> str:
        """How far it is, in a line."""
        done = [case for case in self.cases if case.isDone]
        if not done:
            return _("{count} cases.").format(count=len(self.cases))
        each = sum(case.seconds for case in done) / len(done)
        keys = sum(case.keys for case in done) / len(done)
        text = _("{done} of {count} cases; {seconds:.0f} s and {keys:.0f} keys a case.")
        return text.format(done=len(done), count=len(self.cases), seconds=each, keys=keys)

    def _requireCase(self) -> WorklistCase:
        if self.case is None:
            raise EngineError("no-case", "Open a worklist under Data, Advanced, first.")
        return self.case

    def _firstOpen(self) -> int | None:
        """The next case without a verdict after the one at hand, else the first; None where all have one."""
        start = 0 if self._left is None else self._left + 1
        order = [*range(start, len(self.cases)), *range(start)]
        return next((n for n in order if not self.cases[n].isDone), None)

    def _show(self, n: int | None) -> None:
        if n is None:
            self.at = None
            self._workflow.onMessage(_("All cases have a verdict. {summary}").format(summary=self.summary()))
            self._workflow.onChanged()
            return
        case = self.cases[n]
        if case.source is None:
            self._take(n, *case.nodes)
            return
        saved = self._saved(case.name)
        source = replace(case.source, label=saved, class_names={}) if saved.is_file() else case.source

        def read() -> Case:
            from ..engine.io.case_files import read_case

            return read_case(source)

        def done(read: Case) -> None:
            self._loaded = addCase(read, self._lastingId(case.name))
            self._take(n, self._loaded[0], self._loaded[1])

        self._workflow.beside(read, done)

    def _take(self, n: int, images: Any, segmentation: Any) -> None:
        """Choose these nodes; the clock and the count of the keys begin."""
        state, channels = self._workflow.state, images if isinstance(images, list) else [images]
        self.at, self._began, self._keys = n, time.monotonic(), 0
        self._shown = datetime.now(timezone.utc).isoformat(timespec="seconds")
        state.image, state.segmentation, state.segment = channels[0], segmentation, ""
        state.secondImage, state.thirdImage = [*channels[1:3], None, None][:2]
        showWholeImage(channels[0])
        text = _("Case {n} of {count}: {name}.")
        self._workflow.onMessage(text.format(n=n + 1, count=len(self.cases), name=self.cases[n].name))
        self._workflow.onChanged()

    def _leave(self, then: Callable[[], None], verdict: str = "") -> None:
        """Write what there is of the case at hand, then go on. Where it cannot be written the case stays as it is.
        verdict: "" leaves it as it was. Raises EngineError "busy"."""
        case = self.case
        if case is None:
            then()
            return
        if self._workflow.busy:
            raise EngineError("busy", "A step is still running; wait for it or cancel it.")
        visited = replace(
            case,
            verdict=verdict or case.verdict,
            seconds=case.seconds + time.monotonic() - self._began,
            keys=case.keys + self._keys,
        )
        row, segmentation = self._row(visited), self._segmentation()
        drawn = None if segmentation is None else self._drawn(segmentation)
        keep, out = self._workflow.keepDecisions(), self.out

        def write() -> None:
            keep()
            if drawn is not None:
                _writeSegmentation(self._saved(case.name), *drawn)
            appendRow(out / LOG, row)

        def written(nothing: None) -> None:
            if drawn is not None and drawn[0].changedVoxels(self._drawn(segmentation)[0]) != 0:
                raise EngineError("changed", f"“{case.name}” was changed while it was saved; leave it again.")
            self._owners.setdefault(case.name, row["reader"])
            case.verdict, case.seconds, case.keys = visited.verdict, visited.seconds, visited.keys
            self.at, self._left = None, self.at  # also where the next one cannot be read
            if self._loaded is not None:
                self._workflow.review.close()
                removeCase(self._loaded[0], segmentation)
                self._loaded = None
            then()

        self._workflow.beside(write, written)

    def _row(self, case: WorklistCase) -> dict[str, Any]:
        state, review = self._workflow.state, self._workflow.review
        decided = sum(decision != "open" for decision in review.decisions().values()) if review.begun else 0
        values = (
            case.name,
            case.verdict,
            self.reader,
            self._shown,
            f"{case.seconds:.1f}",
            case.keys,
            decided,
            Path(state.model).name,
            case.score or "",
        )
        return dict(zip(COLUMNS, values, strict=True))

    def _segmentation(self) -> Any:
        """That of a folder's case, whatever is chosen in the panel; of a case that came without a label the one that
        was drawn on its image since. None where there is none, and for images of the scene."""
        if self._loaded is None:
            return None
        volumes, own = self._loaded
        found = own or _drawnOn(volumes[0])
        there = found is not None and found.GetScene() is not None and bool(userSegmentIds(found))
        return found if there else None

    def _drawn(self, segmentation: Any) -> tuple[LabelmapSnapshot, Any, list[tuple[str, tuple[float, float, float]]]]:
        """What is drawn in a folder's case now, copied: the segments, their names and colours."""
        image, held = self._loaded[0][0], segmentation.GetSegmentation()
        ids = userSegmentIds(segmentation)
        looks = [(held.GetSegment(i).GetName(), tuple(held.GetSegment(i).GetColor())) for i in ids]
        return segmentationSnapshot(segmentation, image, ids), geometryFromVolume(image), looks

    def _saved(self, name: str) -> Path:
        """Whoever read a case first has the plain place, also with an earlier version; others one of their own."""
        owner = self._owners.get(name)
        own = self.out if not owner or same_reader(owner, self.reader) else self.out / OTHERS / file_stem(self.reader)
        return own / name / "segmentation.seg.nrrd"

    def _lastingId(self, name: str) -> str:
        return hashlib.sha256(f"{self._folder}/{name}".encode()).hexdigest()[:32]

    def _recall(self) -> None:
        """Take up verdicts, times and keys of this reader's earlier sittings; the last line about a case counts."""
        self.at, self.reader = None, currentReader(self._workflow.state).name
        rows, cases = readRows(self.out / LOG), {case.name: case for case in self.cases}
        self._owners = {}
        for row in rows:
            case = cases.get(row["case"])
            self._owners.setdefault(row["case"], row["reader"])
            if case is None:
                continue
            verdict = row["verdict"] if row["verdict"] in VERDICTS else ""
            score = int(row["score"]) if (row.get("score") or "").isdecimal() else 0
            if row["reader"] and not same_reader(row["reader"], self.reader):
                case.others = {name: of for name, of in case.others.items() if not same_reader(name, row["reader"])}
                case.others[row["reader"]] = verdict, score
                continue
            case.verdict, case.score = verdict, score
            case.seconds, case.keys = float(row["seconds"]), int(row["keys"])


def _drawnOn(image: Any) -> Any:
    """The user's segmentation whose voxels are those of the image; None where there is none."""
    import slicer

    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", slicer.mrmlScene)
    drawn = [node for node in nodes if node.GetAttribute(LINE) is None]  # what this module made is no label
    return next((node for node in drawn if node.GetNodeReferenceID(role) == image.GetID()), None)


def _writeSegmentation(
    path: Path, drawn: LabelmapSnapshot, geometry: Any, looks: list[tuple[str, tuple[float, float, float]]]
) -> None:
    """On any thread. Segments that overlap stay so. Raises EngineError "cannot-write"."""
    from ..engine.io.segmentations import Segment, from_masks, write_segmentation

    masks = [drawn.maskOf(value) for value in range(1, len(looks) + 1)]
    segments = [Segment(i, name, colour) for i, (name, colour) in zip(drawn.segmentIds, looks, strict=True)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path.name, path.parent, error) from error
    write_segmentation(path, from_masks(masks, segments, geometry))
