"""Class probabilities that any program wrote for a case: nnU-Net's .npz, or an image with one channel a class."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from ..core.errors import EngineError
from ..geometry.grid import Geometry
from .case import extension_of, stem_of
from .checks import check_exists, check_same_grid
from .images import read_image

KEYS = ("probabilities", "softmax")
SUM_TOLERANCE = 0.02
"""Around 1: probabilities in half precision, or in 255 steps, add up to within it for a few classes."""
MOST_CLASSES = 256


def find_probabilities(folder: Path, case: str) -> Path:
    """<folder>/<case>.npz, else an image of that name, or <folder>/<case>/probabilities.*, as `predict` writes it.

    Beside an .npz an image of its name is the segmentation that nnU-Net writes with it.

    Raises EngineError("no-probabilities", "several-results").
    """
    beside = [path for path in _files(folder) if _stem(path) == case]
    below = [path for path in _files(folder / case) if _stem(path) == "probabilities"]
    found = ([path for path in beside if _is_npz(path)] or beside) + below
    if not found:
        raise EngineError(
            "no-probabilities",
            f"There are no probabilities of {case[:100]} in {folder.name}; put {case[:100]}.npz, .nii.gz or .nrrd "
            "there, with one channel a class, or leave the case out with --exclude.",
        )
    if len(found) > 1:
        raise EngineError(
            "several-results",
            f"Of {case} there are {found[0].name} and {found[1].name}, which may be of different times; "
            "move away what is not meant.",
        )
    return found[0]


def count_classes(path: Path) -> int:
    """Channels of a file of probabilities. Raises as `read_probabilities`."""
    if _is_npz(path):
        return _npz_shape(path)[0]
    return int(read_image(path)[0].shape[0])


def read_probabilities(path: Path, geometry: Geometry, image_name: str, classes: int) -> np.ndarray:
    """(K, *grid) float32, which sums to 1 over K, of a case with this grid.

    Raises EngineError("probabilities-shape", "probabilities-sum", "geometry-mismatch", "unreadable-file") and what
    `read_image` raises.
    """
    wanted = (classes, *geometry.array_shape)
    if _is_npz(path):
        _check_shape(path, _npz_shape(path), wanted)
        values = _npz_values(path)
        if values.shape != wanted:
            values = values.reshape(wanted)
    else:
        values, grid = read_image(path)
        check_same_grid(geometry, image_name, grid, path.name, "give the probabilities of this image")
        _check_shape(path, values.shape, wanted)
    values = np.ascontiguousarray(values, np.float32)
    total = values.sum(0)
    good = np.isfinite(total).all() and values.min() >= -SUM_TOLERANCE and np.abs(total - 1).max() <= SUM_TOLERANCE
    if not good:
        raise EngineError(
            "probabilities-sum",
            f"The values of {path.name} are no probabilities that sum to 1 over the classes; "
            "write those after the softmax, with the background as the first class.",
        )
    np.clip(values, 0, 1, out=values)
    values /= values.sum(0)
    return values


def _is_npz(path: Path) -> bool:
    return path.name.lower().endswith(".npz")


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file()] if folder.is_dir() else []


def _stem(path: Path) -> str:
    """ "" for other files than images and .npz."""
    if _is_npz(path):
        return path.name[:-4]
    return stem_of(path) if extension_of(path) else ""


def _check_shape(path: Path, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """A picture may have one slice more."""
    if shape != wanted and not (shape == (wanted[0], 1, *wanted[1:]) and len(wanted) == 3):
        raise EngineError(
            "probabilities-shape",
            f"{path.name} has the shape {_times(shape)}, but its image and the classes of its label make "
            f"{_times(wanted)} (classes, then slices, rows and columns); give the probabilities on the image's grid.",
        )


def _npz_shape(path: Path) -> tuple[int, ...]:
    """From the header of the array, before anything is unpacked. Raises EngineError("unreadable-file")."""
    check_exists(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive)) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = read(member)
            size = archive.getinfo(member.name).file_size
        if kind.kind in "iub":
            raise EngineError(
                "probabilities-type",
                f"{path.name} holds whole numbers; write the probabilities as floats, one channel a class.",
            )
        if kind.kind != "f" or not 2 <= len(shape) <= 4 or math.prod(shape) * kind.itemsize > size:
            raise ValueError("no array of floats of that size")
    except EngineError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds
        raise _unreadable(path) from error
    if not 2 <= shape[0] <= MOST_CLASSES:
        raise EngineError(
            "probabilities-shape",
            f"{path.name} has {shape[0]} channels; it takes one for the background and one for each class.",
        )
    return tuple(shape)


def _member(archive: zipfile.ZipFile) -> str:
    names = set(archive.namelist())
    return next(f"{key}.npy" for key in KEYS if f"{key}.npy" in names)


def _npz_values(path: Path) -> np.ndarray:
    """The shape is known to be that of the image by now. Nothing in the file is run."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            values: np.ndarray = stored[next(key for key in KEYS if key in stored)]
            return values
    except Exception as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> EngineError:
    return EngineError(
        "unreadable-file",
        f"{path.name} cannot be read: it is damaged, or holds no array called {' or '.join(KEYS)}; "
        "let nnU-Net write it with --save_probabilities.",
    )


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in shape)
