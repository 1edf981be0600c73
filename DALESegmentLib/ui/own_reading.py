"""A reading of one's own of a list that another reader decided: a copy of the list with nothing decided, and of the
label as it was when the list was made. The other's list and segmentation stay in the scene, out of sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.review.readers import same_reader
from ..mrml import decisions, regions, review_baseline
from ..mrml.scene import FINGERPRINT, referencedNodes, setReferencedNodes
from ..mrml.segmentations import PreparedLabel, addSegmentation
from .reading import CASE
from .workflow import Workflow

KEPT = (FINGERPRINT, CASE, review_baseline.MODEL_NAMES, review_baseline.PROBABILITIES, review_baseline.SUGGESTIONS)
"""Attributes of a list that its copy has too."""


class OwnReading:
    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def begin(self, rows: Sequence[Region] | None = None, said: str = "") -> None:
        """Go on with this reader's list of the image, or begin one in which nothing is decided. rows: of a new list,
        default those of the one at hand; said: what is told then. Raises EngineError "no-review", "busy"."""
        workflow = self._workflow
        state, name = workflow.state, workflow.review.reading.reader.name
        table = state.regionTable
        if table is None or not review_baseline.hasBaseline(table):
            raise EngineError("no-review", _("There is no list yet; list the doubtful regions first."))
        own = None if rows is not None else self._listOf(name, table)
        if own is not None:
            self._choose(own, said or _("You go on with your own reading."))
            return
        case, sources = review_baseline.baselineCase(table), referencedNodes(table)
        case.trusted, regionMap = None, review_baseline.regionMapView(table)
        listed = list(rows if rows is not None else regions.rowsFromTable(table))

        def make() -> tuple[PreparedLabel, dict[str, Any]]:
            label = case.label.copy()
            case.label = label
            return PreparedLabel.of(label, case.geometry), review_baseline.baselineImages(case, regionMap.copy())

        def done(made: tuple[PreparedLabel, dict[str, Any]]) -> None:
            label, images = made
            image, segmentation = sources
            called = _("{segmentation} read by {name}").format(segmentation=segmentation.GetName(), name=name)
            drawn = addSegmentation(label, case.geometry, case.class_names, image, called, segmentation)
            new = regions.updateRegionTable(listed, regions.addRegionTable())
            regions.setListNotes(new, regions.listNotes(table))
            setReferencedNodes(new, image, drawn)
            review_baseline.setBaseline(new, images, case.geometry, case.class_names)
            for attribute in KEPT:
                new.SetAttribute(attribute, table.GetAttribute(attribute))
            decisions.setOwner(new, name)
            self._choose(new, said or _("You read blind: nothing of the other readers is shown until you sign off."))

        workflow.beside(make, done)

    def _listOf(self, name: str, table: Any) -> Any:
        """This reader's list of the same image, None without one."""
        image = table.GetAttribute(FINGERPRINT)
        own = [each for each in regions.regionTables() if each.GetAttribute(FINGERPRINT) == image]
        mine = (each for each in own if any(same_reader(who, name) for who in decisions.readersOf(each)))
        return next((each for each in mine if None not in referencedNodes(each)), None)

    def _choose(self, table: Any, said: str) -> None:
        state = self._workflow.state
        other, (image, segmentation) = state.segmentation, referencedNodes(table)
        if other is not None and other.GetID() != segmentation.GetID():
            for node in (other, state.result):  # which may have been learned from what the other reader drew
                if node is not None and node.GetID() != segmentation.GetID():
                    node.SetDisplayVisibility(False)
        segmentation.SetDisplayVisibility(True)
        state.regionTable = table
        state.image, state.segmentation, state.segment = image, segmentation, ""
        state.regionMarkups = regions.updateRegionMarkups(regions.rowsFromTable(table), state.regionMarkups)
        self._workflow.onMessage(said)
        self._workflow.onChanged()
