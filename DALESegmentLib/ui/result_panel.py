"""Result: the new segmentation, and the way back to the model before."""

from __future__ import annotations

from typing import Any

from .signals import connect
from .workflow import Workflow


class ResultPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        connect(ui.predictButton, "clicked()", workflow.predict)
        connect(ui.rollBackButton, "clicked()", workflow.rollBack)

    def refresh(self) -> None:
        state, free = self._workflow.state, not self._workflow.busy
        self._ui.predictButton.enabled = free and bool(state.model) and state.image is not None
        self._ui.rollBackButton.enabled = free and bool(state.previousModel)
