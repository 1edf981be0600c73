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
from .case import NIFTI, extension_of, is_picture
from .checks import check_exists, check_label, check_path, label_values, unreadable
from .dicom import read_series
from .integrity import check_complete, check_promise, is_complete

# What ITK warns of is checked here and said in words; elsewhere its lines would only alarm.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


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
    return np.ascontiguousarray(array, np.float32), geometry


def read_label(path: Path | str) -> tuple[np.ndarray, Geometry]:
    """A label map as (*grid) int16 (int32 where values need it), and where it lies.

    In pictures, the value 255 alone means 1, equal colours are one mask, and a JPEG mask is cut at 127.

    Raises what `read_image` raises and EngineError("label-channels", "label-colours", "label-lossy",
    "label-not-whole", "label-negative" or "label-many-values").
    """
    path = Path(path)
    channels, geometry = _read(path)
    label = _one_channel(channels, path)
    if extension_of(path) in (".jpg", ".jpeg"):
        label = _cut_jpeg(label, path)
    check_label(label, path.name)
    if is_picture(path) and set(label_values(label)) <= {0, 255}:
        label = label > 0
    return as_label(label), geometry


def as_label(label: np.ndarray) -> np.ndarray:
    """Whole numbers as int16, or int32 where int16 is too small: types that arithmetic and torch take."""
    return label.astype(np.int16 if label.size == 0 or label.max() <= 32767 else np.int32)


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


def load_itk(path: Path) -> sitk.Image:
    """The file or DICOM folder as ITK sees it. Raises the errors of `read_image`."""
    check_exists(path)
    if path.is_dir():
        return read_series(path)
    if not extension_of(path):
        raise EngineError(
            "unknown-format",
            f"{path.name} is of a kind that is not known; use NIfTI, NRRD, MHA, PNG, JPEG, TIFF or a DICOM folder.",
        )
    check_complete(path, check_promise(path))
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise EngineError(
                "file-axes",
                f"The axes of {path.name} are not at right angles to each other; resample it to a straight grid first.",
            ) from error
        if is_picture(path) and "PixelType" in str(error):
            raise EngineError(
                "unknown-format",
                f"{path.name} has pixels of a rare kind; save it again without transparency.",
            ) from error
        raise unreadable(path) from error


def geometry_of(image: sitk.Image) -> Geometry:
    """The spatial axes (at most three) of an ITK image."""
    n = min(image.GetDimension(), 3)
    direction = np.array(image.GetDirection()).reshape((image.GetDimension(),) * 2)[:n, :n]
    return Geometry(
        image.GetSize()[:n],
        image.GetSpacing()[:n],
        image.GetOrigin()[:n],
        tuple(float(x) for x in direction.ravel()),
    )


def channels_of(image: sitk.Image) -> np.ndarray:
    """Voxels as (C, *grid) in the file's own type."""
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return array.reshape(-1, *geometry_of(image).array_shape)


def _read(path: Path) -> tuple[np.ndarray, Geometry]:
    image = load_itk(path)
    array, geometry = channels_of(image), geometry_of(image)
    if array.dtype.kind not in "buif":
        raise unreadable(path, "its voxels are not plain numbers")
    if is_picture(path):
        if array.dtype.kind != "f" and len(array) in (2, 4):
            array = array[:-1]
        geometry = _pixel_grid(geometry.size)
    return array, geometry


def _pixel_grid(size: tuple[int, ...]) -> Geometry:
    n = len(size)
    return Geometry(size, (1.0,) * n, (0.0,) * n, tuple(float(x) for x in np.eye(n).ravel()), unit="pixel")


def _one_channel(channels: np.ndarray, path: Path) -> np.ndarray:
    if len(channels) == 1 or (is_picture(path) and (channels == channels[0]).all()):
        return channels[0]
    if is_picture(path):
        raise EngineError(
            "label-colours", f"{path.name} is a coloured mask; save it with one grey value for each class."
        )
    raise EngineError(
        "label-channels",
        f"{path.name} has {len(channels)} channels, but a label map has one; "
        "save one label map, or a Slicer segmentation (.seg.nrrd).",
    )


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
