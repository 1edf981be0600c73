"""The steps of the work, each a request to the engine and what its answer does to the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.cases.exchange import load_array_case
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.review.region import Region
from DALESegmentLib.mrml import charts, heat_map, regions, segmentations

from .corrections import trustedVoxels
from .engine_process import EngineProcess
from .session import Session
from .signals import showProblem


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
        self.running: str | None = None  # id of the request under way
        self.onChanged: Callable[[], None] = lambda: None
        self.onProgress: Callable[[dict], None] = lambda event: None
        self.onMessage: Callable[[str], None] = lambda sentence: None

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
        if not self.state.reviewFolder or not Path(self.state.regionMap).is_file():
            raise EngineError("no-review", "List the doubtful regions, correct or confirm some, then fine-tune.")
        opened = load_array_case(Path(self.state.reviewFolder) / "opened")
        regionMap = np.load(self.state.regionMap)
        case.trusted = trustedVoxels(opened, case, regionMap, self._confirmed())
        if not case.trusted.any():
            raise EngineError("nothing-trusted", "Nothing was corrected or confirmed yet; do so, then fine-tune.")
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
        out = self.session.newFolder("confidence")
        parameters = {"model": self._model(), "cases": self.session.handOver(case), "out": str(out)}
        self._request("confidence", parameters, lambda result: self._showHeatMap(result["items"][0], case))

    def listRegions(self) -> None:
        """Rank the places where the label is doubtful; corrections count from here on."""
        case = self.session.sceneCase()
        out = self.session.newFolder("review")
        parameters = {"model": self._model(), "cases": self.session.handOver(case), "out": str(out)}
        self.session.handOver(case, out / "opened")

        def done(result: dict) -> None:
            item = result["items"][0]
            self._showHeatMap(item, case)
            found = [Region.from_dict(region) for region in result["regions"]]
            self.state.regionTable = regions.updateRegionTable(found, self.state.regionTable)
            self.state.regionMarkups = regions.updateRegionMarkups(found, self.state.regionMarkups)
            self.state.reviewFolder, self.state.regionMap = str(out), item["regions_map"]
            self.onMessage(f"{len(found)} doubtful regions, the most doubtful first.")

        self._request("review", parameters, done)

    def predict(self) -> None:
        """Segment the chosen image into a new segmentation; nothing that exists is touched."""
        case = self.session.sceneCase(labelled=False)
        out = self.session.newFolder("prediction")
        cases = self.session.handOver(case, out / "case")
        parameters = {"model": self._model(), "cases": cases, "out": str(out)}
        image, like = self.state.image, self.state.segmentation

        def done(result: dict) -> None:
            item = result["items"][0]
            label = np.load(item["segmentation"])
            names = {int(value): name for value, name in item["classes"].items()}
            name = f"{image.GetName()} predicted"
            node = segmentations.addSegmentation(label, case.geometry, names, image, name, like)
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

    def regions(self) -> list[Region]:
        """The review list, most doubtful first."""
        return regions.regionsFromTable(self.state.regionTable) if self.state.regionTable else []

    def decisions(self) -> dict[tuple, str]:
        """What was decided about the regions, by `regionIdentity`."""
        return regions.regionStates(self.state.regionTable) if self.state.regionTable else {}

    def decide(self, region: Region, decision: str) -> None:
        """Note a decision: "confirmed" (the label is right), "unsure", "corrected"."""
        regions.setRegionState(self.state.regionTable, region, decision)
        self.onChanged()

    def _confirmed(self) -> list[int]:
        decisions = self.decisions()
        return [r.region_id for r in self.regions() if decisions.get(regions.regionIdentity(r)) == "confirmed"]

    def _trainingCases(self) -> dict[str, Any]:
        if self.state.source.name != "folder":
            return self.session.handOver(self.session.sceneCase())
        if not Path(self.state.casesFolder).is_dir() or not self.state.casesFolder:
            raise EngineError("no-folder", "Choose the folder of cases under Data first.")
        divided = (Path(self.state.casesFolder) / "split.json").exists()
        return {"folder": self.state.casesFolder, "split": "train" if divided else "all"}

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

    def _showHeatMap(self, item: dict, case: Any) -> None:
        state = self.state
        if state.heatMap is not None:
            heat_map.removeHeatMap(state.heatMap)
        confidence = np.load(item["confidence"])
        name = f"{state.image.GetName()} label confidence"
        state.heatMap = heat_map.showConfidence(confidence, case.geometry, name, label=case.label)
        heat_map.setHeatMapOpacity(state.heatMap, state.heatMapOpacity)
        heat_map.setHeatMapThreshold(state.heatMap, state.heatMapThreshold)
        self.onMessage(f"Mean label confidence {item['mean_confidence']:.2f}.")

    def _request(self, command: str, parameters: dict[str, Any], onDone: Callable[[dict], None]) -> None:
        if self.busy:
            raise EngineError("busy", "A step is still running; wait for it or cancel it.")
        self.prepare()
        token = self.state.token

        def result(answer: dict) -> None:
            self.running = None
            if self.session is not None and self.state.token == token:  # else the scene was closed meanwhile
                onDone(answer)
            self.onChanged()

        def error(code: str, sentence: str) -> None:
            self.running = None
            self.onMessage(sentence)
            self.onChanged()
            if code != "cancelled":
                showProblem(sentence)

        self.running = self.engine.request(command, parameters, lambda event: self.onProgress(event), result, error)
        self.onChanged()


def _volumes(voxels: dict[str, int], names: dict[int, str], voxelVolume: float) -> str:
    """ "tumour 12.3 ml, …" """
    parts = [f"{name} {voxels.get(str(value), 0) * voxelVolume / 1000:.2f} ml" for value, name in names.items()]
    return ", ".join(parts)
