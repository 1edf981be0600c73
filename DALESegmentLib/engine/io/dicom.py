"""A folder of DICOM slices as one volume, or a clear refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from .case import extension_of
from .checks import unreadable
from .dicom_kind import IMAGE, is_dicom, kind_of_dicom

POSITION, ORIENTATION = "0020|0032", "0020|0037"
PIXELS = b"\xe0\x7f\x10\x00"  # tag (7FE0,0010)


def holds_dicom(folder: Path) -> bool:
    """Is any file without another image's ending a DICOM image? Segmentations, reports and the like are none."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return any(_is_image(path) for path in files if extension_of(path) in ("", ".dcm"))


def _is_image(path: Path) -> bool:
    try:
        return kind_of_dicom(path) == IMAGE
    except EngineError:  # cut short: reading it will say so
        return True


def read_series(folder: Path) -> sitk.Image:
    """The volume of a folder of DICOM slices, with rescale slope and intercept applied.

    Of several series, one is taken only where every other is at most a quarter as long (scouts). Raises
    EngineError("dicom-none", "dicom-several", "dicom-spacing", "dicom-tilted" or "unreadable-file").
    """
    names = _choose_series(folder)
    try:
        if len(names) == 1:
            return sitk.ReadImage(names[0])
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(names)
        reader.MetaDataDictionaryArrayUpdateOn()
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(folder, "its slices do not form one volume") from error
    return _with_true_spacing(image, _positions(reader, len(names), folder), folder)


def _check_all_listed(folder: Path, listed: set[str]) -> None:
    """The reader passes over slices that are cut short: the first or last would be gone without a word."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in listed and is_dicom(path) and PIXELS in path.read_bytes():
            raise unreadable(path)


def _choose_series(folder: Path) -> tuple[str, ...]:
    series = [
        sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    ]
    _check_all_listed(folder, {Path(name).name for names in series for name in names})
    series.sort(key=len, reverse=True)
    if not series:
        raise EngineError("dicom-none", f"The folder {folder.name} holds no DICOM images; choose another folder.")
    if len(series) > 1 and 4 * len(series[1]) > len(series[0]):
        counts = ", ".join(str(len(s)) for s in series)
        raise EngineError(
            "dicom-several",
            f"The folder {folder.name} holds {len(series)} DICOM series (with {counts} slices); "
            "put the one you want in a folder of its own.",
        )
    return tuple(series[0])


def _positions(reader: sitk.ImageSeriesReader, slices: int, folder: Path) -> np.ndarray:
    """(slices, 3) LPS mm of each slice's first voxel, all slices facing the same way."""
    if not all(reader.HasMetaDataKey(n, key) for n in range(slices) for key in (POSITION, ORIENTATION)):
        raise EngineError(
            "dicom-spacing",
            f"The slices of {folder.name} do not say where they lie; export the original series again.",
        )
    facing = [_numbers(reader.GetMetaData(n, ORIENTATION)) for n in range(slices)]
    if not np.allclose(facing, facing[0], atol=1e-3):
        raise EngineError(
            "dicom-spacing",
            f"The slices of {folder.name} do not face the same way; put one stack in a folder of its own.",
        )
    return np.array([_numbers(reader.GetMetaData(n, POSITION)) for n in range(slices)])


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split("\\")]


def _with_true_spacing(image: sitk.Image, positions: np.ndarray, folder: Path) -> sitk.Image:
    """Check that the slices are evenly spaced along their normal and set that spacing."""
    normal = np.array(image.GetDirection()).reshape(3, 3)[:, 2]
    depths = positions @ normal
    gaps = np.abs(np.diff(depths))
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3:
        raise EngineError(
            "dicom-spacing",
            f"{folder.name} has several slices at the same position; "
            "put one time point or echo in a folder of its own.",
        )
    if np.abs(gaps - usual).max() > max(0.02 * usual, 0.01):
        raise EngineError(
            "dicom-spacing",
            f"The slices of {folder.name} are unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm), "
            "so slices are probably missing; export the whole series again.",
        )
    aside = positions - positions[0] - np.outer(depths - depths[0], normal)
    if np.linalg.norm(aside, axis=1).max() > 0.5 * min(image.GetSpacing()[:2]):
        raise EngineError(
            "dicom-tilted",
            f"The slices of {folder.name} are shifted against each other (tilted gantry); "
            "resample the series to straight slices first.",
        )
    image.SetSpacing((*image.GetSpacing()[:2], abs(float(depths[-1] - depths[0])) / len(gaps)))
    return image
