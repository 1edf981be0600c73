"""Review, last part: how far it is, and how many errors are left."""

from __future__ import annotations

import time
from typing import Any

from slicer.i18n import tr as _

from ..engine.dale.issues import Region
from ..mrml.regions import OPEN, PARTLY, regionIdentity, rowState
from .audit import Audit
from .signals import connect
from .workflow import Workflow

UNDECIDED = (OPEN, PARTLY)


class AuditPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._listed: list[Region] = []  # rows that the progress is about
        self._rows: dict[tuple, int] = {}  # where they are, by their and their pieces' identity
        self._expected = 0.0  # wrong voxels in all of them
        self._states: Any = None
        connect(ui.auditButton, "clicked()", self._start)
        connect(ui.auditRightButton, "clicked()", lambda: self._judge(True))
        connect(ui.auditWrongButton, "clicked()", lambda: self._judge(False))

    def refresh(self) -> None:
        state, ui = self._workflow.state, self._ui
        audit = Audit(state)
        ui.auditButton.enabled = state.image is not None and state.segmentation is not None
        for button in (ui.auditRightButton, ui.auditWrongButton):
            button.enabled = audit.running
        told = "" if self._workflow.review.reading.hiddenReader() else audit.sentence()
        ui.auditLabel.setText(told)
        ui.auditLabel.visible = bool(told)
        self._showProgress()

    def _showProgress(self) -> None:
        listed, states = self._workflow.review.regions(), self._workflow.review.decisions()
        if listed != self._listed:
            self._listed, self._states = listed, None
            self._rows = {regionIdentity(leaf): n for n, row in enumerate(listed) for leaf in row.leaves}
            self._expected = sum(row.expected_wrong for row in listed)
        if states is self._states:
            return
        self._states = states
        touched = {self._rows.get(identity) for identity, state in states.items() if state != OPEN} - {None}
        done = [listed[n] for n in touched if rowState(listed[n], states) not in UNDECIDED]
        text = _("{done} of {count} regions decided. The model expects about {voxels:.0f} wrong voxels in the rest.")
        self._ui.progressLabel.setText(
            text.format(
                done=len(done),
                count=len(listed),
                voxels=self._expected - sum(row.expected_wrong for row in done),
            )
        )
        self._ui.progressLabel.visible = bool(listed)

    def _start(self) -> None:
        case = self._workflow.session.sceneCase()
        if self._workflow.review.begun and not self._workflow.review.isForOtherNodes:
            case.trusted = self._workflow.review.decided(case)
        audit = Audit(self._workflow.state)
        audit.start(case, seed=int(time.time()) % 2**31)
        audit.show()

    def _judge(self, right: bool) -> None:
        audit = Audit(self._workflow.state)
        audit.judge(right)
        audit.show()
