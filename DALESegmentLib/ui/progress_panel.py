"""Below the steps: how far the running one is, how long it will take, and Cancel."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .live_curves import LiveCurves
from .signals import connect
from .workflow import Workflow


class ProgressPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
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

    def showProgress(self, event: dict) -> None:
        self._ui.progressBar.value = int(event["percent"])
        self._curves.take(event)
        left = event.get("seconds_left")
        message = event.get("message") or event["stage"]
        self.showMessage(message if left is None else f"{message} – {timeLeft(left)}")

    def showMessage(self, sentence: str) -> None:
        self._ui.statusLabel.setText(sentence)

    def _cancel(self) -> None:
        self._ui.cancelButton.enabled = False
        self.showMessage(_("Cancelling…"))
        self._workflow.cancel()


def timeLeft(seconds: float) -> str:
    """ "40 s left", "about 5 min left" """
    if seconds < 90:
        return _("{count} s left").format(count=max(1, round(seconds)))
    return _("about {count} min left").format(count=round(seconds / 60))
