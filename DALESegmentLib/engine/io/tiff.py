"""TIFF through tifffile: channels, slices, indexed colours, pyramids and numbers of any kind, by their axes' names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.notes import note, quiet
from .checks import unreadable
from .integrity import check_complete, check_size
from .itk_files import itk_warnings
from .pictures import shown

_CHANNELS, _SLICES = "CS", "ZIQ"
_PAGES = ("YX", "YXS", "SYX")
_WORDS = {"T": "time points", "H": "lifetimes", "L": "excitations", "M": "mosaic tiles", "P": "phases", "R": "tiles"}
_COLOURS = {5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a camera's raw filter"}
_WHITE_IS_ZERO, _PALETTE, _ORIENTATION = 0, 3, 274


@quiet()
def read_tiff(path: Path, indices: bool = False) -> np.ndarray:
    """Pixels (C, j, i), or (C, k, j, i) where there are several pages, as they are stored.

    Of a pyramid the largest level. Transparency is dropped. indices: of indexed colours, the indices instead of the
    colours.
    Raises EngineError("unreadable-file", "tiff-axes", "tiff-pages", "voxel-kind", "picture-colours", "leads-out",
    "file-too-large" or "missing-codec").
    """
    import tifffile

    check_complete(path)
    try:
        with tifffile.TiffFile(path) as tif:
            several = _chosen(tif, path)
            axes, page = several[0].axes, several[0].keyframe
            _check_kind(path, several[0], page, len(several))
            arrays = [_decoded(path, series) for series in several]
            if len(arrays) > 1:  # pages that were written one by one
                return _arranged(path, np.stack(arrays), "Z" + axes, page, indices)
            return _arranged(path, arrays[0], axes, page, indices)
    except EngineError:
        raise
    except Exception as error:  # tifffile raises whatever a damaged file happens to cause
        raise unreadable(path) from error


def _chosen(tif: Any, path: Path) -> list[Any]:
    """The series that holds the picture and all its pages, or several of one page each."""
    whole = [series for series in tif.series if not (series.keyframe.is_reduced or series.keyframe.is_mask)]
    series = whole or list(tif.series)
    if not series:
        raise unreadable(path, "it holds no picture")
    if any(page.parent is not tif for one in series for page in one.pages if page is not None):
        raise EngineError(
            "leads-out", f"{path.name} takes its pixels from other files; save it as one file, and read that."
        )
    if len(series) > 1 and len({(s.shape, s.dtype, s.axes) for s in series}) == 1 and series[0].axes in _PAGES:
        return series
    first = max(series, key=lambda s: math.prod(s.shape))
    for other in series:
        if other is not first and not _is_smaller(other, first):
            sizes = ", ".join(" × ".join(map(str, s.shape)) for s in series[:4])
            raise EngineError(
                "tiff-pages",
                f"{path.name} holds pictures of different sizes ({sizes}); save each as a file of its own.",
            )
    if len(tif.series) > 1 or len(first.levels) > 1:
        note(f"{path.name} is a pyramid; its largest level of {first.keyframe.imagewidth} pixels across is read.")
    return [first]


def _is_smaller(other: Any, first: Any) -> bool:
    """Whether it is a level of the same pyramid: both sides shrunk alike, nothing else differs."""
    if other.dtype != first.dtype or other.axes != first.axes:
        return False
    wide = first.keyframe.imagewidth / other.keyframe.imagewidth
    high = first.keyframe.imagelength / other.keyframe.imagelength
    return wide >= 1.5 and abs(wide - high) <= 0.02 * wide + 2 / min(
        other.keyframe.imagewidth, other.keyframe.imagelength
    )


def _check_kind(path: Path, series: Any, page: Any, count: int) -> None:
    if int(page.photometric) in _COLOURS:
        raise EngineError(
            "picture-colours", f"{path.name} has colours of the kind {_COLOURS[int(page.photometric)]}; save it as RGB."
        )
    if series.dtype is None:
        raise EngineError("voxel-kind", f"{path.name} has pixels of {page.bitspersample} bits; save it with 8 or 16.")
    if series.dtype.kind not in "buif":
        raise EngineError("voxel-kind", f"{path.name} holds {series.dtype} numbers; save it as plain numbers.")
    for axis, size in zip(series.axes, series.shape, strict=True):
        if size > 1 and axis not in "YX" + _CHANNELS + _SLICES:
            raise EngineError(
                "tiff-axes",
                f"{path.name} holds {size} {_WORDS.get(axis, f'steps along an axis {axis}')}; "
                "save each of them as a file of its own.",
            )
    unknown = [size for axis, size in zip(series.axes, series.shape, strict=True) if size > 1 and axis in _SLICES]
    if len(unknown) > 1:
        raise EngineError(
            "tiff-axes",
            f"{path.name} has pages along {len(unknown)} axes ({' × '.join(map(str, unknown))}) and does not say which "
            "are slices and which channels; save it as ImageJ or OME TIFF with the names of its axes.",
        )
    voxels = math.prod(series.shape) * count
    check_size(path, voxels * series.dtype.itemsize, voxels)


def _decoded(path: Path, series: Any) -> np.ndarray:
    """By tifffile, or, where it lacks a codec, by ITK if that gives the same shape."""
    try:
        return np.asarray(series.asarray(maxworkers=1))
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        try:
            with itk_warnings():
                array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        except RuntimeError:
            array = None
        if array is None or array.squeeze().shape != tuple(n for n in series.shape if n > 1):
            name = getattr(series.keyframe.compression, "name", str(series.keyframe.compression))
            raise EngineError(
                "missing-codec",
                f"{path.name} is stored in a way ({name}, {series.keyframe.bitspersample} bits) that needs the Python "
                "package imagecodecs; install it with pip install imagecodecs, or save the file uncompressed.",
            ) from error
        return array.reshape(series.shape).astype(series.dtype, copy=False)


def _arranged(path: Path, array: np.ndarray, axes: str, page: Any, indices: bool) -> np.ndarray:
    keep = [n for n, axis in enumerate(axes) if axis in "YX" or array.shape[n] > 1]
    array = array.reshape([array.shape[n] for n in keep])
    axes = "".join(axes[n] for n in keep)
    samples = axes.find("S")
    if samples >= 0 and array.dtype.kind != "f" and [*map(int, page.extrasamples)] in ([1], [2]):  # transparency
        array = np.take(array, range(array.shape[samples] - 1), axis=samples)
    if int(page.photometric) == _WHITE_IS_ZERO:
        note(f"{path.name} shows 0 as white; its numbers are read as they are.")
    order = [n for group in ("C", "S", _SLICES, "Y", "X") for n, axis in enumerate(axes) if axis in group]
    array = array.transpose(order)
    depth = sum(axis in _SLICES for axis in axes)
    array = shown(array.reshape(-1, *array.shape[-2 - depth :]), int(page.tags.valueof(_ORIENTATION, 1)), path)
    if int(page.photometric) == _PALETTE and page.colormap is not None and not indices:
        return _coloured(array, page.colormap)
    return array


def _coloured(array: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(C, ...) of 8 bits: one channel where all colours are grey. The table has 16 bits, or 8 from some programs."""
    table = np.asarray(colours, np.uint16)
    table = (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8)
    channels = table[:1] if (table == table[0]).all() else table
    return np.concatenate([channel[array] for channel in channels])
