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
def test_the_modules_own_test_passes(module, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("monai")
    module.DALESegmentTest().runTest()
    said = capsys.readouterr().out
    assert said.count("the whole flow passed") == 1
    assert "MRHead skipped" in said  # there is no Sample Data module here


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
    assert "the whole flow passed" in capsys.readouterr().out


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
