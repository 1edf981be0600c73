"""The steps of the work, each a request to the engine and what its answer does to the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.review.region import Region
from DALESegmentLib.mrml import charts, segmentations
from DALESegmentLib.mrml.scene import madeFor

from .engine_process import EngineProcess
from .requests import Requests
from .review import Review, requireUnmoved
from .session import Session

REFRESH_SECONDS = 3.0  # of learning after each correction


class Workflow(Requests):
    """Train, look, review, fine-tune, predict. One step at a time; none of them waits."""

    def __init__(self, engine: EngineProcess, prepare: Callable[[], Any]) -> None:
        super().__init__(engine, prepare)
        self.review: Review | None = None
        self.whatIsMissing: Callable[[], list[str]] = list  # sentences about what has to be installed first

    def open(self, parameterNode: Any) -> None:
        """Work on the scene of this parameter node; on nothing with None."""
        self.session = Session(parameterNode) if parameterNode else None
        self.review = Review(parameterNode) if parameterNode else None

    def checkData(self, onDone: Callable[[dict], None]) -> None:
        """Ask the engine what the chosen cases hold, and what is wrong with them."""
        self.request("inspect", {"cases": self._trainingCases()}, onDone)

    def showPlan(self, onDone: Callable[[dict], None]) -> None:
        """Ask the engine which plan a training of the chosen cases would follow."""
        self.request("plan", {"cases": self._trainingCases(), **self._device()}, onDone)

    def checkInstallation(self, onDone: Callable[[dict], None]) -> None:
        """Ask the engine what this machine can do; where it cannot run yet, say why and install nothing."""
        missing = self.whatIsMissing()
        if missing:
            self.onMessage("\n".join(missing))
            return
        self.request("doctor", {"folder": str(self.session.folder)}, onDone)

    def train(self) -> None:
        """Train a model from nothing within the time budget; the model in use becomes the previous one."""
        out = self.session.newFolder("model")
        parameters = {
            "cases": self._trainingCases(),
            "out": str(out),
            "method": self.state.method.name,
            "seconds": 60.0 * self.state.minutes,
            **self._device(),
        }
        self.request("train", parameters, self.useModel)

    def fineTune(self) -> None:
        """Go on training from what was corrected and confirmed in the region list."""
        parameters = {
            "model": self.model(),
            "cases": self.session.handOver(self._decidedCase()),
            "out": str(self.session.newFolder("model")),
            "seconds": 60.0 * self.state.minutes,
            **self._device(),
        }
        self.request("finetune", parameters, self.useModel)

    def refresh(self) -> None:
        """Learn for a few seconds from what was decided; renew the heat map and our own result."""
        case, sources = self._decidedCase(), self.sources()
        parameters = {
            "model": self.model(),
            "cases": self.session.handOver(case),
            "out": str(self.session.newFolder("refresh")),
            "seconds": REFRESH_SECONDS,
            **self._device(),
        }

        def done(result: dict) -> None:
            item = result["items"][0]
            self.review.showHeatMap(item, case, sources)
            self._showResult(item, case, sources, f"{sources[0].GetName()} refreshed", renew=True)
            self.useModel(result)

        self.request("refresh", parameters, done)

    def showConfidence(self) -> None:
        """Colour the slices by how far each voxel's label can be trusted."""
        case, sources = self.session.sceneCase(), self.sources()

        def done(result: dict) -> None:
            item = result["items"][0]
            self.review.showHeatMap(item, case, sources)
            self.onMessage(_("Mean label confidence {value:.2f}.").format(value=item["mean_confidence"]))

        self.request("confidence", self._applied(case, "confidence"), done)

    def listRegions(self) -> None:
        """Rank the places where the label is doubtful; corrections count from here on."""
        self.model()
        self._keepDecisions()
        case, sources = self.session.sceneCase(), self.sources()

        def done(result: dict) -> None:
            item = result["items"][0]
            found = [Region.from_dict(region) for region in result["regions"]]
            self.review.showHeatMap(item, case, sources)
            self.review.showRegions(found, np.load(item["regions_map"]), case, sources)
            self.onMessage(_found(len(found)))

        self.request("review", self._applied(case, "review"), done)

    def predict(self) -> None:
        """Segment the chosen image into a new segmentation; nothing that exists is touched."""
        images = self.session.images if self.state.target is None else [self.state.target]
        case = self.session.imageCase(images)
        sources = images[0], self.state.segmentation

        def done(result: dict) -> None:
            requireUnmoved(images[0], case)
            item = result["items"][0]
            node = self._showResult(item, case, sources, f"{images[0].GetName()} predicted")
            names = {int(value): name for value, name in item["classes"].items()}
            volumes = _volumes(item["voxels"], names, case.geometry.voxel_volume)
            self.onMessage(_("New segmentation “{name}”: {volumes}.").format(name=node.GetName(), volumes=volumes))

        self.request("predict", self._applied(case, "prediction"), done)

    def rollBack(self) -> None:
        """Take the previous model back into use; the newer one becomes the previous."""
        if not self.state.previousModel:
            raise EngineError("no-previous-model", "There is no earlier model to go back to.")
        self.state.model, self.state.previousModel = self.state.previousModel, self.state.model
        self.onMessage(_("The previous model is in use again."))
        self.onChanged()

    def model(self) -> str:
        """The model in use. Raises EngineError "no-model"."""
        if not self.state.model or not Path(self.state.model).is_dir():
            raise EngineError("no-model", "Train a model, or choose one under Learn, first.")
        return self.state.model

    def sources(self) -> tuple[Any, Any]:
        """The image and the segmentation that a result of now is about."""
        return self.state.image, self.state.segmentation

    def useModel(self, result: dict) -> None:
        """Take a trained model into use, and say how it went."""
        self.state.previousModel, self.state.model = self.state.model, result["model"]
        charts.updateCurves(result["history"])
        dice = result.get("validation_dice")
        parts = [
            _("validation Dice {dice:.2f}").format(dice=dice) if dice is not None else _("too few cases to validate")
        ]
        if result.get("confirmed_voxels"):
            kept = _("{violated} of {confirmed} confirmed voxels not followed")
            parts.append(kept.format(violated=result["confirmed_violated"], confirmed=result["confirmed_voxels"]))
        trained = _("Trained {epochs} epochs in {seconds:.0f} s; {how}.")
        self.onMessage(trained.format(epochs=result["epochs"], seconds=result["seconds"], how=", ".join(parts)))

    def _applied(self, case: Case, kind: str) -> dict[str, Any]:
        """Parameters of a job that applies the model to a case."""
        model, out = self.model(), self.session.newFolder(kind)
        return {"model": model, "cases": self.session.handOver(case), "out": str(out), **self._device()}

    def _device(self) -> dict[str, str]:
        return {"device": self.state.device.name}

    def _decidedCase(self) -> Case:
        """The scene's case with what was decided about it, which is remembered from here on."""
        self.model()
        case = self.session.sceneCase()
        if self.review.outOfPlace:
            raise EngineError("no-review", "The list belongs to another image; list the doubtful regions of this one.")
        case.trusted = self.review.decided(case)
        if not case.trusted.any():
            raise EngineError("nothing-trusted", "Nothing was corrected or confirmed yet; do so, then fine-tune.")
        self.session.keepTrust(case, self.state.segmentation)
        return case

    def _showResult(self, item: dict, case: Case, sources: tuple, name: str, renew: bool = False) -> Any:
        """A new segmentation of the answer, or the renewed one that an earlier refresh made."""
        label = np.load(item["segmentation"])
        names = {int(value): className for value, className in item["classes"].items()}
        image, like = sources
        if renew and segmentations.renewSegmentation(self.state.result, label, case.geometry, names):
            return self.state.result
        there = like if like is not None and like.GetScene() is not None else None
        node = segmentations.addSegmentation(label, case.geometry, names, image, name, there)
        if renew:
            segmentations.markRenewable(node)
        self.state.result = node
        return node

    def _keepDecisions(self) -> None:
        """Remember what the review in hand has decided, before another list takes its place."""
        image, segmentation = madeFor(self.state.regionTable)
        if image is None or segmentation is None or not self.review.begun:
            return
        try:
            case = self.session.labelledCase([image], segmentation, self.review.reviewedSegments())
            case.trusted = self.review.decided(case)
        except EngineError as problem:  # the reviewed segments are no more
            logging.warning("DALESegment: earlier decisions were not kept. %s", problem.sentence)
        else:
            self.session.keepTrust(case, segmentation)

    def _trainingCases(self) -> dict[str, Any]:
        if self.state.source.name != "folder":
            return self.session.handOver(self.session.sceneCase())
        if not Path(self.state.casesFolder).is_dir() or not self.state.casesFolder:
            raise EngineError("no-folder", "Choose the folder of cases under Data first.")
        return {"folder": self.state.casesFolder}  # the engine knows which of them are kept for tests


def _found(count: int) -> str:
    if count == 0:
        return _("No doubtful region was found.")
    many = _("{count} doubtful regions, the most doubtful first.").format(count=count)
    return _("1 doubtful region.") if count == 1 else many


def _volumes(voxels: dict[str, int], names: dict[int, str], voxelVolume: float) -> str:
    """ "tumour 12.3 ml, …" """
    parts = [f"{name} {voxels.get(str(value), 0) * voxelVolume / 1000:.2f} ml" for value, name in names.items()]
    return ", ".join(parts)
