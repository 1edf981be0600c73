"""Without the system libraries of views and Qt, tests are skipped by name and the scene is still written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from DALESegmentLib.mrml.drawing import EGL, missingForDrawing
from Testing.system_libraries import INSTALL, PACKAGES

REPOSITORY = Path(__file__).parents[1]
HIDDEN = ("EGL", "GL", "glib-2.0", "xkbcommon", "dbus-1", "fontconfig")
UNSHARE = ["unshare", "--mount", *([] if os.name == "nt" or os.geteuid() == 0 else ["--map-root-user"])]


def not_there(name: str):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux draws through a library that may be missing")
def test_the_missing_library_is_named():
    assert EGL in missingForDrawing(load=not_there)


def test_a_display_is_drawn_on_without_egl(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    loaded = []
    assert missingForDrawing(load=loaded.append) is None
    assert EGL not in loaded


def test_every_place_installs_the_same_packages():
    asked = re.search(r"apt-get install -y -qq (.*?) >", (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8"))
    assert asked[1].split() == list(PACKAGES)


@cache
def hiding() -> str:
    """Shell commands that hide the libraries from one process and its children: the loader finds an empty file."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, encoding="utf-8", env={"PATH": "/sbin:/usr/sbin"})
    found = re.findall(r"^\s*lib([\w.-]+?)\.so[.\d]* .*=> (\S+)$", listed.stdout, re.MULTILINE)
    files = {os.path.realpath(path) for name, path in found if name in HIDDEN}
    return " && ".join(f"mount --bind /dev/null {shlex.quote(file)}" for file in sorted(files)) or "true"


@pytest.fixture(scope="module")
def bare():
    """Runs a command where the libraries cannot be loaded; returns its exit status and what it said."""
    if sys.platform != "linux":
        pytest.skip("libraries can be hidden from a process on Linux alone")
    tried = subprocess.run([*UNSHARE, "sh", "-c", hiding()], capture_output=True, encoding="utf-8")
    if tried.returncode:
        pytest.skip(f"a process cannot hide libraries from itself here: {tried.stderr.strip()}")

    def run(*arguments: str) -> tuple[int, str]:
        command = f"{hiding()} && exec {shlex.join([sys.executable, *arguments])}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        environment |= {"PYTHONPATH": str(REPOSITORY)}
        environment.pop("DISPLAY", None)
        done = subprocess.run(
            [*UNSHARE, "sh", "-c", command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            cwd=REPOSITORY, env=environment, timeout=240,
        )  # fmt: skip
        return done.returncode, done.stdout

    return run


needs_a_scene = pytest.mark.skipif(find_spec("slicer") is None, reason="slicer-core is not installed")
needs_qt = pytest.mark.skipif(find_spec("PySide6") is None, reason="PySide6 is not installed")


@needs_a_scene
@needs_qt
@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("-n", "1")], ids=["one process", "pytest-xdist"])
def test_tests_that_need_the_libraries_are_skipped_and_name_them(bare, processes):
    files = ("Testing/mrml/test_heat_map_in_new_views.py", "Testing/mrml/test_charts.py", "Testing/ui/test_standin.py")
    status, told = bare("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *processes, *files)
    assert status == 0, told
    reasons = re.findall(r"^SKIPPED \[\d+\] (\S+?)[:\d]*: (.*)$", told, re.MULTILINE)
    assert len(reasons) == 2, told
    assert any(EGL in reason for _file, reason in reasons)
    assert any("Qt needs a system library: " in reason and ".so" in reason for _file, reason in reasons)
    assert re.search(r"[1-9]\d* passed, 2 skipped", told)  # those of the charts need no library


@needs_a_scene
@pytest.mark.slow
def test_a_demonstration_writes_its_scene_without_pictures(bare, tmp_path):
    pytest.importorskip("matplotlib", reason="the demonstration draws with matplotlib")
    status, told = bare("-m", "Testing.demo.scene_sample", str(tmp_path))
    assert status == 0, told
    assert EGL in told
    assert (tmp_path / "scene.mrb").stat().st_size > 1000
    assert not (tmp_path / "slicer-views.png").exists()


@needs_a_scene
@needs_qt
def test_the_line_that_installs_them_is_printed_once(bare):
    status, told = bare("-m", "Testing.system_libraries")
    assert status == 0
    assert told.count(INSTALL) == 1
