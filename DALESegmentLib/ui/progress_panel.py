"""Below the steps: how far the running one is, how long it will take, and Cancel."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from .live_curves import LiveCurves
from .signals import connect
from .workflow import Workflow

PATIENCE_MS = 10_000
"""After Cancel; a step that has not ended by then may never do so, and can be stopped with the engine."""


class ProgressPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._mayStop = False  # whether Cancel was of no use, and the button now stops the engine
        self._patience = qt.QTimer()
        self._patience.setSingleShot(True)
        connect(self._patience, "timeout()", self._offerToStop)
        self._curves = LiveCurves()
        workflow.onProgress, workflow.onMessage = self.showProgress, self.showMessage
        connect(ui.cancelButton, "clicked()", self._cancel)

    def refresh(self) -> None:
        busy = self._workflow.busy
        if busy and not self._ui.progressBar.isVisible():
            self._ui.progressBar.value = 0
            self.showMessage(_("Starting…"))
        self._ui.progressBar.visible = busy
        self._ui.cancelButton.visible = busy
        self._ui.cancelButton.enabled = busy
        if not busy:
            self._mayStop = False
            self._ui.cancelButton.text = _("Cancel")
            self._patience.stop()

    def showProgress(self, event: dict) -> None:
        self._ui.progressBar.value = int(event["percent"])
        self._curves.take(event)
        left = event.get("seconds_left")
        message = event.get("message") or event["stage"]
        self.showMessage(message if left is None else f"{message} – {timeLeft(left)}")

    def clear(self) -> None:
        """The scene is closed: what was said is about nothing that is there."""
        self.showMessage("")

    def showMessage(self, sentence: str) -> None:
        self._ui.statusLabel.setText(sentence)

    def _cancel(self) -> None:
        self._ui.cancelButton.enabled = False
        self.showMessage(_("Cancelling…"))
        if self._mayStop:
            self._workflow.abandon()
        else:
            self._patience.start(PATIENCE_MS)
            self._workflow.cancel()

    def _offerToStop(self) -> None:
        """It was asked to stop and did not: a machine that is gone, or a call that does not end."""
        self._mayStop = True
        self._ui.cancelButton.text = _("Stop the engine")
        self._ui.cancelButton.enabled = True


def timeLeft(seconds: float) -> str:
    """ "40 s left", "about 5 min left" """
    if seconds < 90:
        return _("{count} s left").format(count=max(1, round(seconds)))
    return _("about {count} min left").format(count=round(seconds / 60))
