"""The module's own test, as Slicer runs it, with the real engine."""

from __future__ import annotations

import pytest


@pytest.fixture
def module(desktop, tmp_path, monkeypatch):
    import slicer

    slicer.mrmlScene.Clear(True)
    slicer.app.temporaryPath = str(tmp_path)
    monkeypatch.setenv("DALESEGMENT_TEST_MINUTES", "0.1")
    import DALESegment

    yield DALESegment
    slicer.mrmlScene.Clear(True)


@pytest.mark.slow
def test_the_modules_own_test_passes(module, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("monai")
    module.DALESegmentTest().runTest()
    assert "the whole flow passed" in capsys.readouterr().out


def test_it_skips_with_a_reason_where_torch_is_missing(module, capsys, monkeypatch):
    monkeypatch.setattr(module, "installedVersion", lambda name: None)
    module.DALESegmentTest().runTest()
    assert "skipped" in capsys.readouterr().out


def test_the_module_introduces_itself(module):
    from types import SimpleNamespace

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
