"""Review, first part: the heat map over the slices and on the 3D surface, its legend, and what was learned otherwise
than given."""

from __future__ import annotations

from typing import Any

from ..mrml import heat_map, hidden_volumes, surface
from ..mrml.segmentations import labelFromSegmentation
from .combo_box import Choices
from .data_panel import segmentChoices
from .legend import showLegend
from .signals import connect
from .workflow import Workflow


class HeatMapPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._segments = Choices(ui.heatMapSegmentComboBox, self._chooseSegment)
        self._drawn: tuple | None = None  # the heat map and the segment whose colours are on screen
        self._surface: tuple | None = None  # what the surface on screen was made from
        showLegend(ui.legendLabel)
        for sender, signal, slot in (
            (ui.confidenceButton, "clicked()", workflow.showConfidence),
            (ui.opacitySlider, "valueChanged(double)", self._restyle),
            (ui.thresholdSlider, "valueChanged(double)", self._restyle),
        ):
            connect(sender, signal, slot)

    def refresh(self) -> None:
        state, ui, review = self._workflow.state, self._ui, self._workflow.review
        judgeable = self._workflow.canJudge and state.image is not None and state.segmentation is not None
        ui.confidenceButton.enabled = judgeable and not self._workflow.busy
        there = review.fits(state.heatMap)
        for control in (ui.opacitySlider, ui.thresholdSlider, ui.heatMapCheckBox, ui.surfaceCheckBox):
            control.enabled = there
        ui.heatMapSegmentComboBox.enabled = there
        ui.labelSourceCheckBox.enabled = review.fits(state.labelSource)
        self._segments.show(segmentChoices(state.segmentation), state.heatMapSegment)
        review.matchViews()
        self._drawSegment()
        self._matchSurface()

    def _chooseSegment(self, segmentId: str) -> None:
        self._workflow.state.heatMapSegment = segmentId

    def _drawSegment(self) -> None:
        """Colour all segments, or the chosen one alone."""
        state = self._workflow.state
        if not self._workflow.review.fits(state.heatMap) or state.confidence is None:
            self._drawn = None
            return
        now = (state.heatMap.GetID(), self._heatMapSegment())
        before, self._drawn = self._drawn, now
        if before == now or (now[1] == "" and (before is None or before[0] != now[0])):
            return  # a new heat map shows all segments already
        confidence = hidden_volumes.hiddenArray(state.confidence)
        geometry = hidden_volumes.hiddenGeometry(state.confidence)
        chosen = [now[1]] if now[1] else None
        label = labelFromSegmentation(state.segmentation, state.image, chosen)[0]
        if chosen:
            shown = heat_map.confidenceAround(confidence, geometry, label > 0)
        else:
            shown = heat_map.wholeConfidence(confidence, geometry, label)
        heat_map.updateHeatMap(state.heatMap, shown)
        self._workflow.review.trusted.draw()

    def _matchSurface(self) -> None:
        """Show, renew or take away the coloured surface."""
        state = self._workflow.state
        wanted = None
        if state.surfaceShown and self._workflow.review.fits(state.heatMap):
            changed = state.segmentation.GetSegmentation().GetMTime()
            wanted = (state.heatMap.GetID(), state.segmentation.GetID(), self._heatMapSegment(), changed)
        if wanted == self._surface:
            return
        self._surface = wanted
        if wanted is None:
            surface.removeSurface()
        else:
            chosen = [self._heatMapSegment()] if self._heatMapSegment() else None
            surface.showSurface(state.confidence, state.segmentation, chosen)

    def _heatMapSegment(self) -> str:
        state = self._workflow.state
        there = [key for key, _name in segmentChoices(state.segmentation)]
        return state.heatMapSegment if state.heatMapSegment in there else ""

    def _restyle(self) -> None:
        if self._workflow.session is None or not self._workflow.review.fits(self._workflow.state.heatMap):
            return
        node = self._workflow.state.heatMap
        heat_map.setHeatMapOpacity(node, self._ui.opacitySlider.value)
        heat_map.setHeatMapThreshold(node, self._ui.thresholdSlider.value)
