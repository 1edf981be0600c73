"""Learn: train a model within a time budget, or choose one."""

from __future__ import annotations

from typing import Any

from .path_field import PathField
from .signals import connect
from .workflow import Workflow


class LearnPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._model = PathField(ui.modelEdit, workflow, "model")
        connect(ui.trainButton, "clicked()", workflow.train)

    def refresh(self) -> None:
        state = self._workflow.state
        self._model.refresh()
        scene = state.image is not None and state.segmentation is not None
        ready = bool(state.casesFolder) if state.source.name == "folder" else scene
        self._ui.trainButton.enabled = ready and not self._workflow.busy
