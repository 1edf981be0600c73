"""Image and label files to arrays with geometry, and back."""

from __future__ import annotations

import locale
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.files import not_written, replacing, sync
from ..geometry.grid import Geometry
from .case import NIFTI, OTHER_VOLUMES, extension_of, is_picture
from .checks import as_label, check_exists, check_label, check_path, label_values
from .dicom import read_dicom, read_series
from .dicom_kind import is_dicom
from .integrity import is_complete, is_tiff
from .itk_files import channels_of, geometry_of, load_itk
from .label_encoding import one_channel, whole_numbers
from .nifti import read_nifti
from .pictures import read_picture
from .tiff import read_tiff


def take_utf8_paths() -> None:
    """Let ITK open files whose path has umlauts on Windows: SimpleITK hands it UTF-8, most of its readers open files
    through the C library, and that takes them for UTF-8 only in such a locale (Windows 10 1803 and newer)."""
    if sys.platform == "win32":
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, ".UTF-8")


take_utf8_paths()

WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")


def read_image(path: Path | str) -> tuple[np.ndarray, Geometry]:
    """An image as (C, *grid) float32, grid being (k, j, i) or (j, i), and where it lies.

    NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF (several pages: 3D), a DICOM file or a folder with a DICOM series.
    Colours, vectors and the fourth axis of a file become channels; transparency is dropped. Pictures (PNG,
    JPEG, TIFF) get a spacing of 1: their resolution is about printing.

    Raises EngineError("missing-file", "unknown-format", "unreadable-file", "file-axes" or a "dicom-..." code;
    "image-not-finite" for NIfTI alone, where ITK would make zeros of NaN without a word).
    """
    array, geometry = _read(Path(path))
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
            return np.ascontiguousarray(array, np.float32), geometry
    return np.ascontiguousarray(array, np.float32), geometry


def read_label(path: Path | str) -> tuple[np.ndarray, Geometry]:
    """A label map that belongs to no set, such as a mask of trusted voxels, as (*grid) int16 (int32 where values need
    it), and where it lies; what labels of a data set mean is decided for all of them: `read_stored`, `label_decision`.

    In pictures, the value 255 alone means 1, equal colours are one mask, and a JPEG mask is cut at 127.

    Raises what `read_image` raises and EngineError("label-channels", "label-colours", "label-lossy",
    "label-not-whole", "label-negative" or "label-many-values").
    """
    path = Path(path)
    channels, geometry = _read(path, label=True)
    label = whole_numbers(one_channel(channels, path.name))
    if extension_of(path) in (".jpg", ".jpeg"):
        label = _cut_jpeg(label, path)
    check_label(label, path.name)
    if is_picture(path) and set(label_values(label)) <= {0, 255}:
        label = label > 0
    return as_label(label), geometry


def read_stored(path: Path | str) -> tuple[np.ndarray, Geometry]:
    """As `read_label`, but (C, *grid) in the file's own type: before it is decided what the values mean. Of indexed
    colours the indices."""
    return _read(Path(path), label=True)


def write_image(path: Path | str, array: np.ndarray, geometry: Geometry) -> None:
    """Write (*grid) or (C, *grid) to `path`, compressed and atomically, exactly where `geometry` says.

    Whole numbers become the smallest of uint8, uint16, int16, int32; others float32.

    Raises EngineError("unknown-format", "array-shape", "geometry-lost", "format-limits", "cannot-write" or
    "disk-full").
    """
    path = Path(path)
    array = storable(array)
    _check_writable(path, array, geometry)
    image = _to_itk(array, geometry, fourth_axis=extension_of(path) in NIFTI)
    with replacing(path) as temporary:
        save_itk(image, temporary, path.name)


def save_itk(image: sitk.Image, path: Path, name: str) -> None:
    """Write the file, make sure that the disk has it, and check that it is complete: ITK does not say so.

    Raises EngineError("cannot-write" or "disk-full"), calling the file `name`.
    """
    reason: Exception | None = None
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        with path.open("r+b") as file:
            sync(file)
        if is_complete(path) and _size_in(path) == _without_ones(image.GetSize()):
            return
    except (RuntimeError, OSError) as error:
        reason = error
    problem = not_written(name, path.parent, reason)
    with suppress(OSError):
        os.truncate(path, 0)  # where ITK keeps it open, removing it alone would not free its place
    raise problem from reason


