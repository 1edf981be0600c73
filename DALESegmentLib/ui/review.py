"""The review in the scene: heat map and region list, which nodes they are about, and the decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.geometry.grid import Geometry
from ..engine.io.case import Case
from ..engine.review.decisions import Decision
from ..mrml import decisions, heat_map, hidden_volumes, label_source, regions, review_baseline
from ..mrml.outlines import matchOutlines
from ..mrml.scene import FINGERPRINT, referencedNodes, setReferencedNodes
from ..mrml.segmentations import segmentIdOf
from ..mrml.volumes import geometryFromVolume, vtkImage
from .case_snapshot import CaseSnapshot
from .reading import CASE, Reading
from .review_log_writer import ReviewLogWriter, regionsByIdentity
from .reviewed_regions import trustedVoxels
from .trusted_display import TrustedDisplay

Sources = tuple[Any, Any]  # the image and the segmentation that a result is about


@dataclass(frozen=True)
class Maps:
    """What an answer says about the case, ready to be shown: the heat map as it is drawn, the exact confidence, and why
    voxels were learned as they were."""

    shown: Any  # vtkImageData
    confidence: Any
    labelSource: Any = None  # vtkImageData; None where every voxel was learned as given, or it is not known
    sourceNames: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def read(item: dict[str, Any], geometry: Geometry) -> Maps:
        """From the files that the engine wrote; on any thread."""
        shown = np.clip(np.load(item["shown"]), 0.0, 1.0).astype(np.float32, copy=False)
        maps = (vtkImage(array, geometry, copied=False) for array in (shown, np.load(item["confidence"])))
        if item.get("label_source") is None:
            return Maps(*maps)
        names = {int(number): source for number, source in item["source_names"].items()}
        return Maps(*maps, vtkImage(np.load(item["label_source"]), geometry, copied=False), names)


class Review:
    """What the parameter node `state` holds of it. Results of another image than the chosen one stay hidden."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self._shown: tuple[bool, ...] | None = None  # heat map, list, label source: whether they were shown last
        self.reading = Reading(state)
        self.trusted = TrustedDisplay(self)

    def close(self) -> None:
        """The scene goes, or another review begins: let the log on disk go."""
        self.reading.close()

    def logWriter(self) -> ReviewLogWriter | None:
        """See `Reading.logWriter`."""
        return self.reading.logWriter()

    def fits(self, result: Any) -> bool:
        """Whether a result (heat map, region table) is about the image and the segmentation now chosen, and may be seen
        by this reader."""
        return _isFor(result, (self.state.image, self.state.segmentation)) and not self.reading.hiddenReader()

    @property
    def isForOtherNodes(self) -> bool:
        """Whether there is a region list, and it is about other nodes than the chosen ones."""
        table = self.state.regionTable
        return table is not None and not _isFor(table, (self.state.image, self.state.segmentation))

    @property
    def begun(self) -> bool:
        """Whether the scene knows what was drawn when the list was made."""
        return self.state.regionTable is not None and review_baseline.hasBaseline(self.state.regionTable)

    def reviewedNames(self) -> list[str]:
        """The names of the image and the segmentation that the region list is about, as far as they are left."""
        return [node.GetName() for node in referencedNodes(self.state.regionTable) if node is not None]

    def modelClassNames(self) -> dict[int, str]:
        """{label value: name of the segment} of what the model draws."""
        return review_baseline.modelClassNames(self.state.regionTable)

    def probabilities(self) -> str:
        """The file in which the engine keeps the model's probabilities of the reviewed image, "" without one."""
        table = self.state.regionTable
        return review_baseline.probabilities(table) if self.fits(table) else ""

    def reviewedSegments(self) -> list[str]:
        """IDs of the segments that the list is about."""
        names = review_baseline.baselineClassNames(self.state.regionTable)
        segmentation = referencedNodes(self.state.regionTable)[1]
        return [i for i in (segmentIdOf(segmentation, value, name) for value, name in names.items()) if i]

    def matchViews(self) -> None:
        """Take the maps and the marks of another image out of sight, and bring them back with theirs."""
        self._useListOfChosenNodes()
        state = self.state
        now = (
            self.fits(state.heatMap) and state.heatMapShown,
            self.fits(state.regionTable),
            self.fits(state.labelSource) and state.labelSourceShown,
        )
        before, self._shown = self._shown, now
        matchOutlines(now[0])
        if before is None:
            return
        if before[0] != now[0] and state.heatMap is not None:
            self.placeHeatMap()
        if before[1] != now[1] and state.regionMarkups is not None:
            state.regionMarkups.SetDisplayVisibility(now[1])
        if before[2] != now[2] and state.labelSource is not None:
            self.placeLabelSource()

    def showHeatMap(self, maps: Maps, geometry: Geometry, sources: Sources) -> None:
        """Put a new heat map in the place of the old one. Raises EngineError "image-gone"."""
        requireUnmoved(sources[0], geometry)
        if self.state.heatMap is not None:
            heat_map.removeHeatMap(self.state.heatMap)
        name = _("{image} label confidence").format(image=sources[0].GetName())
        node = heat_map.addHeatMap(maps.shown, geometry, name)
        setReferencedNodes(node, *sources)
        hidden = f"Exact confidence of {sources[0].GetName()}"
        self.state.confidence = hidden_volumes.setHiddenImage(maps.confidence, geometry, hidden, self.state.confidence)
        self.state.heatMap = node
        self.trusted.draw()
        self.placeHeatMap()
        self._renewLabelSource(maps, geometry, sources)

    def showRegions(
        self,
        found: regions.PreparedList,
        images: dict[str, Any],
        taken: CaseSnapshot,
        sources: Sources,
        notes: Sequence[str] = (),
    ) -> None:
        """Put a new region list in the place of the old one of the same image and segmentation. images: what
        `baselineImages` made; notes: sentences about the list as a whole."""
        state = self.state
        table = regions.updateRegionTable(found, _tableFor(sources) or regions.addRegionTable())
        regions.setListNotes(table, notes)
        setReferencedNodes(table, *sources)
        table.SetAttribute(FINGERPRINT, taken.fingerprint)
        table.SetAttribute(CASE, taken.name)
        review_baseline.setBaseline(table, images, taken.geometry, taken.case().class_names)
        state.regionTable = table
        state.regionMarkups = regions.updateRegionMarkups(found.rows.all[: regions.MOST_TICKS], state.regionMarkups)
        state.regionMarkups.SetDisplayVisibility(self.fits(table))

    def regions(self) -> list[Region]:
        """The rows of the list of the chosen image and segmentation, most doubtful first."""
        return regions.rowsFromTable(self.state.regionTable) if self.fits(self.state.regionTable) else []

    def listNotes(self) -> list[str]:
        """What the engine said about that list as a whole, in sentences."""
        return regions.listNotes(self.state.regionTable) if self.fits(self.state.regionTable) else []

    def decisions(self) -> dict[tuple, str]:
        """What was decided about the regions, by `regionIdentity`."""
        return regions.regionStates(self.state.regionTable) if self.state.regionTable else {}

    def decide(self, region: Region, decision: str) -> None:
        """Note a decision: "confirmed" (the label is right), "accepted" (the model's outline was taken), "unsure",
        "corrected"; of a row about all its pieces. On the disk before it counts.

        Raises EngineError "disk-full", "cannot-write", and nothing more is decided then; and as `Reading.checkOpen`.
        """
        self.reading.checkOpen()
        writer, reader, table = self.logWriter(), self.reading.reader, self.state.regionTable
        press = len(decisions.decisionLog(table)) if len(region.leaves) > 1 else None
        voxels = self.trusted.vouched(region.leaves, decision) if writer is not None else {}
        for leaf in region.leaves:
            number = None
            if writer is not None:
                vouched, why = voxels.get(leaf.region_id), self.reading.reason
                number = writer.record(leaf, decision, reader, vouched, why)
            decisions.decide(table, leaf, decision, reader.name, number, press=press)
        self.reading.reason = ""
        self.trusted.draw(region.leaves)

    def earlier(self) -> list[tuple[Region, int | None, Decision]]:
        """Decisions in the log on disk that this list does not know, because the scene was never saved with them."""
        writer = self.logWriter() if self.fits(self.state.regionTable) else None
        if writer is None:
            return []
        missing = writer.decisionsMissingFrom(self.decisions())
        listed = regionsByIdentity(regions.regionsFromTable(self.state.regionTable)) if missing else {}
        return [(listed[identity], number, one) for identity, number, one in missing]

    def takeOver(self) -> int:
        """Put these into the list; how many there were. Raises EngineError as `Reading.checkOpen`."""
        self.reading.checkOpen()
        found = self.earlier()
        for region, number, one in found:
            decisions.decide(self.state.regionTable, region, one.verdict, one.annotator, number, one.at)
        self.trusted.draw()
        return len(found)

    @property
    def canUndo(self) -> bool:
        """Whether a decision about the shown list can be taken back."""
        return self.fits(self.state.regionTable) and decisions.canUndo(self.state.regionTable)

    def undo(self) -> tuple[Region, str] | None:
        """Take the last decision back, about a row all of it; returns its region or row and what it had been. On the
        disk first, as `decide`. Raises EngineError as `Reading.checkOpen`."""
        self.reading.checkOpen()
        table = self.state.regionTable
        press, undone, decision = decisions.lastPress(table), [], ""
        while (last := decisions.lastDecision(table)) is not None:
            if undone and (press is None or decisions.lastPress(table) != press):
                break
            region, decision, number = last
            if self.logWriter() is not None:
                self.logWriter().undo(number, region)
            decisions.undoDecision(table)
            undone.append(region)
        if not undone:
            return None
        for region in undone:
            self.trusted.takeBack(region, decision)
        rows = regions.rowsFromTable(table)
        whole = next((row for row in rows if len(undone) > 1 and undone[-1] in row.leaves), undone[-1])
        return whole, decision

    def suggestedChanges(self) -> dict[int, review_baseline.SuggestedChange] | None:
        """By region_id, what is suggested to change; None where the scene does not know it."""
        return review_baseline.suggestedChanges(self.state.regionTable) if self.state.regionTable is not None else None

    def regionMapView(self) -> np.ndarray | None:
        """`regionMap` without a copy."""
        return review_baseline.regionMapView(self.state.regionTable) if self.begun else None

    def regionMap(self) -> np.ndarray | None:
        """(k, j, i) IDs of the listed regions."""
        return review_baseline.regionMap(self.state.regionTable) if self.state.regionTable is not None else None

    def decided(self, case: Case) -> np.ndarray:
        """As `deferTrustedVoxels`, made at once. Raises EngineError "review-outdated"."""
        return self.deferTrustedVoxels()(case)

    def deferTrustedVoxels(self) -> Callable[[Case], np.ndarray]:
        """A function, for any thread, that returns which voxels of the reviewed case, as it is now, were confirmed or
        corrected, or trusted before; it raises EngineError "review-outdated" where other segments or another grid
        came. Raises EngineError "no-review".
        """
        then, regionMap = None, self.regionMapView()
        if regionMap is not None:
            then = review_baseline.baselineCase(self.state.regionTable)
        if then is None:
            raise EngineError("no-review", "List the doubtful regions, correct or confirm some, then fine-tune.")
        known = self.decisions()
        listed = regions.regionsFromTable(self.state.regionTable)
        confirmed = [r.region_id for r in listed if known.get(regions.regionIdentity(r)) == "confirmed"]
        return lambda case: trustedVoxels(then, case, regionMap, confirmed)

    def placeHeatMap(self) -> None:
        """Show it with the controls' opacity and threshold; hide it while switched off or not of the chosen image."""
        node = self.state.heatMap
        if not self.fits(node) or not self.state.heatMapShown:
            heat_map.hideHeatMap(node)
            return
        heat_map.showHeatMap(node)
        heat_map.setHeatMapOpacity(node, self.state.heatMapOpacity)
        heat_map.setHeatMapThreshold(node, self.state.heatMapThreshold)

    def placeLabelSource(self) -> None:
        """In the label layer of the slices, or out of sight while it is switched off or not of the chosen image."""
        node = self.state.labelSource
        if self.fits(node) and self.state.labelSourceShown:
            label_source.showLabelSource(node)
        else:
            label_source.hideLabelSource(node)

    def _renewLabelSource(self, maps: Maps, geometry: Geometry, sources: Sources) -> None:
        """Put a new one in the place of the old one, or none where the new model learned every voxel as given."""
        before, self.state.labelSource = self.state.labelSource, None
        if before is not None:
            label_source.removeLabelSource(before)
        if maps.labelSource is None:
            return
        name = _("{image} learned otherwise").format(image=sources[0].GetName())
        node = label_source.addLabelSource(maps.labelSource, geometry, name, maps.sourceNames)
        setReferencedNodes(node, *sources)
        self.state.labelSource = node
        self.placeLabelSource()

    def _useListOfChosenNodes(self) -> None:
        """Where the chosen image and segmentation have a list of their own, go on with that one."""
        if not self.isForOtherNodes:
            return
        table = _tableFor((self.state.image, self.state.segmentation))
        if table is not None:
            self.state.regionTable = table
            found = regions.regionsFromTable(table)
            self.state.regionMarkups = regions.updateRegionMarkups(found, self.state.regionMarkups)


def _isFor(result: Any, sources: Sources) -> bool:
    pairs = zip(referencedNodes(result), sources, strict=True)
    return all(of is not None and now is not None and of.GetID() == now.GetID() for of, now in pairs)


def _tableFor(sources: Sources) -> Any:
    return next((table for table in regions.regionTables() if _isFor(table, sources)), None)


def requireUnmoved(image: Any, geometry: Geometry) -> None:
    """Raises EngineError "image-gone" where the image was removed, replaced or moved since the case was taken."""
    if image.GetScene() is None or geometryFromVolume(image).difference(geometry):
        raise EngineError(
            "image-gone", "The image was removed or moved while the step ran, so nothing was shown; run it again."
        )
