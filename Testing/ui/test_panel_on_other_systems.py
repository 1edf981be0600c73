"""The panel's side of other systems: where Slicer's Python lies, what folders and files are called."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

QUICK = Path(__file__).with_name("quick_engine.py")
HOME = "Jürgen Müller (Klinik) – Łódź"


def named(name: str) -> SimpleNamespace:
    return SimpleNamespace(GetName=lambda: name)


@pytest.mark.slow
def test_the_engine_runs_in_a_home_with_umlauts_and_blanks(desktop, tmp_path, monkeypatch):
    """Its program, its script, its parameters and its working folder."""
    from DALESegmentLib.ui.engine_process import EngineProcess, slicerPython

    home = tmp_path / HOME
    home.mkdir()
    script = Path(shutil.copy(QUICK, home / "Engine & Söhne.py"))
    python = Path(shutil.copy(slicerPython(), home / "Python Slicer"))
    monkeypatch.chdir(home)
    engine = EngineProcess(program=str(python), arguments=[str(script)])
    found = []
    try:
        engine.request("ping", {"where": str(home)}, None, found.append, lambda *problem: found.append(problem))
        assert engine.waitFor(lambda: bool(found), 20)
    finally:
        engine.stop()
    assert isinstance(found[0], dict), found
    assert (Path(found[0]["PYTHONPATH"].split(os.pathsep)[0]) / "DALESegmentLib").is_dir()


def test_this_slicers_own_python_comes_before_another_ones_on_the_path(desktop, tmp_path, monkeypatch):
    from DALESegmentLib.ui import engine_process

    on_path = engine_process.slicerPython()
    assert Path(on_path).name == "PythonSlicer"
    own = tmp_path / "Slicer" / "bin" / "PythonSlicer"
    monkeypatch.setattr(engine_process, "slicer_python", lambda: str(own))
    assert engine_process.slicerPython() == str(own)


def test_no_python_is_a_sentence(desktop, monkeypatch):
    from DALESegmentLib.engine.core.errors import EngineError
    from DALESegmentLib.ui.engine_process import slicerPython

    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineError, match="Slicer's Python was not found"):
        slicerPython()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("CT Thorax 1.5 mm / B60f", "CT_Thorax_1.5_mm_B60f"),
        ("Jürgen: T1", "Jürgen_T1"),
        ("con", "case_con"),
        ("NUL.1", "case_NUL.1"),
        ("...", "case"),
        ("", "case"),
        ("n" * 300, "n" * 60),
    ],
)
def test_an_images_name_becomes_a_folder_on_any_system(desktop, name, folder):
    from DALESegmentLib.engine.core.files import is_windows_name
    from DALESegmentLib.ui.session import _caseName

    assert _caseName(named(name)) == folder
    assert is_windows_name(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="where it leads somewhere")
def test_a_scene_from_windows_keeps_its_work_among_the_temporary_files_here(desktop, tmp_path, monkeypatch):
    """Its folder is no path here, and would be made below the working folder, wherever that is."""
    import slicer

    from DALESegmentLib.ui.session import Session

    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path))
    state = SimpleNamespace(token="abc", workFolder="C:\\Users\\Jürgen\\Arbeit")
    assert Session(state).root == tmp_path / "DALESegment"
    state.workFolder = str(tmp_path / "own")
    assert Session(state).root == tmp_path / "own"


def test_maps_of_classes_that_differ_in_capitals_or_signs_are_files_of_their_own(desktop):
    from DALESegmentLib.ui.export import _fileNames

    assert _fileNames(["background", "Lesion", "lesion", "a/b", "a:b", "?"]) == [
        "background",
        "Lesion",
        "lesion-2",
        "a_b",
        "a_b-2",
        "unnamed",
    ]
