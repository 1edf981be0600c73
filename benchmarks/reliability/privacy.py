"""Planted identifiers: none may be found in what the engine writes or prints, but in what its user asked for by name.

A DICOM series with a marked patient, in folders with marked names, is trained on, reviewed, fine-tuned, predicted, and
made to fail. Then everything written is searched: the model, the results, progress, errors, standard error.
The run folder's own record (run.json) holds the data's place, or nothing could be resumed; it is not searched, and
SECURITY.md says that it is not for giving away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .lines_engine import REPOSITORY, LinesEngine

MARK = "ZZPLANTED"
TAGS = {
    "0010|0010": f"{MARK}NAME^Anna",
    "0010|0020": f"{MARK}ID4711",
    "0010|0030": "19330317",
    "0008|0020": "19991231",
    "0008|0090": f"{MARK}REFERRER",
    "0008|0080": f"{MARK}HOSPITAL",
    "0008|103e": f"{MARK}SERIES",
    "0020|4000": f"{MARK}COMMENT",
}
WANTED = (MARK, "19330317", "19991231")


def run(root: Path) -> list[str]:
    """Where a planted word was found; empty where nowhere. root: an empty folder."""
    place = root / f"{MARK}PATH"
    for n in range(2):
        _series(place / "data" / f"case{n}", seed=n)
    environment = {"HOME": str(place / "home"), "USER": f"{MARK}USER"}
    with LinesEngine(environment) as engine:
        for command, parameters in _requests(place):
            engine.event(command, parameters)
        engine.ask("ping")
        said = [event for event in engine.events if event["event"] != "result"]
    texts = {"standard error": "".join(engine.messages).encode(), "progress and errors": json.dumps(said).encode()}
    texts["doctor --report"] = _doctor(place, environment)
    found = [where for where, text in texts.items() if _holds(text)]
    return found + [name for name, content in _written(place / "out") if _holds(content)]


def _requests(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    cases, out = {"folder": str(place / "data")}, place / "out"
    short = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}
    model = str(out / "run")
    yield "train", {"cases": cases, "out": model, **short}
    yield "finetune", {"model": model, "cases": cases, "out": str(out / "tuned"), **short}
    for command in ("predict", "confidence", "review"):
        yield command, {"model": model, "cases": cases, "out": str(out / command), "device": "cpu"}
    # failures of every kind: what cannot be read, cannot be written, and is not there
    (place / "broken" / "case").mkdir(parents=True)
    (place / "broken" / "case" / "image.nii.gz").write_bytes(b"damaged")
    (place / "file").write_text("")
    yield "plan", {"cases": {"folder": str(place / "broken")}}
    yield "plan", {"cases": {"folder": str(place / "none" / "case")}}
    yield "train", {"cases": cases, "out": str(place / "file" / "run"), **short}
    yield "predict", {"model": str(place / "none" / "model"), "cases": cases, "out": str(out / "x")}


def _written(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "run.json":
            yield str(path.relative_to(folder)), path.read_bytes()


def _holds(content: bytes) -> bool:
    return any(word.encode() in content or word.encode("utf-16-le") in content for word in WANTED)


def _doctor(place: Path, environment: dict[str, str]) -> bytes:
    command = [sys.executable, "-m", "DALESegmentLib.engine", "doctor", "--report", "--folder", str(place)]
    values = {**os.environ, **environment, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=values, cwd=place, capture_output=True, timeout=300, check=False)
    if done.returncode or b"SimpleITK" not in done.stdout:
        raise RuntimeError(f"the doctor did not report: {done.stderr[-500:]!r}")
    return done.stdout + done.stderr


def _series(case: Path, seed: int) -> None:
    """image/: DICOM slices with marked tags; label.nii.gz on their grid."""
    (case / "image").mkdir(parents=True)
    random = np.random.default_rng(seed)
    label = np.zeros((6, 24, 24), np.uint8)
    label[2:4, 8:16, 8:16] = 1
    voxels = (random.integers(0, 100, label.shape) + 200 * label).astype(np.int16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, plane in enumerate(voxels):
        image = sitk.GetImageFromArray(plane)
        uid = f"1.2.826.0.1.3680043.2.1125.{seed + 1}"
        for tag, value in {
            **TAGS,
            "0008|0060": "CT",
            "0020|000d": uid,
            "0020|000e": f"{uid}.1",
            "0008|0018": f"{uid}.1.{k + 1}",
            "0020|0013": str(k + 1),
            "0020|0032": f"0\\0\\{k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(case / "image" / f"{MARK}{k}.dcm"))
        writer.Execute(image)
    sitk.WriteImage(sitk.GetImageFromArray(label), str(case / "label.nii.gz"))
