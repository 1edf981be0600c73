"""The widget's tests run on a stand-in for Slicer's desktop; see standin/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("PySide6.QtUiTools", reason="the widget's stand-in needs PySide6")
pytest.importorskip("slicer", reason="the widget's tests need slicer-core")

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "DALESegment"))


@pytest.fixture(scope="session")
def desktop(tmp_path_factory):
    """Slicer's names, importable."""
    import standin

    standin.install(tmp_path_factory.mktemp("bin"))
    yield standin
    standin.uninstall()


@pytest.fixture(autouse=True)
def no_exception_in_a_slot(desktop):
    """PythonQt swallows what a slot raises; here it fails the test, unless the test takes it out itself."""
    desktop.slot_errors.clear()
    yield
    assert not desktop.slot_errors, "\n".join(desktop.slot_errors)
