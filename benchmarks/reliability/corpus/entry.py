"""One piece of bad input, and what has to come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

Expected = Literal["refused", "right", "either"]
"""either: no reader can detect it, such as a changed bit in voxels that have no checksum."""
SHAPE = (8, 30, 40)


@dataclass(frozen=True)
class Entry:
    """request: an object, or the bytes of a line; codes: error codes that are right, any where empty."""

    name: str
    request: dict[str, Any] | bytes
    expected: Expected = "refused"
    codes: tuple[str, ...] = ()


Source = Callable[[Path], Iterator[Entry]]
"""Makes its files in an empty folder, one entry after the other."""


def reading(name: str, image: Path, label: Path | None, expected: Expected = "refused", *codes: str) -> Entry:
    """A case to plan a training for, which reads all of it and writes nothing."""
    item = {"name": "case", "images": [str(image)], **({} if label is None else {"label": str(label)})}
    return Entry(name, {"command": "plan", "parameters": {"cases": {"items": [item]}}}, expected, codes)


def planning(name: str, cases: dict[str, Any], expected: Expected = "refused", *codes: str) -> Entry:
    return Entry(name, {"command": "plan", "parameters": {"cases": cases}}, expected, codes)


def line(name: str, request: dict[str, Any] | bytes, expected: Expected = "refused", *codes: str) -> Entry:
    return Entry(name, request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n", expected, codes)


def an_image() -> np.ndarray:
    """Voxels that do not compress to nothing."""
    return np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)


def a_label() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:5, 8:20, 10:30] = 1
    return label


def write(path: Path, array: np.ndarray, *, vector: bool = False, compressed: bool = True) -> Path:
    """With ITK alone, so that what our own writer would refuse can be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path), useCompression=compressed)
    return path


def good_pair(folder: Path, extension: str = ".nii.gz") -> tuple[Path, Path]:
    return write(folder / f"image{extension}", an_image()), write(folder / f"label{extension}", a_label())