def _size_in(path: Path) -> tuple[int, ...]:
    """What the header says: a TIFF whose last pages are missing is a whole file, but a smaller image."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return _without_ones(reader.GetSize())


def _without_ones(size: tuple[int, ...]) -> tuple[int, ...]:
    """Formats differ in how many axes of one voxel they keep at the end."""
    return _without_ones(size[:-1]) if size and size[-1] == 1 else tuple(size)


def _read(path: Path, label: bool = False) -> tuple[np.ndarray, Geometry]:
    """Voxels (C, *grid) as they are stored, and where they lie. label: indices of colours, whole numbers."""
    check_exists(path)
    extension = extension_of(path)
    if path.is_dir():
        return read_series(path, label)
    if extension == ".dcm" or (not extension and is_dicom(path)):
        return read_dicom(path, label)
    if extension in (*NIFTI, *OTHER_VOLUMES):
        return read_nifti(path, label)
    if is_picture(path):
        pixels = read_tiff(path, label) if is_tiff(path) else read_picture(path, label)
        return pixels, _pixel_grid(tuple(reversed(pixels.shape[1:])))
    image = load_itk(path)
    return channels_of(image), geometry_of(image)


def _pixel_grid(size: tuple[int, ...]) -> Geometry:
    n = len(size)
    return Geometry(size, (1.0,) * n, (0.0,) * n, tuple(float(x) for x in np.eye(n).ravel()), unit="pixel")


def _cut_jpeg(label: np.ndarray, path: Path) -> np.ndarray:
    """JPEG blurs a mask's edge: nearly black and nearly white are taken for 0 and 1."""
    clear = np.count_nonzero((label <= 32) | (label >= 223)) / max(label.size, 1)
    if clear < 0.95:
        raise EngineError(
            "label-lossy",
            f"{path.name} is a JPEG with more than black and white; save the mask as PNG instead.",
        )
    return label > 127


def _check_writable(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    check_path(path)
    extension = extension_of(path)
    if extension not in WRITABLE:
        raise EngineError(
            "unknown-format", f"{path.name} cannot be written; use one of the endings {', '.join(WRITABLE)}."
        )
    if array.shape[-geometry.dims :] != geometry.array_shape or array.ndim > geometry.dims + 1:
        raise EngineError(
            "array-shape",
            f"What should go into {path.name} does not fit its image's grid; please report this.",
        )
    if is_picture(path) and geometry.difference(_pixel_grid(geometry.size)):
        raise EngineError(
            "geometry-lost",
            f"{path.name} cannot hold a place in the patient; use .nii.gz, .nrrd or .mha instead.",
        )
    channels = array.shape[0] if array.ndim > geometry.dims else 1
    fits_png = geometry.dims == 2 and channels in (1, 3) and array.dtype in (np.uint8, np.uint16)
    if extension == ".png" and not fits_png:
        raise EngineError(
            "format-limits",
            f"{path.name} can only hold one 2D label map or a colour picture; use .tiff instead.",
        )


def storable(array: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest of uint8, uint16, int16, int32 that holds them all; others as float32."""
    if array.dtype.kind not in "bui":
        return np.asarray(array, np.float32)
    lowest, highest = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in (np.uint8, np.uint16, np.int16):
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.int32)


def _to_itk(array: np.ndarray, geometry: Geometry, fourth_axis: bool) -> sitk.Image:
    """Channels become a fourth axis (what most NIfTI readers expect, 3D only) or a vector in each voxel."""
    if array.ndim == geometry.dims:
        return placed(sitk.GetImageFromArray(array), geometry)
    if fourth_axis and geometry.dims == 3:
        return sitk.JoinSeries([placed(sitk.GetImageFromArray(channel), geometry) for channel in array])
    return placed(sitk.GetImageFromArray(np.moveaxis(array, 0, -1), isVector=True), geometry)


def placed(image: sitk.Image, geometry: Geometry) -> sitk.Image:
    """The image with its spacing, origin and direction set."""
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image
