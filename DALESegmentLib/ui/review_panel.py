"""Review: the heat map, the list of doubtful regions, the decisions."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DALESegmentLib.engine.review.region import Region
from DALESegmentLib.mrml import heat_map
from DALESegmentLib.mrml.regions import jumpToRegion, regionIdentity
from DALESegmentLib.mrml.segmentations import segmentIdOf

from .signals import connect
from .workflow import Workflow

COLUMNS = (_("#"), _("Suspicion"), _("mm³"), _("Confidence"), _("Decision"))
ROW_HEIGHT = 22  # pixels


class ReviewPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._shown: list[tuple[Region, str]] = []
        self._prepareTable(ui.regionsTable)
        for sender, signal, slot in (
            (ui.confidenceButton, "clicked()", workflow.showConfidence),
            (ui.regionsButton, "clicked()", workflow.listRegions),
            (ui.fineTuneButton, "clicked()", workflow.fineTune),
            (ui.opacitySlider, "valueChanged(double)", self._restyle),
            (ui.thresholdSlider, "valueChanged(double)", self._restyle),
            (ui.regionsTable, "itemSelectionChanged()", self._jump),
            (ui.regionsTable, "cellClicked(int,int)", self._jump),  # also on the row that is selected already
            (ui.confirmButton, "clicked()", lambda: self._decide("confirmed")),
            (ui.unsureButton, "clicked()", lambda: self._decide("unsure")),
            (ui.correctButton, "clicked()", self._correct),
        ):
            connect(sender, signal, slot)

    @staticmethod
    def _prepareTable(table: Any) -> None:
        table.setColumnCount(len(COLUMNS))
        table.setHorizontalHeaderLabels(list(COLUMNS))
        table.verticalHeader().setVisible(False)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(len(COLUMNS) - 1, qt.QHeaderView.Stretch)
        table.horizontalHeader().setHighlightSections(False)
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)

    def refresh(self) -> None:
        state, ui = self._workflow.state, self._ui
        free = not self._workflow.busy
        judgeable = bool(state.model) and state.image is not None and state.segmentation is not None
        ui.confidenceButton.enabled = ui.regionsButton.enabled = free and judgeable
        review = self._workflow.review
        ui.fineTuneButton.enabled = free and judgeable and review.fits(state.regionTable)
        ui.opacitySlider.enabled = ui.thresholdSlider.enabled = review.fits(state.heatMap)
        review.matchViews()
        self._sayWhose()
        self._fillTable()
        for button in (ui.confirmButton, ui.unsureButton, ui.correctButton):
            button.enabled = self._selected() is not None

    def _sayWhose(self) -> None:
        """Where the list is about other nodes than the chosen ones: of which, and how it comes back."""
        review = self._workflow.review
        names = " / ".join(f"“{name}”" for name in review.reviewedNames())
        lost = _("The list was made for an image or a segmentation that is no longer here. List the regions again.")
        hidden = _("The list was made for {names}. Choose these under Data to go on with it.").format(names=names)
        whole = len(review.reviewedNames()) == 2
        self._ui.reviewNote.setText((hidden if whole else lost) if review.outOfPlace else "")
        self._ui.reviewNote.visible = review.outOfPlace

    def _fillTable(self) -> None:
        review = self._workflow.review
        decisions = review.decisions()
        rows = [(r, decisions.get(regionIdentity(r), "open")) for r in review.regions()]
        if rows == self._shown:
            return
        keepRow = [r for r, _d in rows] == [r for r, _d in self._shown]
        table = self._ui.regionsTable
        current = table.currentRow() if keepRow else -1
        self._shown = rows
        wasBlocked = table.blockSignals(True)
        table.setRowCount(len(rows))
        for row, (region, decision) in enumerate(rows):
            texts = (
                region.rank,
                f"{region.class_name}: {region.suspicion}",
                f"{region.size_mm3:.0f}",
                f"{region.mean_confidence:.2f}",
                decision,
            )
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(str(text)))
        table.clearSelection()
        table.setCurrentCell(current, 0)
        table.blockSignals(wasBlocked)

    def _selected(self) -> Region | None:
        row = self._ui.regionsTable.currentRow()
        return self._shown[row][0] if 0 <= row < len(self._shown) else None

    def _jump(self) -> None:
        region = self._selected()
        for button in (self._ui.confirmButton, self._ui.unsureButton, self._ui.correctButton):
            button.enabled = region is not None
        if region is not None:
            jumpToRegion(region)

    def _decide(self, decision: str) -> None:
        """Note the decision and go on to the next region."""
        row = self._ui.regionsTable.currentRow()
        self._workflow.review.decide(self._shown[row][0], decision)
        self.refresh()
        if row + 1 < len(self._shown):
            self._ui.regionsTable.setCurrentCell(row + 1, 0)

    def _correct(self) -> None:
        """Open the Segment Editor on the segment that is reviewed; it takes the nodes when its panel is shown."""
        region, state = self._selected(), self._workflow.state
        self._workflow.review.decide(region, "corrected")
        self.refresh()
        slicer.util.selectModule("SegmentEditor")
        editor = getattr(getattr(slicer.modules, "SegmentEditorWidget", None), "editor", None)
        if editor is not None:
            editor.setSegmentationNode(state.segmentation)
            editor.setSourceVolumeNode(state.image)
            segmentId = segmentIdOf(state.segmentation, region.label_value, region.class_name)
            if segmentId:
                editor.setCurrentSegmentID(segmentId)
            else:
                self._workflow.onMessage(
                    _(
                        "No segment is called “{name}” any more; choose the one to correct in the Segment Editor."
                    ).format(name=region.class_name)
                )

    def _restyle(self) -> None:
        if self._workflow.session is None or not self._workflow.review.fits(self._workflow.state.heatMap):
            return
        node = self._workflow.state.heatMap
        heat_map.setHeatMapOpacity(node, self._ui.opacitySlider.value)
        heat_map.setHeatMapThreshold(node, self._ui.thresholdSlider.value)
