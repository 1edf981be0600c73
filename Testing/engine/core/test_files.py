"""Files as Windows and macOS have them: names, lengths of paths, files that another program holds open."""

from __future__ import annotations

import errno
import os
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest

from DALESegmentLib.engine.bundle.run_folder import check_run_folder, claim_run_folder
from DALESegmentLib.engine.core import files
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import is_windows_name, not_written, remove, write_atomically, write_json
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io import images

HELD = PermissionError(errno.EACCES, "The process cannot access the file because it is being used")


@pytest.fixture
def windows(monkeypatch):
    """What the library asks for the system says Windows; patience is short."""
    monkeypatch.setattr(files.sys, "platform", "win32")
    monkeypatch.setattr(files, "_HELD_SECONDS", 0.3)


def held(times: int, real):
    """The function, refusing at first, as where a scanner still holds the file."""
    left = [times]

    def act(*arguments, **keywords):
        left[0] -= 1
        if left[0] >= 0:
            raise HELD
        return real(*arguments, **keywords)

    return act


def test_a_file_that_a_scanner_holds_for_a_moment_is_replaced(tmp_path, windows, monkeypatch):
    write_json(tmp_path / "a.json", {"a": 1})
    monkeypatch.setattr(files.os, "replace", held(2, os.replace))
    write_json(tmp_path / "a.json", {"a": 2})
    assert files.read_json(tmp_path / "a.json") == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_one_that_stays_open_is_a_sentence_and_stays_as_it_was(tmp_path, windows, monkeypatch):
    write_json(tmp_path / "regions.csv", {"a": 1})
    monkeypatch.setattr(files.os, "replace", held(1000, os.replace))
    with pytest.raises(EngineError, match="close it in other programs") as caught:
        write_json(tmp_path / "regions.csv", {"a": 2})
    assert caught.value.code == "cannot-write"
    assert files.read_json(tmp_path / "regions.csv") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["regions.csv"]


def test_where_nothing_holds_files_a_refusal_is_final(tmp_path, monkeypatch):
    monkeypatch.setattr(files.sys, "platform", "linux")
    monkeypatch.setattr(files.os, "replace", held(1, os.replace))
    with pytest.raises(EngineError, match="could not be written"):
        write_json(tmp_path / "a.json", {})


