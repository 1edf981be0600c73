"""What is shown, said in the corner of every slice view."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..mrml.captions import Caption, CaptionLine, segmentationLines
from .active_region import ActiveRegion
from .workflow import Workflow


class ViewCaptions:
    """A panel without widgets: refreshed like the others, and when the layout changes."""

    def __init__(self, workflow: Workflow, atHand: ActiveRegion) -> None:
        self._workflow, self._atHand = workflow, atHand
        self._captions: dict[str, Caption] = {}
        self._layout = slicer.app.layoutManager()
        if self._layout is not None and not self._layout.connect("layoutChanged(int)", self._layoutChanged):
            raise ValueError("The layout manager has no signal layoutChanged(int)")

    def refresh(self) -> None:
        self._show(self._lines())

    def clear(self) -> None:
        """Nothing of ours is shown any more."""
        self._show([])

    def close(self) -> None:
        """The views outlive the module."""
        self.clear()
        if self._layout is not None:
            self._layout.disconnect("layoutChanged(int)", self._layoutChanged)
            self._layout = None

    def _layoutChanged(self) -> None:
        qt.QTimer.singleShot(0, self._refreshLater)  # the views of the new layout are made meanwhile

    def _refreshLater(self) -> None:
        if self._layout is not None and self._workflow.session is not None:
            self.refresh()

    def _lines(self) -> list[CaptionLine]:
        state, review = self._workflow.state, self._workflow.review
        heatMap = review.fits(state.heatMap) and state.heatMapShown
        region = self._atHand.region
        if not heatMap and region is None:
            return []
        lines = []
        if region is not None:
            text = _("Region {rank}: {segment}, {suspicion}")
            said = text.format(rank=region.rank, segment=region.class_name, suspicion=region.suspicion)
            lines.append(CaptionLine(said, (1.0, 1.0, 1.0)))
        if heatMap:
            text = _("Confidence below {value:.2f}")
            lines.append(CaptionLine(text.format(value=state.heatMapThreshold)))
        return [*lines, *segmentationLines()]

    def _show(self, lines: list[CaptionLine]) -> None:
        if self._layout is None:
            return
        for name in self._layout.sliceViewNames():
            view = self._view(name)
            if view is None:
                continue
            window = view.renderWindow()
            caption = self._captions.get(name)
            if caption is None or not caption.isIn(window):
                caption = self._captions[name] = Caption(window)
            if caption.show(lines):
                view.scheduleRender()

    def _view(self, name: str) -> Any:
        widget = self._layout.sliceWidget(name)
        return None if widget is None else widget.sliceView()
