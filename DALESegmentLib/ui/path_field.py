"""A folder in the parameter node and on screen."""

from __future__ import annotations

from typing import Any

import ctk

from .signals import connect
from .workflow import Workflow


class PathField:
    """Keeps a ctkPathLineEdit and a text of the parameter node alike."""

    def __init__(self, edit: Any, workflow: Workflow, name: str) -> None:
        self._edit, self._workflow, self._name = edit, workflow, name
        edit.filters = ctk.ctkPathLineEdit.Dirs
        connect(edit, "currentPathChanged(QString)", self._edited)

    def refresh(self) -> None:
        value = getattr(self._workflow.state, self._name)
        if self._edit.currentPath != value:
            self._edit.currentPath = value

    def _edited(self, path: str) -> None:
        if self._workflow.session is not None and getattr(self._workflow.state, self._name) != path:
            setattr(self._workflow.state, self._name, path)