def test_a_folder_with_a_file_held_for_a_moment_is_removed(tmp_path, windows, monkeypatch):
    (tmp_path / "bundle" / "models").mkdir(parents=True)
    (tmp_path / "bundle" / "models" / "model.pt").write_bytes(b"x")
    monkeypatch.setattr(files.shutil, "rmtree", held(2, files.shutil.rmtree))
    remove(tmp_path / "bundle")
    remove(tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_new_run_never_begins_with_the_rest_of_an_old_bundle(tmp_path, windows, monkeypatch):
    """Its weights would be put beside the plan of another network."""
    run = tmp_path / "run"
    write_json(run / "run.json", {})
    write_json(run / "bundle" / "configs" / "metadata.json", {})
    monkeypatch.setattr(files.shutil, "rmtree", held(1000, files.shutil.rmtree))
    with pytest.raises(EngineError, match="run cannot be written to"):
        claim_run_folder(run, overwrite=True)


@pytest.mark.parametrize("name", ["desktop.ini", "Thumbs.db", ".DS_Store"])
def test_what_the_system_puts_into_a_folder_does_not_fill_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    check_run_folder(tmp_path)
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(EngineError, match="holds other files"):
        check_run_folder(tmp_path)


def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path):
    """What is written beside it meanwhile must not be longer."""
    name = "n" * 247 + ".nii.gz"
    write_atomically(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    geometry = Geometry((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    images.write_image(tmp_path / name, np.ones((4, 4, 4)), geometry)
    assert images.read_label(tmp_path / name)[0].all()


def test_a_name_that_is_too_long_is_said_to_be(tmp_path):
    with pytest.raises(EngineError, match="longer than this system takes") as caught:
        write_json(tmp_path / ("n" * 300 + ".json"), {})
    assert caught.value.code == "cannot-write"


def test_a_run_folder_too_deep_for_its_files_is_refused_before_the_training(tmp_path):
    """The folder itself is possible; what a training writes into it is not."""
    limit = os.pathconf(tmp_path, "PC_PATH_MAX") if hasattr(os, "pathconf") else 0
    if not limit > 1024:
        pytest.skip("needs a system whose longest path can be asked for")
    deep = tmp_path
    while len(str(deep)) + 220 < limit:
        deep /= "d" * 200
    deep /= "d" * (limit - len(str(deep)) - 20)
    deep.mkdir(parents=True)
    with pytest.raises(EngineError, match="longer than this system takes"):
        check_run_folder(deep)


def test_windows_does_not_say_that_a_path_is_too_long(windows, tmp_path):
    """It says that there is no such file; ITK says nothing."""
    deep = tmp_path / "x" / ("d" * 250)
    for problem in (FileNotFoundError(errno.ENOENT, "No such file or directory"), RuntimeError("ITK")):
        assert "longer than this system takes" in not_written("a.nii.gz", deep, problem).sentence
        assert "longer" not in not_written("a.nii.gz", tmp_path, problem).sentence


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("case 1", True),
        ("Jürgen Müller (Klinik)", True),
        ("console", True),
        ("CON", False),
        ("nul.nii.gz", False),
        ("com1", False),
        ("Lpt9.txt", False),
        ("aux .txt", False),
        ("a.", False),
        ("a ", False),
        ("2026-01-01T12:30", False),
        ("a?b", False),
        ("", False),
        ("tab\tin", False),
    ],
)
def test_names_that_windows_has_not(name, good):
    assert is_windows_name(name) == good
    if not good and hasattr(PureWindowsPath, "is_reserved") and name.isalnum():  # pathlib knows the devices
        assert PureWindowsPath(name).is_reserved()


class Recorded:
    def __init__(self, problem: OSError | None = None) -> None:
        self.calls, self.problem = [], problem

    def __call__(self, *arguments):
        self.calls.append(arguments)
        if self.problem:
            raise self.problem


@pytest.mark.parametrize("refusal", [None, OSError(errno.ENOTSUP, "Operation not supported")])
def test_macos_is_asked_to_empty_the_disks_own_cache(tmp_path, monkeypatch, refusal):
    fcntl = pytest.importorskip("fcntl")
    full, plain = Recorded(refusal), Recorded()
    monkeypatch.setattr(files.sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full)
    monkeypatch.setattr(files.os, "fsync", plain)
    write_json(tmp_path / "a.json", {"a": 1})
    assert [call[1] for call in full.calls] == [51]
    assert len(plain.calls) == (refusal is not None)
    assert files.read_json(tmp_path / "a.json") == {"a": 1}


def test_a_folder_whose_modes_cannot_be_set_takes_a_model(tmp_path, monkeypatch):
    """exFAT and many network disks refuse chmod."""
    pytest.importorskip("torch")
    from DALESegmentLib.engine.bundle.bundle import load_plan, save_bundle
    from DALESegmentLib.engine.planning.networks import build
    from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
    from Testing.phantoms import ball_case

    def refused(self, mode, **_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    plan = make_plan([CaseFingerprint.of(ball_case())])
    bundle = save_bundle(tmp_path, build(plan.network, plan.network_arguments), plan, {})
    assert load_plan(bundle) == plan


@pytest.mark.parametrize(("system", "asked"), [("win32", [".UTF-8"]), ("darwin", []), ("linux", [])])
def test_on_windows_the_c_library_takes_paths_for_utf8(monkeypatch, system, asked):
    """SimpleITK's readers go through it."""
    wanted = []
    monkeypatch.setattr(images.sys, "platform", system)
    monkeypatch.setattr(images.locale, "setlocale", lambda category, name: wanted.append(name))
    images.take_utf8_paths()
    assert wanted == asked
