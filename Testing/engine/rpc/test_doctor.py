from __future__ import annotations

import getpass
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from DALESegmentLib.engine.commands import doctor
from DALESegmentLib.engine.inference import graph_cache
from DALESegmentLib.engine.rpc.client import EngineClient

pytestmark = pytest.mark.slow

NAMES = {
    "Python",
    "torch",
    "monai",
    "SimpleITK",
    "numpy",
    "scipy",
    "scikit-image",
    "Memory",
    "Disk",
    "OpenVINO",
    "3D Slicer",
}
WITHOUT = """
import importlib.metadata, json, sys
for name in ("torch", "monai", "psutil"):
    sys.modules[name] = None  # as Python itself marks what cannot be imported
real = importlib.metadata.version
def version(name):
    if name in ("torch", "monai", "psutil"):
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.version = version
from DALESegmentLib.engine.commands.doctor import examine
print(json.dumps(examine()))
"""


def test_the_doctor_names_everything_and_nobody(tmp_path):
    with EngineClient() as engine:
        checks = engine.call("doctor", {"folder": str(tmp_path / "not" / "yet")})["checks"]
    names = [check["name"] for check in checks]
    assert set(names) >= NAMES
    assert any(name.startswith("GPU") for name in names)
    assert all(set(check) == {"name", "ok", "value", "advice"} for check in checks)
    assert all(check["advice"].endswith(".") for check in checks if not check["ok"])
    text = json.dumps([[check["value"], check["advice"]] for check in checks])
    for secret in (
        str(Path.home()),
        str(tmp_path),
        sys.prefix,
        socket.gethostname(),
        f"/{getpass.getuser()}",
    ):
        assert secret not in text


def test_the_doctor_needs_no_patient():
    """Without torch, MONAI and psutil it still runs, and says what to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, encoding="utf-8", check=True)
    found = {check["name"]: check for check in json.loads(done.stdout)}
    for name in ("torch", "monai", "psutil"):
        assert not found[name]["ok"]
        assert found[name]["advice"].startswith(f"Install {name}")
    assert not found["GPU"]["ok"]
    assert found["numpy"]["ok"]


def test_the_doctor_says_whether_openvino_would_help(tmp_path, monkeypatch):
    """With its size where it is missing; how often it was the faster one where something was measured."""
    real = doctor.importlib.metadata.version

    def without(name):
        if name == "openvino":
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return real(name)

    def check():
        (found,) = [one for one in doctor.examine() if one["name"] == "OpenVINO"]
        return found

    monkeypatch.setenv(graph_cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(doctor.importlib.metadata, "version", without)
    monkeypatch.setattr(doctor, "_has_vectors", lambda: True)
    assert "60 MB" in check()["advice"]
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda name: "2026.4" if name == "openvino" else real(name)
    )
    assert "measured against torch when" in check()["value"]
    graph_cache.save_json("a.json", {"backend": "openvino"})
    graph_cache.save_json("b.json", {"backend": "torch"})
    graph_cache.save_json("c.json", {"dice": 1.0})
    assert check()["value"] == "2026.4, faster than torch for 1 of 2 networks measured here"
