"""What the operating system has to bring for Slicer's views and for Qt; both end the process where they miss it.

`python -m Testing.system_libraries` prints the line that installs what is missing, and nothing where nothing is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from DALESegmentLib.mrml.drawing import missingForDrawing

PACKAGES = ("libegl1", "libgl1", "libglib2.0-0", "libxkbcommon0", "libdbus-1-3", "libfontconfig1")
INSTALL = "apt-get install -y " + " ".join(PACKAGES)


def missing_for_scenes() -> str | None:
    """What the tests of the scene lack, in one sentence; None where they lack nothing."""
    return None if find_spec("slicer") else "The real MRML classes (pip package slicer-core) are not installed."


def missing_for_qt() -> str | None:
    """What the tests of the widgets lack, in one sentence; None where they lack nothing."""
    if find_spec("PySide6") is None:
        return "Qt (pip package PySide6-Essentials) is not installed."
    try:
        from PySide6 import QtGui, QtTest, QtUiTools, QtWidgets  # noqa: F401
    except ImportError as error:  # the loader's sentence begins with the library's name
        return f"Qt needs a system library: {error}."
    return None


def skip_modules(reason: str) -> Callable:
    """A hook for a conftest: every test file of its folder is skipped for that reason, and not imported."""

    class Skipped(pytest.Module):
        def collect(self):
            pytest.skip(reason, allow_module_level=True)

    def pytest_pycollect_makemodule(module_path, parent):
        return Skipped.from_parent(parent, path=module_path)

    return pytest_pycollect_makemodule


def main() -> None:
    """Print the line, where a Python package that would use the libraries is installed."""
    missing = [missing_for_qt() if find_spec("PySide6") else None, missingForDrawing() if find_spec("slicer") else None]
    for sentence in filter(None, missing):
        print(f"   {sentence}")
    if any(missing):
        print(f"   What needs it is left out. To have it (Debian, Ubuntu): {INSTALL}")


if __name__ == "__main__":
    sys.exit(main())
