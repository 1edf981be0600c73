"""The module's own test, as Slicer runs it, with the real engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def module(desktop, tmp_path, monkeypatch):
    import slicer

    slicer.mrmlScene.Clear(True)
    home = tmp_path / "Jürgen Müller (Klinik)"  # as in the name of a user, and so in the path of all that is written
    home.mkdir()
    slicer.app.temporaryPath = str(home)
    monkeypatch.setenv("DALESEGMENT_TEST_MINUTES", "0.1")
    import DALESegment

    yield DALESegment
    slicer.mrmlScene.Clear(True)


@pytest.mark.slow
def test_the_modules_own_test_passes_without_a_dialog(module, capsys):
    """In an application that was not started for testing, with the panel open: nothing has to be clicked away."""
    import slicer
    from slicer_window import close, open_module, wait_until

    pytest.importorskip("torch")
    pytest.importorskip("monai")
    widget = open_module()
    try:
        assert not slicer.app.testingEnabled()
        module.DALESegmentTest().runTest()
        wait_until(lambda: False, 0.3)  # what waits in the queue would open now
        assert not slicer.app.dialogs
        assert not slicer.app.popups
    finally:
        close(widget)
        del slicer.modules.DALESegmentWidget
    said = capsys.readouterr().out
    for step in ("train", "showConfidence", "listRegions", "predict", "whole flow"):
        assert f"passed: {step} (" in said
    assert "MRHead skipped" in said  # there is no Sample Data module here
    assert "passed: key confirm (" in said or "keys skipped: no doubtful region" in said  # after seconds of training
    assert "all" in said.splitlines()[-1]


def test_it_says_which_step_failed(module):
    import slicer

    from DALESegmentLib.mrml.practice_case import addPracticeCase

    slicer.app.testing = True
    logic = module.DALESegmentLogic()
    state = logic.getParameterNode()
    state.image, state.segmentation = addPracticeCase()
    logic.open(state)
    logic.workflow._failed("internal", "It went wrong.")
    failing = module.DALESegmentTest()
    with pytest.raises(AssertionError, match="nothing: It went wrong"):
        failing.finish(logic, "nothing", lambda: logic.workflow._failed("internal", "It went wrong."))
    logic.close()


@pytest.mark.parametrize("inside", [True, False])
def test_a_problem_is_a_dialog_only_where_no_test_runs(module, inside):
    import slicer
    from slicer_window import wait_until

    from DALESegmentLib.ui.signals import showProblemSoon, withoutDialogs

    if inside:
        with withoutDialogs():
            showProblemSoon("Something is wrong.")
    else:
        showProblemSoon("Something is wrong.")
    wait_until(lambda: False, 0.1)
    assert slicer.app.dialogs == ([] if inside else ["Something is wrong."])


@pytest.mark.slow
def test_the_modules_own_test_passes_on_a_real_image(module, capsys, monkeypatch):
    """What Slicer would download is stood in for by another T1 image of a head."""
    import slicer

    pytest.importorskip("torch")
    data = os.environ.get("DALESEGMENT_DATA")
    if not data:
        pytest.skip("DALESEGMENT_DATA is not set")
    import SimpleITK as sitk

    file = Path(data, "mni152_default_sample", "mni152", "t1.nii.gz")
    if not file.is_file():
        pytest.skip("no T1 image of a head there")
    image = sitk.ReadImage(str(file), sitk.sitkFloat32)

    def head(self):
        return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), name="MRHead")

    logic = type("SampleDataLogic", (), {"downloadMRHead": head})
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=logic))
    module.DALESegmentTest().test_realImage()
    assert "passed: whole flow (Middle of MRHead)" in capsys.readouterr().out


def test_it_skips_with_a_reason_where_torch_is_missing(module, capsys, monkeypatch):
    from DALESegmentLib.ui import dependencies

    monkeypatch.setattr(dependencies, "installedVersion", lambda name: None)
    module.DALESegmentTest().runTest()
    assert "skipped" in capsys.readouterr().out


def test_the_module_introduces_itself(module):
    parent = SimpleNamespace(path=module.__file__)
    module.DALESegment(parent)
    assert parent.title == "DALESegment"
    assert parent.categories == ["Segmentation"]
    assert parent.helpText
    assert not parent.icon.isNull()


def test_resources_are_found_beside_the_module_once_built(module, tmp_path, monkeypatch):
    built = tmp_path / "qt-scripted-modules"
    (built / "Resources").mkdir(parents=True)
    (built / "Resources" / "requirements.txt").write_text("")
    monkeypatch.setattr(module, "__file__", str(built / "DALESegment.py"))
    assert module.resourceFile("requirements.txt") == str(built / "Resources" / "requirements.txt")
