"""The widget's tests run on a stand-in for Slicer's desktop; see standin/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from Testing.system_libraries import missing_for_qt, missing_for_scenes, skip_modules

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if missing := missing_for_scenes() or missing_for_qt():
    pytest_pycollect_makemodule = skip_modules(missing)

REPOSITORY = Path(__file__).parents[2]
QUICK_ENGINE = Path(__file__).with_name("quick_engine.py")
sys.path.insert(0, str(REPOSITORY / "DALESegment"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A test of the panel waits for the engine process behind it, so all of them are slow."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and "widget" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


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
    import slicer

    desktop.slot_errors.clear()
    slicer.app.dialogs.clear()
    slicer.app.popups.clear()
    slicer.app.testing = slicer.app.agrees = False
    yield
    assert not desktop.slot_errors, "\n".join(desktop.slot_errors)


@pytest.fixture
def widget(desktop, tmp_path):
    """The module's panel over a small case in an empty scene, with an engine that answers quickly."""
    import slicer

    slicer.mrmlScene.Clear(True)
    slicer.app.temporaryPath = str(tmp_path)
    slicer.app.slicerUserSettingsFilePath = str(tmp_path / "settings" / "Slicer.ini")
    settings_in(tmp_path / "settings")
    slicer.app.selected = []
    from slicer_window import close, open_module

    import DALESegment  # noqa: F401  (puts the library on the path)
    from DALESegmentLib.mrml.practice_case import addBall

    image, segmentation = addBall()
    widget = open_module()
    from DALESegmentLib.ui.engine_process import EngineProcess

    widget.logic.workflow.engine = EngineProcess(arguments=[str(QUICK_ENGINE)])
    widget.case = image, segmentation
    yield widget
    close(widget)
    slicer.mrmlScene.Clear(True)


def settings_in(folder: Path) -> None:
    """What the user sets is kept there, not where the programs of this computer keep theirs."""
    from PySide6.QtCore import QSettings

    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(folder))


@pytest.fixture
def reviewed(widget):
    """A model trained and its doubtful regions listed; the first of them is chosen."""
    from panel_steps import step
    from slicer_window import click_row

    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.regionsButton)
    click_row(widget.ui.regionsTable, 0)
    return widget


@pytest.fixture
def a_slice_view(desktop):
    """A slice view's layers; views outlive the scene, so it has to be made after it was cleared."""
    import slicer

    def make():
        view = slicer.vtkMRMLSliceCompositeNode()
        view.SetLayoutName("Red")
        return slicer.mrmlScene.AddNode(view)

    return make
