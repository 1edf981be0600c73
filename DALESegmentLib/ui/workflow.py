"""The steps of the work, each a request to the engine and what its answer does to the scene."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.review.region import Region
from DALESegmentLib.mrml import charts, segmentations
from DALESegmentLib.mrml.scene import madeFor

from .engine_process import EngineProcess
from .review import OPENED, Review, requireUnmoved
from .session import Session
from .signals import showProblemSoon


class Workflow:
    """Train, look, review, fine-tune, predict. One step at a time; none of them waits.

    engine: the process; prepare: called before each request, makes sure that the engine can run.
    onChanged() is called when a step starts or ends, onProgress(event) in between, onMessage(sentence) with
    what came of it. A step whose engine request fails shows the sentence and changes nothing in the scene.
    """

    def __init__(self, engine: EngineProcess, prepare: Callable[[], Any]) -> None:
        self.engine = engine
        self.prepare = prepare
        self.session: Session | None = None
        self.review: Review | None = None
        self.running: str | None = None  # id of the request under way
        self.onChanged: Callable[[], None] = lambda: None
        self.onProgress: Callable[[dict], None] = lambda event: None
        self.onMessage: Callable[[str], None] = lambda sentence: None

    def open(self, parameterNode: Any) -> None:
        """Work on the scene of this parameter node; on nothing with None."""
        self.session = Session(parameterNode) if parameterNode else None
        self.review = Review(parameterNode) if parameterNode else None

    @property
    def busy(self) -> bool:
        return self.running is not None

    @property
    def state(self) -> Any:
        return self.session.state

    def checkData(self, onDone: Callable[[dict], None]) -> None:
        """Ask the engine what the chosen cases hold, and what is wrong with them."""
        self._request("inspect", {"cases": self._trainingCases()}, onDone)

    def train(self) -> None:
        """Train a model from nothing within the time budget; the model in use becomes the previous one."""
        out = self.session.newFolder("model")
        parameters = {
            "cases": self._trainingCases(),
            "out": str(out),
            "method": self.state.method.name,
            "seconds": 60.0 * self.state.minutes,
        }
        self._request("train", parameters, self._useModel)

    def fineTune(self) -> None:
        """Go on training from what was corrected and confirmed in the region list."""
        model = self._model()
        case = self.session.sceneCase()
        if self.review.outOfPlace:
            raise EngineError("no-review", "The list belongs to another image; list the doubtful regions of this one.")
        case.trusted = self.review.decided(case)
        if not case.trusted.any():
            raise EngineError("nothing-trusted", "Nothing was corrected or confirmed yet; do so, then fine-tune.")
        self.session.keepTrust(case, self.state.segmentation)
        parameters = {
            "model": model,
            "cases": self.session.handOver(case),
            "out": str(self.session.newFolder("model")),
            "seconds": 60.0 * self.state.minutes,
        }
        self._request("finetune", parameters, self._useModel)

    def showConfidence(self) -> None:
        """Colour the slices by how far each voxel's label can be trusted."""
        case = self.session.sceneCase()
        model, out = self._model(), self.session.newFolder("confidence")
        sources = self.state.image, self.state.segmentation
        parameters = {"model": model, "cases": self.session.handOver(case), "out": str(out)}

        def done(result: dict) -> None:
            item = result["items"][0]
            self.review.showHeatMap(item["confidence"], case, sources)
            self.onMessage(f"Mean label confidence {item['mean_confidence']:.2f}.")

        self._request("confidence", parameters, done)

    def listRegions(self) -> None:
        """Rank the places where the label is doubtful; corrections count from here on."""
        model = self._model()
        self._keepDecisions()
        case = self.session.sceneCase()
        out = self.session.newFolder("review")
        sources = self.state.image, self.state.segmentation
        parameters = {"model": model, "cases": self.session.handOver(case, out / OPENED), "out": str(out)}

        def done(result: dict) -> None:
            item = result["items"][0]
            found = [Region.from_dict(region) for region in result["regions"]]
            self.review.showHeatMap(item["confidence"], case, sources)
            self.review.showRegions(found, out, item["regions_map"], sources)
            self.onMessage(_found(len(found)))

        self._request("review", parameters, done)

    def predict(self) -> None:
        """Segment the chosen image into a new segmentation; nothing that exists is touched."""
        case = self.session.sceneCase(labelled=False)
        out = self.session.newFolder("prediction")
        parameters = {"model": self._model(), "cases": self.session.handOver(case), "out": str(out)}
        image, like = self.state.image, self.state.segmentation

        def done(result: dict) -> None:
            requireUnmoved(image, case)
            item = result["items"][0]
            label = np.load(item["segmentation"])
            names = {int(value): name for value, name in item["classes"].items()}
            name = f"{image.GetName()} predicted"
            there = like if like is not None and like.GetScene() is not None else None
            node = segmentations.addSegmentation(label, case.geometry, names, image, name, there)
            self.state.result = node
            volumes = _volumes(item["voxels"], names, case.geometry.voxel_volume)
            self.onMessage(f"New segmentation “{node.GetName()}”: {volumes}.")

        self._request("predict", parameters, done)

    def rollBack(self) -> None:
        """Take the previous model back into use; the newer one becomes the previous."""
        if not self.state.previousModel:
            raise EngineError("no-previous-model", "There is no earlier model to go back to.")
        self.state.model, self.state.previousModel = self.state.previousModel, self.state.model
        self.onMessage("The previous model is in use again.")
        self.onChanged()

    def cancel(self) -> None:
        if self.running is not None:
            self.engine.cancel(self.running)

    def _keepDecisions(self) -> None:
        """Remember what the review in hand has decided, before another list takes its place."""
        image, segmentation = madeFor(self.state.regionTable)
        if image is None or segmentation is None or not Path(self.state.regionMap).is_file():
            return
        try:
            case = self.session.labelledCase([image], segmentation)
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

    def _model(self) -> str:
        if not self.state.model or not Path(self.state.model).is_dir():
            raise EngineError("no-model", "Train a model, or choose one under Learn, first.")
        return self.state.model

    def _useModel(self, result: dict) -> None:
        self.state.previousModel, self.state.model = self.state.model, result["model"]
        charts.updateCurves(result["history"])
        dice = result.get("validation_dice")
        judged = f"validation Dice {dice:.2f}" if dice is not None else "too few cases to validate"
        confirmed = result.get("confirmed_voxels")
        kept = f", {result['confirmed_violated']} of {confirmed} confirmed voxels not followed" if confirmed else ""
        self.onMessage(f"Trained {result['epochs']} epochs in {result['seconds']:.0f} s; {judged}{kept}.")

    def _request(self, command: str, parameters: dict[str, Any], onDone: Callable[[dict], None]) -> None:
        if self.busy:
            raise EngineError("busy", "A step is still running; wait for it or cancel it.")
        self.prepare()
        token = self.state.token

        def result(answer: dict) -> None:
            self.running = None
            try:
                if self.session is not None and self.state.token == token:
                    onDone(answer)
                else:
                    self.onMessage("The scene was closed meanwhile; the result was left out.")
            except EngineError as problem:
                error(problem.code, problem.sentence)
            except Exception:
                logging.exception("DALESegment: the answer to %s could not be used.", command)
                error("internal", "The result could not be put into the scene; the log says more. Try again.")
            self.onChanged()

        def error(code: str, sentence: str) -> None:
            self.running = None
            self.onMessage(sentence)
            self.onChanged()
            if code != "cancelled":
                showProblemSoon(sentence)

        self.running = self.engine.request(command, parameters, lambda event: self.onProgress(event), result, error)
        self.onChanged()


def _found(count: int) -> str:
    if count == 0:
        return "No doubtful region was found."
    return "1 doubtful region." if count == 1 else f"{count} doubtful regions, the most doubtful first."


def _volumes(voxels: dict[str, int], names: dict[int, str], voxelVolume: float) -> str:
    """ "tumour 12.3 ml, …" """
    parts = [f"{name} {voxels.get(str(value), 0) * voxelVolume / 1000:.2f} ml" for value, name in names.items()]
    return ", ".join(parts)
