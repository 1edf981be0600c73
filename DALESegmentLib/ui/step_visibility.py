"""Which steps are open and which controls are in sight: those that can be of use now."""

from __future__ import annotations

from typing import Any

from .signals import connect
from .workflow import Workflow

ANSWERS = ("dataLabel", "planLabel", "installationLabel", "auditLabel", "comparisonLabel", "recordLabel")
ALL = ("data", "learn", "review", "result")


class StepVisibility:
    """Once there is a list, the steps before and after it are folded, so that list, keys and answers are in sight
    together; whoever opens a step again keeps it open."""

    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._listed = False
        self._waiting = ""
        for name in ALL:
            for kind in ("Collapsible", "Advanced"):
                connect(getattr(ui, f"{name}{kind}Button"), "contentsCollapsed(bool)", self._opened)
        connect(ui.readersCollapsibleButton, "contentsCollapsed(bool)", self._opened)

    def refresh(self) -> None:
        ui, state, review = self._ui, self._workflow.state, self._workflow.review
        listed = review.fits(state.regionTable)
        self._fold(listed)
        for control in (
            ui.regionsTable,
            ui.acceptButton,
            ui.confirmButton,
            ui.correctButton,
            ui.unsureButton,
            ui.undoButton,
            ui.fineTuneButton,
        ):
            control.visible = listed
        ui.segmentButton.visible = listed or (state.image is not None and state.segmentation is None)
        ui.keysLabel.visible = listed and ui.keysCheckBox.checked
        heatMap = review.fits(state.heatMap)
        ui.heatMapCheckBox.visible = ui.legendLabel.visible = heatMap
        self._highlight()
        compared = bool(state.previousModel or state.candidate)
        for control in (ui.compareButton, ui.keepButton, ui.rollBackButton):
            control.visible = compared
        if state.candidate and state.candidate != self._waiting:  # it waits to be kept, which is done there
            ui.resultCollapsibleButton.collapsed = False
        self._waiting = state.candidate

    def _opened(self, collapsed: bool) -> None:
        """CTK shows all that a box holds, but what was hidden while it was open: hide the rest again."""
        if collapsed or self._workflow.session is None:
            return
        for name in ANSWERS:
            label = getattr(self._ui, name)
            label.visible = bool(label.text)
        self.refresh()

    def _fold(self, listed: bool) -> None:
        """Only when a list comes or goes."""
        before, self._listed = self._listed, listed
        if before == listed:
            return
        for name in ALL:
            getattr(self._ui, f"{name}CollapsibleButton").collapsed = listed and name != "review"

    def _highlight(self) -> None:
        """The button of the next sensible step in bold."""
        ui, state, review = self._ui, self._workflow.state, self._workflow.review
        following = ui.trainButton
        if state.image is None:
            following = ui.practiceButton
        elif state.model and state.segmentation is not None:
            following = ui.regionsButton if review.fits(state.heatMap) else ui.confidenceButton
            if review.fits(state.regionTable):
                decided = set(review.decisions().values()) & {"confirmed", "corrected"}
                following = ui.fineTuneButton if decided else None
        elif state.model:
            following = ui.predictButton
        for button in (
            ui.practiceButton,
            ui.trainButton,
            ui.confidenceButton,
            ui.regionsButton,
            ui.fineTuneButton,
            ui.predictButton,
        ):
            font = button.font  # a style sheet would take the theme's colours away
            font.setBold(button is following)
            button.setFont(font)
