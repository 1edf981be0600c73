"""The samples for setting the server up: the Dockerfile is linted, and `serve` has every option that they use."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.structure import REPOSITORY

SAMPLES = REPOSITORY / "docs" / "server"


def test_the_dockerfile_is_clean():
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, str(SAMPLES / "Dockerfile")], capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_what_they_start_has_these_options():
    command = (sys.executable, "-m", "DALESegmentLib.engine", "serve", "--help")
    helped = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, cwd=REPOSITORY)
    known = set(re.findall(r"--[a-z-]+", helped.stdout))
    texts = [
        SAMPLES / "Dockerfile",
        SAMPLES / "compose.yaml",
        SAMPLES / "dalesegment.service",
        SAMPLES.parent / "server.md",
    ]
    lines = [line for text in texts for line in text.read_text(encoding="utf-8").splitlines() if "serve" in line]
    used = {option for line in lines for option in re.findall(r"--[a-z-]+", line.split("serve", 1)[1])}
    assert used >= {"--http", "--data", "--add-user", "--host"}
    assert used - {"--help"} <= known


def test_the_compose_file_publishes_on_this_computer_alone():
    yaml = pytest.importorskip("yaml")
    engine = yaml.safe_load((SAMPLES / "compose.yaml").read_text(encoding="utf-8"))["services"]["engine"]
    assert all(port.startswith("127.0.0.1:") for port in engine["ports"])
    assert (REPOSITORY / engine["build"]["dockerfile"]).is_file()
