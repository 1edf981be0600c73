"""How the engine is found, started and ended on systems that this one is not."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engine_lines import TRIAL_ENGINE

from DALESegmentLib.engine.rpc import client
from DALESegmentLib.engine.rpc.client import EngineClient, slicer_python

LAYOUTS = {
    "linux": ("bin/SlicerApp-real", "bin/PythonSlicer"),
    "win32": ("bin/SlicerApp-real.exe", "bin/PythonSlicer.exe"),
    "darwin": ("Contents/MacOS/Slicer", "Contents/bin/PythonSlicer"),
}


@pytest.mark.parametrize("system", LAYOUTS)
def test_slicers_python_is_found_from_its_application(tmp_path, monkeypatch, system):
    """Slicer's sys.executable is the application: started as a Python, it would open another window."""
    monkeypatch.setattr(client.sys, "platform", system)
    application, python = (tmp_path / "Slicer 5.13 (Jürgen)" / part for part in LAYOUTS[system])
    for file in (application, python):
        file.parent.mkdir(parents=True, exist_ok=True)
    application.touch()
    assert slicer_python(str(application)) is None
    python.touch()
    assert Path(slicer_python(str(application))) == python


def test_without_slicer_it_is_this_python():
    assert slicer_python() is None
    assert client.SERVE[0] == sys.executable
    assert slicer_python("") is None  # some embedded Pythons have no sys.executable


@pytest.mark.parametrize("code", [-9, 0xC0000017, 0xC000012D])
def test_an_engine_that_memory_ended_is_said_to_be_one(code):
    assert "memory" in client._gone(code).sentence
    assert "memory" not in client._gone(1).sentence


WITH_BREAK = """
import runpy, signal, sys
signal.SIGBREAK = signal.SIGUSR1
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="lends Windows' signal another one's number")
def test_a_console_that_is_closed_ends_the_engine_politely():
    """Windows says so by SIGBREAK, which ends a process at once where it is not taken."""
    command = [sys.executable, "-c", WITH_BREAK, TRIAL_ENGINE[1]]
    engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert json.loads(engine.stdout.readline())["event"] == "ready"
        engine.send_signal(signal.SIGUSR1)
        assert engine.wait(5) == 128 + signal.SIGUSR1
    finally:
        engine.kill()
        engine.communicate()


@pytest.mark.slow
def test_an_engine_serves_from_a_folder_with_umlauts(tmp_path, monkeypatch):
    """Its working folder, its temporary files and the library's own place."""
    home = tmp_path / "Jürgen Müller (Klinik)"
    (home / "Temp").mkdir(parents=True)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(home / "Temp"))
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.chdir(home)
    with EngineClient() as engine:
        assert engine.call("doctor", {"folder": str(home / "Temp")})["checks"]
    assert not list((home / "Temp").iterdir())


def test_the_library_starts_processes_by_subprocess_alone():
    """No fork, which Windows has not and macOS does not survive; no workers that import the caller's script again."""
    library = Path(client.__file__).parents[2]
    for file in sorted(library.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        named |= {
            keyword.arg or "" for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords
        }
        assert not named & {"fork", "forkpty", "multiprocessing", "concurrent.futures", "preexec_fn", "num_workers"}, (
            file
        )


@pytest.mark.slow
def test_nothing_of_the_engine_forks_or_asks_for_what_windows_lacks():
    """Its commands and the process, imported where the POSIX modules and calls are missing."""
    pytest.importorskip("torch")
    code = (
        "import sys, os\n"
        "import torch, monai, skimage, sklearn, SimpleITK, psutil, filelock\n"  # they look for themselves
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'posix'): sys.modules[name] = None\n"
        "for name in ('fork', 'getuid', 'geteuid', 'sched_getaffinity', 'killpg', 'setsid', 'getloadavg',\n"
        "             'sysconf', 'pathconf', 'mkfifo', 'chown'):\n"
        "    delattr(os, name) if hasattr(os, name) else None\n"
        "sys.platform = 'win32'\n"
        "from importlib import import_module\n"
        "from DALESegmentLib.engine.rpc import server, job_registry\n"
        "from DALESegmentLib.engine.rpc.job_registry import JOBS, WARM, COMMANDS\n"
        "for name in COMMANDS: import_module(f'DALESegmentLib.engine.commands.{name}')\n"
        "for name in WARM: import_module(name)\n"
        "from DALESegmentLib.engine.core.memory import available_memory\n"
        "assert available_memory() > 0\n"
        "from DALESegmentLib.engine.commands.doctor import examine\n"
        "print(len(examine(None)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=200)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 3
