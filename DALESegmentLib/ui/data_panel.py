"""Data: which image, which segmentation, which cases to learn from."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..mrml.heat_map import heatMapIds
from ..mrml.input_summary import describe
from ..mrml.overlaps import overlaps, overlapSentence
from ..mrml.segmentations import userSegmentIds
from ..mrml.volumes import geometryFromVolume, imagesOfScene
from .combo_box import Choices
from .path_field import PathField
from .sample_data import showPracticeCase
from .signals import connect
from .workflow import Workflow

LOOKED_AT = 4_000_000
"""Voxels; in a larger image overlaps are looked for beside the user interface alone, by the first step."""


class DataPanel:
    """The node selectors bind to the parameter node by themselves; this holds the rest."""

    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._paths = [
            PathField(ui.casesFolderEdit, workflow, "casesFolder"),
            PathField(ui.workFolderEdit, workflow, "workFolder"),
        ]
        self._segments = Choices(ui.segmentComboBox, self._chooseSegment)
        ui.dataLabel.visible = False
        self._overlapOf: tuple[tuple | None, str] = (None, "")  # what was looked at, and what was found
        connect(ui.checkButton, "clicked()", self._check)
        connect(ui.practiceButton, "clicked()", self._takePracticeCase)

    def refresh(self) -> None:
        state, ui = self._workflow.state, self._ui
        for path in self._paths:
            path.refresh()
        ui.firstVisitLabel.visible = ui.practiceButton.visible = state.image is None and not imagesOfScene()
        self._hideHeatMaps()
        self._segments.show(segmentChoices(state.segmentation), state.segment)
        folder = state.source.name == "folder"
        ui.casesFolderEdit.enabled = folder
        facts = describe([state.image, state.secondImage, state.thirdImage], state.segmentation)
        ui.factsLabel.setText("\n".join([*facts.lines, *([] if folder else [*facts.problems, *self._overlap()])]))
        ready = bool(state.casesFolder) if folder else state.image is not None and state.segmentation is not None
        ui.checkButton.enabled = ready and not self._workflow.busy

    def _hideHeatMaps(self) -> None:
        """A heat map is a volume too, but no image to choose."""
        made = tuple(heatMapIds())
        ui = self._ui
        for selector in (ui.imageSelector, ui.secondImageSelector, ui.thirdImageSelector, ui.targetSelector):
            filtered = selector.sortFilterProxyModel()
            if tuple(filtered.hiddenNodeIDs) != made:
                filtered.hiddenNodeIDs = list(made)

    def _chooseSegment(self, segmentId: str) -> None:
        self._workflow.state.segment = segmentId

    def _takePracticeCase(self) -> None:
        self._workflow.state.image, self._workflow.state.segmentation = showPracticeCase()

    def _check(self) -> None:
        self._workflow.checkData(self._showFindings, self._say)

    def _showFindings(self, answer: dict) -> None:
        cases = answer["cases"]
        problems = [f"{case['name']}: {case['problem']}" for case in cases if case["problem"]]
        classes = sorted({name for case in cases for name in case.get("classes", {}).values()})
        lines = [_("Cases: {count}. Segments: {names}.").format(count=len(cases), names=", ".join(classes) or "–")]
        empty = [case["name"] for case in cases if case.get("voxels") == {} and not case["problem"]]
        if empty:
            names = ", ".join(empty[:3]) + (", …" if len(empty) > 3 else "")
            text = _("Empty labels, taken for images where there is nothing to be labelled: {count} ({names}).")
            lines.append(text.format(count=len(empty), names=names))
        self._say("\n".join(lines + problems[:5]))

    def _say(self, text: str) -> None:
        """Beside the button that asked."""
        self._ui.dataLabel.setText(text)
        self._ui.dataLabel.visible = True
        self._workflow.onMessage("")

    def _overlap(self) -> list[str]:
        """A sentence where segments of the scene overlap; looked at again when the segmentation was changed."""
        state = self._workflow.state
        if state.image is None or state.segmentation is None:
            return []
        held = state.segmentation.GetSegmentation()
        now = (state.image.GetID(), state.segmentation.GetID(), state.segment, held.GetMTime())
        if now != self._overlapOf[0]:
            self._overlapOf = now, ""
            if held.GetNumberOfLayers() > 1 and state.image.GetImageData().GetNumberOfPoints() <= LOOKED_AT:
                self._overlapOf = now, self._lookForOverlap()
        return [self._overlapOf[1]] if self._overlapOf[1] else []

    def _lookForOverlap(self) -> str:
        try:
            drawn = self._workflow.session.segmentationSnapshot()
            volume = geometryFromVolume(self._workflow.state.image).voxel_volume
        except EngineError:  # what is wrong is said already
            return ""
        return overlapSentence(overlaps(drawn, volume))


def segmentChoices(segmentation: Any) -> list[tuple[str, str]]:
    """All segments, and each of them: (ID or "", name)."""
    choices = [("", _("All segments"))]
    if segmentation is not None:
        held = segmentation.GetSegmentation()
        choices += [(i, held.GetSegment(i).GetName()) for i in userSegmentIds(segmentation)]
    return choices
