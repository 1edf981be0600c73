"""Asking for a folder to write into."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


def askForFolder(title: str) -> Path | None:
    """The folder the user chose, or None where the dialog was left."""
    chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)
    return Path(chosen) if chosen else None
