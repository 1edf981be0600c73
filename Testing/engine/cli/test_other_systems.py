"""Consoles, pipes and user folders as they are on Windows and on old terminals: real processes, real code pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = pytest.mark.slow

USER = "Jürgen Müller (Klinik)"
CASE = "Łukasz Größe"
OLD_CODE_PAGE = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252:strict"}  # of a pipe on Windows
NO_LOCALE = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
ENCODINGS = pytest.mark.parametrize("encoding", [OLD_CODE_PAGE, NO_LOCALE, {}], ids=["cp1252", "C", "own"])


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home") / USER / "Eigene Dateien"
    (folder / CASE).mkdir(parents=True)
    label = np.zeros((8, 10, 12), np.uint8)
    label[2:5, 2:7, 3:9] = 1
    for stem, array in (("image", label * 100.0), ("label", label)):
        write(array, folder / CASE / f"{stem}.nii.gz")
    return folder


def write(array: np.ndarray, path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def run(encoding: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LC_")} | encoding
    command = [sys.executable, "-m", "DALESegmentLib.engine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, env=environment)


@ENCODINGS
def test_names_that_an_output_cannot_hold_are_still_json(cases, encoding):
    done = run(encoding, "inspect", "--data", cases, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("cp1252" if encoding is OLD_CODE_PAGE else "utf-8"))
    assert CASE in json.dumps(json.loads(done.stdout), ensure_ascii=False)


@ENCODINGS
def test_they_are_printed_too(cases, encoding):
    done = run(encoding, "inspect", "--data", cases)
    assert done.returncode == 0, done.stderr
    assert b"ukasz" in done.stdout


def test_an_error_about_such_a_folder_is_a_sentence(cases):
    done = run(OLD_CODE_PAGE, "inspect", "--data", cases / "Łeer")
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: ")
    assert b"Traceback" not in done.stderr
