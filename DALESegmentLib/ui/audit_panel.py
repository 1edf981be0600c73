"""Review, last part: how far it is, and how many errors are left."""

from __future__ import annotations

import time
from typing import Any

from slicer.i18n import tr as _

from ..mrml.regions import OPEN, PARTLY
from .audit import Audit
from .signals import connect
from .workflow import Workflow

UNDECIDED = (OPEN, PARTLY)


class AuditPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
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
        review = self._workflow.review
        rows = review.rows()
        listed, waiting = [row for row, *_rest in rows], [row for row, state, _pieces in rows if state in UNDECIDED]
        text = _("{done} of {count} regions decided. The model expects about {voxels:.0f} wrong voxels in the rest.")
        self._ui.progressLabel.setText(
            text.format(
                done=len(listed) - len(waiting), count=len(listed), voxels=sum(r.expected_wrong for r in waiting)
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
