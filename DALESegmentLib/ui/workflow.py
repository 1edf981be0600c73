"""The steps of the work, each a request to the engine and what its answer does to the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.geometry.grid import Geometry
from ..mrml import charts, segmentations
from ..mrml.regions import PreparedList
from ..mrml.review_baseline import baselineImages, changesIn, setModelAnswer
from ..mrml.scene import referencedNodes
from ..mrml.segmentations import PreparedLabel
from .case_snapshot import CaseSnapshot
from .chosen_inputs import ChosenInputs
from .engine_process import EngineProcess
from .learned_otherwise import learnedOtherwise
from .measurements import extents
from .region_preview import RegionPreview
from .review import Maps, Review
from .review_log_writer import keepList
from .session import Session
from .signals import showProblemSoon
from .training_messages import assessment, isAccepted, listNotes, tooWeak, trained

REFRESH_SECONDS = 3.0  # of learning after each correction
NOT_KEPT = "DALESegment: earlier decisions were not kept. %s"


class Workflow(ChosenInputs):
    """Train, show the confidence, review, fine-tune, predict. One step at a time; none blocks."""

    def __init__(self, engine: EngineProcess, prepare: Callable[[], Any]) -> None:
        super().__init__(engine, prepare)
        self.review: Review | None = None
        self.raters: list[dict[str, Any]] = []  # how each of several raters draws, where that was found out
        self.missingSentences: Callable[[], list[str]] = list  # sentences about what has to be installed first

    def open(self, parameterNode: Any) -> None:
        """Work on the scene of this parameter node; on nothing with None."""
        if self.review is not None:
            self.review.close()
        self.session = Session(parameterNode) if parameterNode else None
        self.review = Review(parameterNode) if parameterNode else None

    def checkData(self, onDone: Callable[[dict], None], onMissing: Callable[[str], None]) -> None:
        """Ask the engine what the chosen cases hold, and what is wrong with them."""
        self._askOnly("inspect", {}, onDone, onMissing, self._trainingCases())

    def showPlan(self, onDone: Callable[[dict], None], onMissing: Callable[[str], None]) -> None:
        """Ask the engine which plan a training of the chosen cases would follow."""
        self._askOnly("plan", self.device(), onDone, onMissing, self._trainingCases())

    def checkInstallation(self, onDone: Callable[[dict], None], onMissing: Callable[[str], None]) -> None:
        """Ask the engine what this machine can do."""
        self._askOnly("doctor", {"folder": str(self.session.folder)}, onDone, onMissing)

    def _askOnly(
        self,
        command: str,
        parameters: dict[str, Any],
        onDone: Callable[[dict], None],
        onMissing: Callable[[str], None],
        writeCase: Callable[[], dict] | None = None,
    ) -> None:
        """Who asks has not agreed to anything: where the engine cannot run yet, onMissing(sentences) says why, and
        nothing is installed."""
        missing = [] if self.engine.running else self.missingSentences()
        if missing:
            onMissing("\n".join(missing))
        else:
            self.request(command, parameters, onDone, writeCase)

    def train(self) -> None:
        """Train a model from nothing within the time budget; the model in use becomes the previous one."""
        parameters = {
            "out": str(self.session.newFolder("model")),
            "method": self.state.method.name,
            "seconds": 60.0 * self.state.minutes,
            **self.device(),
        }
        taken = None if self.state.source.name == "folder" else self.session.takeScene()

        def done(answer: dict) -> None:
            self.raters = answer.get("raters") or self.raters
            self.useModel(answer, "" if taken is None else taken.overlap)

        self.request("train", parameters, done, self._trainingCases(taken))

    def fineTune(self) -> None:
        """Go on training from what was corrected and confirmed in the region list."""
        self.review.reading.checkOpen()
        parameters = {
            "model": self.model(),
            "out": str(self.session.newFolder("model")),
            "seconds": 60.0 * self.state.minutes,
            **self.device(),
        }

        def done(answer: dict) -> None:
            self.judgeModel(answer)
            if self.state.candidate:
                showProblemSoon(self.state.comparison)

        self.request("finetune", parameters, done, self._decided(self.session.takeScene()))

    def refresh(self, region: Region | None = None) -> None:
        """Learn for a few seconds from what was decided; renew the heat map and our own result. The heat map of
        `region`, which was just corrected, is renewed before that of the rest."""
        self.review.reading.checkOpen()
        model, taken, sources = self.model(), self.session.takeScene(), self.sources()
        parameters = {
            "model": model,
            "out": str(self.session.newFolder("refresh")),
            "seconds": REFRESH_SECONDS,
            **self.device(),
        }
        first = RegionPreview(self.review)
        if region is not None:
            box = {"first_voxel": list(region.first_voxel), "last_voxel": list(region.last_voxel)}
            parameters["region"] = {"case": taken.name, **box}

        def read(answer: dict) -> tuple:
            item = answer["items"][0]
            return (
                answer,
                Maps.read(item, taken.geometry),
                PreparedLabel.of(np.load(item["segmentation"]), taken.geometry),
            )

        def done(answered: tuple) -> Iterator[None]:
            answer, maps, label = answered
            if isAccepted(answer):
                self.review.showHeatMap(maps, taken.geometry, sources)
                yield
                name = _("{image} refreshed").format(image=sources[0].GetName())
                self.showResult(label, answer["items"][0], taken.geometry, sources, name, renew=True)
            else:
                first.restore()
            yield
            self.judgeModel(answer)

        self.request("refresh", parameters, done, self._decided(taken), read, first.show, first.restore)

    def showConfidence(self) -> None:
        """Colour the slices by how far each voxel's label can be trusted."""
        parameters, taken, sources = self.judging("confidence"), self.session.takeScene(), self.sources()

        def read(answer: dict) -> tuple:
            item = answer["items"][0]
            return answer, item, Maps.read(item, taken.geometry)

        def done(answered: tuple) -> Iterator[None]:
            answer, item, maps = answered
            self.review.showHeatMap(maps, taken.geometry, sources)
            yield
            mean = _("Mean label confidence {value:.2f}.").format(value=item["mean_confidence"])
            self.onMessage(_lines(taken.overlap, mean, *tooWeak(answer), learnedOtherwise(item), extents(item)))

        self.request("confidence", parameters, done, taken.writeCase, read)

    def listRegions(self) -> None:
        """Rank the places where the label is doubtful; corrections count from here on."""
        if not self.review.isForOtherNodes:
            self.review.reading.checkOpen()
        parameters, keepEarlier = self.judging("review"), self.keepDecisions()
        records = self.review.reading.folder
        taken, sources = self.session.takeScene(), self.sources()

        def writeCase() -> dict:
            keepEarlier()  # first: they are trusted in the case that goes to the engine
            return taken.writeCase()

        def read(answer: dict) -> tuple:
            item = answer["items"][0]
            found = [Region.from_dict(region) for region in answer["regions"]]
            suggestions = Path(item["suggestions"]).read_text(encoding="utf-8") if item.get("suggestions") else ""
            images = baselineImages(taken.case(), np.load(item["regions_map"]))
            keepList(records, taken, found)
            answered = {**item, "suggestions": suggestions, "changes": changesIn(suggestions)}
            return PreparedList.of(found), Maps.read(item, taken.geometry), images, answered, listNotes(answer)

        def done(answered: tuple) -> Iterator[None]:
            found, maps, images, item, notes = answered
            self.review.showHeatMap(maps, taken.geometry, sources)
            yield
            self.review.showRegions(found, images, taken, sources, notes)
            classes = {int(value): className for value, className in item.get("classes", {}).items()}
            probabilities, texts = str(item.get("probabilities") or ""), (item["suggestions"], item["changes"])
            setModelAnswer(self.state.regionTable, classes, probabilities, *texts)
            yield
            many = len(found.rows.all)
            count = _found(many) if many or not notes else ""
            self.onMessage(_lines(taken.overlap, count, *notes, learnedOtherwise(item), extents(item)))

        self.request("review", parameters, done, writeCase, read)

    def rollBack(self) -> None:
        """Take the previous model back into use, the newer one becomes the previous; a model that waits to be kept
        is left."""
        state = self.state
        if state.candidate:
            state.candidate = ""
            self.onMessage(_("The new model was left; the previous one is in use as before."))
        elif state.previousModel:
            state.model, state.previousModel = state.previousModel, state.model
            self.onMessage(_("The previous model is in use again."))
        else:
            raise EngineError("no-previous-model", "There is no earlier model to go back to.")
        self.onChanged()

    def keep(self) -> None:
        """Use the model that waits to be kept, else keep the one in use: there is no way back from that."""
        state = self.state
        if state.candidate:
            state.previousModel, state.model, state.candidate = state.model, state.candidate, ""
            self.onMessage(_("The new model is in use; the previous one can be taken back."))
        else:
            state.previousModel = ""
            self.onMessage(_("The new model is kept."))

    def useModel(self, answer: dict, warning: str = "") -> None:
        """Take a trained model into use, and show a message about it, after the warning if there is one."""
        state = self.state
        state.previousModel, state.model, state.candidate = state.model, answer["model"], ""
        state.comparison = assessment(answer)
        charts.updateCurves(answer["history"])
        self.onMessage(_lines(warning, trained(answer), state.comparison))

    def judgeModel(self, answer: dict) -> None:
        """As `useModel`; a fine-tuned model that the engine objects to waits until the reader keeps it."""
        if isAccepted(answer):
            self.useModel(answer)
            return
        self.state.candidate, self.state.comparison = answer["model"], assessment(answer)
        charts.updateCurves(answer["history"])
        self.onMessage(f"{trained(answer)}\n{self.state.comparison}")

    def showResult(
        self, label: PreparedLabel, item: dict, geometry: Geometry, sources: tuple, name: str, renew: bool = False
    ) -> Any:
        """A new segmentation of the answer, or the renewed one that an earlier refresh made."""
        names = {int(value): className for value, className in item["classes"].items()}
        image, like = sources
        if renew and segmentations.renewSegmentation(self.state.result, label.array, geometry, names):
            return self.state.result
        there = like if like is not None and like.GetScene() is not None else None
        line = "refreshed" if renew else "model"
        node = segmentations.addSegmentation(label, geometry, names, image, name, there, line)
        if renew:
            segmentations.markRenewable(node)
        self.state.result = node
        return node

    def _decided(self, taken: CaseSnapshot) -> Callable[[], dict]:
        """A function that writes the scene's case for the engine with its trusted voxels, and stores these."""
        if self.review.isForOtherNodes:
            raise EngineError("no-review", "The list belongs to another image; list the doubtful regions of this one.")
        decided = self.review.deferTrustedVoxels()

        def writeCase() -> dict:
            case = taken.case()
            case.trusted = decided(case)
            if not case.trusted.any():
                raise EngineError("nothing-trusted", "Nothing was corrected or confirmed yet; do so, then fine-tune.")
            taken.storeTrusted()
            return taken.writeCase()

        return writeCase

    def keepDecisions(self) -> Callable[[], None]:
        """A function that stores the trusted voxels of the present review, before another list takes its place."""
        image, segmentation = referencedNodes(self.state.regionTable)
        if image is None or segmentation is None or not self.review.begun:
            return lambda: None
        try:
            taken = self.session.takeLabelled([image], segmentation, self.review.reviewedSegments())
            decided = self.review.deferTrustedVoxels()
        except EngineError as problem:  # the reviewed segments are no more
            logging.warning(NOT_KEPT, problem.sentence)
            return lambda: None

        def keep() -> None:
            try:
                taken.case().trusted = decided(taken.case())
            except EngineError as problem:
                logging.warning(NOT_KEPT, problem.sentence)
            else:
                taken.storeTrusted()

        return keep

    def _trainingCases(self, taken: CaseSnapshot | None = None) -> Callable[[], dict]:
        """taken: of the scene, where it was taken already."""
        if self.state.source.name != "folder":
            return (taken or self.session.takeScene()).writeCase
        cases = self.folderCases()
        return lambda: cases  # the engine knows which of them are kept for tests


def _lines(*sentences: str) -> str:
    return "\n".join(sentence for sentence in sentences if sentence)


def _found(count: int) -> str:
    if count == 0:
        return _("No doubtful region was found.")
    many = _("{count} doubtful regions, the most doubtful first.").format(count=count)
    return _("1 doubtful region.") if count == 1 else many
