"""The review in the scene: the heat map and the region list, whose they are, and what is decided about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.exchange import load_array_case
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.review.region import Region
from DALESegmentLib.mrml import heat_map, regions
from DALESegmentLib.mrml.scene import madeFor, setMadeFor
from DALESegmentLib.mrml.volumes import geometryFromVolume

from .corrections import trustedVoxels

OPENED = "opened"  # in a review's folder: the case as it was when the list was made

Sources = tuple[Any, Any]  # the image and the segmentation that a result is about


class Review:
    """What the parameter node `state` holds of it. Results of another image than the chosen one stay hidden."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self._shown: tuple[bool, bool] | None = None  # heat map, list: whether they fitted when last looked at

    def fits(self, result: Any) -> bool:
        """Whether a result (heat map, region table) is about the image and the segmentation now chosen."""
        pairs = zip(madeFor(result), (self.state.image, self.state.segmentation), strict=True)
        return all(of is not None and now is not None and of.GetID() == now.GetID() for of, now in pairs)

    @property
    def outOfPlace(self) -> bool:
        """Whether there is a region list, and it is about other nodes than the chosen ones."""
        return self.state.regionTable is not None and not self.fits(self.state.regionTable)

    def reviewedNames(self) -> list[str]:
        """The names of the image and the segmentation that the region list is about, as far as they are left."""
        return [node.GetName() for node in madeFor(self.state.regionTable) if node is not None]

    def matchViews(self) -> None:
        """Take the heat map and the marks of another image out of sight, and bring them back with theirs."""
        state = self.state
        now = self.fits(state.heatMap), self.fits(state.regionTable)
        before, self._shown = self._shown, now
        if before is None:
            return
        if before[0] != now[0] and state.heatMap is not None:
            self._placeHeatMap()
        if before[1] != now[1] and state.regionMarkups is not None:
            state.regionMarkups.SetDisplayVisibility(now[1])

    def showHeatMap(self, confidenceFile: str, case: Case, sources: Sources) -> None:
        """Put a new heat map in the place of the old one. Raises EngineError "image-gone"."""
        requireUnmoved(sources[0], case)
        confidence = np.load(confidenceFile)
        if self.state.heatMap is not None:
            heat_map.removeHeatMap(self.state.heatMap)
        name = f"{sources[0].GetName()} label confidence"
        node = heat_map.showConfidence(confidence, case.geometry, name, label=case.label)
        setMadeFor(node, *sources)
        self.state.heatMap = node
        self._placeHeatMap()

    def showRegions(self, found: list[Region], folder: Path, regionMap: str, sources: Sources) -> None:
        """Put a new region list in the place of the old one."""
        state = self.state
        table = regions.updateRegionTable(found, state.regionTable)
        setMadeFor(table, *sources)
        state.reviewFolder, state.regionMap = str(folder), regionMap
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
        regions.setRegionState(self.state.regionTable, region, decision)

    def decided(self, case: Case) -> np.ndarray:
        """Voxels of the reviewed case, as it is now, that were confirmed or corrected, and those trusted before.

        Raises EngineError "no-review", and "review-outdated" where other segments or another grid came.
        """
        if self.state.regionTable is None or not Path(self.state.regionMap).is_file():
            raise EngineError("no-review", "List the doubtful regions, correct or confirm some, then fine-tune.")
        decisions = self.decisions()
        listed = regions.regionsFromTable(self.state.regionTable)
        confirmed = [r.region_id for r in listed if decisions.get(regions.regionIdentity(r)) == "confirmed"]
        opened = load_array_case(Path(self.state.reviewFolder) / OPENED)
        return trustedVoxels(opened, case, np.load(self.state.regionMap), confirmed)

    def _placeHeatMap(self) -> None:
        """Over the slices as the sliders say, or out of sight while another image is chosen."""
        node = self.state.heatMap
        if not self.fits(node):
            heat_map.hideHeatMap(node)
            return
        heat_map.showHeatMap(node)
        heat_map.setHeatMapOpacity(node, self.state.heatMapOpacity)
        heat_map.setHeatMapThreshold(node, self.state.heatMapThreshold)


def requireUnmoved(image: Any, case: Case) -> None:
    """Raises EngineError "image-gone" where the image was removed, replaced or moved since the case was taken."""
    if image.GetScene() is None or geometryFromVolume(image).difference(case.geometry):
        raise EngineError(
            "image-gone", "The image was removed or moved while the step ran, so nothing was shown; run it again."
        )
