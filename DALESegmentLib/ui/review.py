"""The review in the scene: the heat map and the region list, whose they are, and what is decided about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.review.region import Region
from DALESegmentLib.mrml import decisions, heat_map, kept, opened, regions
from DALESegmentLib.mrml.scene import madeFor, setMadeFor
from DALESegmentLib.mrml.segmentations import segmentIdOf
from DALESegmentLib.mrml.volumes import geometryFromVolume

from .corrections import trustedVoxels

Sources = tuple[Any, Any]  # the image and the segmentation that a result is about


class Review:
    """What the parameter node `state` holds of it. Results of another image than the chosen one stay hidden."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self._shown: tuple[bool, bool] | None = None  # heat map, list: whether they were to be seen at last

    def fits(self, result: Any) -> bool:
        """Whether a result (heat map, region table) is about the image and the segmentation now chosen."""
        return _isFor(result, (self.state.image, self.state.segmentation))

    @property
    def outOfPlace(self) -> bool:
        """Whether there is a region list, and it is about other nodes than the chosen ones."""
        return self.state.regionTable is not None and not self.fits(self.state.regionTable)

    @property
    def begun(self) -> bool:
        """Whether the scene knows what was drawn when the list was made."""
        return self.state.regionTable is not None and opened.openedCase(self.state.regionTable) is not None

    def reviewedNames(self) -> list[str]:
        """The names of the image and the segmentation that the region list is about, as far as they are left."""
        return [node.GetName() for node in madeFor(self.state.regionTable) if node is not None]

    def reviewedSegments(self) -> list[str]:
        """IDs of the segments that the list is about."""
        names = opened.openedCase(self.state.regionTable).class_names
        segmentation = madeFor(self.state.regionTable)[1]
        return [i for i in (segmentIdOf(segmentation, value, name) for value, name in names.items()) if i]

    def matchViews(self) -> None:
        """Take the heat map and the marks of another image out of sight, and bring them back with theirs."""
        self._takeOwnTable()
        state = self.state
        now = self.fits(state.heatMap) and state.heatMapShown, self.fits(state.regionTable)
        before, self._shown = self._shown, now
        if before is None:
            return
        if before[0] != now[0] and state.heatMap is not None:
            self.placeHeatMap()
        if before[1] != now[1] and state.regionMarkups is not None:
            state.regionMarkups.SetDisplayVisibility(now[1])

    def showHeatMap(self, item: dict[str, Any], case: Case, sources: Sources) -> None:
        """Put a new heat map in the place of the old one. item: the engine's answer about the case.

        Raises EngineError "image-gone".
        """
        requireUnmoved(sources[0], case)
        confidence, shown = np.load(item["confidence"]), np.load(item["shown"])
        if self.state.heatMap is not None:
            heat_map.removeHeatMap(self.state.heatMap)
        name = f"{sources[0].GetName()} label confidence"
        node = heat_map.showConfidence(shown, case.geometry, name)
        setMadeFor(node, *sources)
        hidden = f"Exact confidence of {sources[0].GetName()}"
        self.state.confidence = kept.keepArray(confidence, case.geometry, hidden, self.state.confidence)
        self.state.heatMap = node
        self.placeHeatMap()

    def showRegions(self, found: list[Region], regionMap: np.ndarray, case: Case, sources: Sources) -> None:
        """Put a new region list in the place of the old one of the same image and segmentation."""
        state = self.state
        table = regions.updateRegionTable(found, _tableFor(sources) or regions.addRegionTable())
        setMadeFor(table, *sources)
        opened.keepOpened(table, case, regionMap)
        state.regionTable = table
        state.regionMarkups = regions.updateRegionMarkups(found, state.regionMarkups)
        state.regionMarkups.SetDisplayVisibility(self.fits(table))

    def regions(self) -> list[Region]:
        """The list of the chosen image and segmentation, most doubtful first."""
        return regions.regionsFromTable(self.state.regionTable) if self.fits(self.state.regionTable) else []

    def decisions(self) -> dict[tuple, str]:
        """What was decided about the regions, by `regionIdentity`."""
        return regions.regionStates(self.state.regionTable) if self.state.regionTable else {}

    def decide(self, region: Region, decision: str) -> None:
        """Note a decision: "confirmed" (the label is right), "unsure", "corrected"."""
        decisions.decide(self.state.regionTable, region, decision, self.state.reviewer)

    @property
    def canUndo(self) -> bool:
        """Whether a decision about the shown list can be taken back."""
        return self.fits(self.state.regionTable) and decisions.canUndo(self.state.regionTable)

    def undo(self) -> tuple[Region, str] | None:
        """Take the last decision back; returns its region and what it had been."""
        return decisions.undoDecision(self.state.regionTable)

    def regionMap(self) -> np.ndarray | None:
        """(k, j, i) IDs of the listed regions."""
        return opened.regionMap(self.state.regionTable) if self.state.regionTable is not None else None

    def decided(self, case: Case) -> np.ndarray:
        """Voxels of the reviewed case, as it is now, that were confirmed or corrected, and those trusted before.

        Raises EngineError "no-review", and "review-outdated" where other segments or another grid came.
        """
        then, regionMap = None, self.regionMap()
        if regionMap is not None:
            then = opened.openedCase(self.state.regionTable)
        if then is None:
            raise EngineError("no-review", "List the doubtful regions, correct or confirm some, then fine-tune.")
        known = self.decisions()
        listed = regions.regionsFromTable(self.state.regionTable)
        confirmed = [r.region_id for r in listed if known.get(regions.regionIdentity(r)) == "confirmed"]
        return trustedVoxels(then, case, regionMap, confirmed)

    def placeHeatMap(self) -> None:
        """Over the slices as the controls say, or out of sight while it is switched off or not of the chosen image."""
        node = self.state.heatMap
        if not self.fits(node) or not self.state.heatMapShown:
            heat_map.hideHeatMap(node)
            return
        heat_map.showHeatMap(node)
        heat_map.setHeatMapOpacity(node, self.state.heatMapOpacity)
        heat_map.setHeatMapThreshold(node, self.state.heatMapThreshold)

    def _takeOwnTable(self) -> None:
        """Where the chosen image and segmentation have a list of their own, go on with that one."""
        if not self.outOfPlace:
            return
        table = _tableFor((self.state.image, self.state.segmentation))
        if table is not None:
            self.state.regionTable = table
            found = regions.regionsFromTable(table)
            self.state.regionMarkups = regions.updateRegionMarkups(found, self.state.regionMarkups)


def _isFor(result: Any, sources: Sources) -> bool:
    pairs = zip(madeFor(result), sources, strict=True)
    return all(of is not None and now is not None and of.GetID() == now.GetID() for of, now in pairs)


def _tableFor(sources: Sources) -> Any:
    return next((table for table in regions.regionTables() if _isFor(table, sources)), None)


def requireUnmoved(image: Any, case: Case) -> None:
    """Raises EngineError "image-gone" where the image was removed, replaced or moved since the case was taken."""
    if image.GetScene() is None or geometryFromVolume(image).difference(case.geometry):
        raise EngineError(
            "image-gone", "The image was removed or moved while the step ran, so nothing was shown; run it again."
        )
