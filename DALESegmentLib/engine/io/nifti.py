"""NIfTI, Analyze, MGH and MINC through nibabel, placed as ITK and Slicer place them.

Of the two places that a NIfTI header may give, the sform counts where its code is 1 (scanner), else the qform, else the
sform; as in ITK's NiftiImageIO. The spacing is that of the place, not a field beside it.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.notes import note, quiet
from ..geometry.grid import Geometry
from .case import NIFTI, extension_of
from .checks import unreadable
from .integrity import check_complete, check_size, nifti_header

_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_TIMES = ("sec", "msec", "usec")
_MOST_CHANNELS = 16
"""More volumes than this, a time apart, are a film and no channels."""
_SQUARE = 1e-3


@quiet()
def read_nifti(path: Path, whole: bool = False) -> tuple[np.ndarray, Geometry]:
    """Voxels (C, *grid) as they are stored, or float32 where the file rescales them, and where they lie.

    The fourth and fifth axis are channels, and so are colours. whole: for label maps; values that are whole numbers but
    for the rounding of a rescaling become whole.
    Raises EngineError("unreadable-file", "image-empty", "image-not-finite", "file-too-large", "file-axes",
    "several-times" or "voxel-kind").
    """
    image = _opened(path)
    header = image.header
    if not hasattr(image, "affine"):
        raise EngineError("voxel-kind", f"{path.name} holds no image but values of a surface (CIFTI); choose an image.")
    kind = image.get_data_dtype()
    if kind.kind == "c":
        raise EngineError("voxel-kind", f"{path.name} holds complex numbers; save their magnitude as an image.")
    if kind.names is None and kind.kind not in "buif":
        raise EngineError("voxel-kind", f"{path.name} holds voxels of the kind {kind}; save it as plain numbers.")
    shape = image.shape
    if not shape or min(shape) < 1:
        raise EngineError("image-empty", f"{path.name} has no voxels; export it again from its source.")
    voxels = math.prod(shape)
    check_size(path, voxels * kind.itemsize, voxels)
    if extension_of(path) in NIFTI:
        check_complete(path, voxels * kind.itemsize)
    _check_times(path, image)
    geometry = _geometry(path, image, _dims(header, shape))
    return _channels(_voxels(path, image, whole), geometry, path), geometry


def _opened(path: Path) -> Any:
    import nibabel

    try:
        if extension_of(path) in NIFTI:
            with path.open("rb") as file:
                start = file.read(2)
            zipped = start == b"\x1f\x8b"
            if zipped != path.name.lower().endswith(".gz"):  # under the other's name
                return _from_stream(gzip.open(path) if zipped else path.open("rb"))
        return nibabel.load(path)
    except Exception as error:  # nibabel raises whatever a damaged header happens to cause
        if extension_of(path) == ".mnc" and "h5py" in str(error):
            raise EngineError(
                "unknown-format", f"{path.name} is a MINC-2 file; convert it with mnc2nii, and read that."
            ) from error
        raise unreadable(path) from error


def _from_stream(stream: Any) -> Any:
    """The image in an open file, which is read whole."""
    import nibabel

    with stream:
        content = stream.read()
    first = {int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")}
    return (nibabel.Nifti1Image if 348 in first else nibabel.Nifti2Image).from_bytes(content)


def _dims(header: Any, shape: tuple[int, ...]) -> int:
    """2 or 3. Vectors in a plane have the sizes (i, j, 1, 1, C)."""
    flat = len(shape) == 2 or (len(shape) == 5 and shape[2:4] == (1, 1))
    return 2 if flat else 3


def _check_times(path: Path, image: Any) -> None:
    shape = image.shape
    if extension_of(path) == ".mnc" and len(shape) > 3:  # their first axis is time
        raise EngineError("several-times", f"{path.name} holds several times; save the one you want as an image.")
    if sum(n > 1 for n in shape[3:]) > 1:
        raise EngineError(
            "several-times",
            f"{path.name} has {len(shape)} axes ({' × '.join(map(str, shape))}); save one volume of it as an image.",
        )
    volumes = math.prod(shape[3:])
    if volumes < 2 or not hasattr(image.header, "get_xyzt_units"):
        return
    apart = _units(image.header)[1] in _TIMES and float(image.header["pixdim"][4]) > 0
    if int(image.header["intent_code"]) == 2001 or (apart and volumes > _MOST_CHANNELS and len(shape) == 4):
        raise EngineError(
            "several-times",
            f"{path.name} holds {volumes} volumes, one after the other in time; save the one you want as an image.",
        )
    if apart and len(shape) == 4:
        note(f"{path.name}: its {volumes} volumes are taken as channels.")


def _geometry(path: Path, image: Any, dims: int) -> Geometry:
    affine = _affine(path, image)
    size = (*image.shape, 1, 1)[:dims]
    if not np.isfinite(affine).all():
        raise EngineError(
            "bad-geometry", f"The position of {path.name} makes no sense; export it again from its source."
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if dims == 2 and not np.allclose(affine[[0, 1, 2, 2], [2, 2, 0, 1]], 0, atol=1e-6):
        size, dims = (*size, 1), 3  # a plane that does not lie in the first two axes
    empty = [n for n in range(3) if spacing[n] == 0]
    if any(n < dims and size[n] > 1 for n in empty):
        raise EngineError(
            "bad-geometry", f"{path.name} says that its voxels have the size 0; set their spacing and save it again."
        )
    axes = affine[:3, :3] / np.where(spacing == 0, 1, spacing)
    for n in empty:
        axes[:, n], spacing[n] = np.cross(axes[:, (n + 1) % 3], axes[:, (n + 2) % 3]), 1
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE:
        raise EngineError(
            "file-axes",
            f"The axes of {path.name} are not at right angles to each other; resample it to a straight grid first.",
        )
    lps = np.array([-1.0, -1.0, 1.0])
    return Geometry(
        tuple(int(n) for n in size),
        tuple(float(s) for s in spacing[:dims]),
        tuple(float(x) for x in (lps * affine[:3, 3])[:dims]),
        tuple(float(x) for x in (lps[:, None] * axes)[:dims, :dims].ravel()),
    )


def _affine(path: Path, image: Any) -> np.ndarray:
    """4×4 from (i, j, k) to RAS mm."""
    header = image.header
    if not hasattr(header, "get_sform"):
        if extension_of(path) == ".hdr":  # Analyze, which has no place
            return _unplaced(path, header.get_zooms())
        return np.array(image.affine, float)
    sform, sform_code = header.get_sform(coded=True)
    try:
        qform, _ = header.get_qform(coded=True)
    except ValueError:  # its rotation is none
        qform = None
    sform_right = sform is not None and _is_square(sform)
    chosen = sform
    if qform is not None and (sform is None or sform_code != 1 or not sform_right):
        chosen = qform
    if chosen is not sform or chosen is None:
        _check_spacing(path, image.shape)
    if chosen is None:
        return _unplaced(path, header.get_zooms()) * _unit(header)
    if sform is not None and qform is not None and not np.allclose(sform, qform, atol=1e-3 + 1e-2 * _finest(chosen)):
        which = "scanner's (sform)" if chosen is sform else "qform's"
        note(f"{path.name} gives two places (sform and qform differ); the {which} is taken, as Slicer does.")
    return np.asarray(chosen, float) * _unit(header)


def _check_spacing(path: Path, shape: tuple[int, ...]) -> None:
    """nibabel takes a spacing of 0 for 1. Raises EngineError("bad-geometry")."""
    if extension_of(path) in NIFTI and any(
        s == 0 < n - 1 for s, n in zip(nifti_header(path).spacing, shape, strict=False)
    ):
        raise EngineError(
            "bad-geometry", f"{path.name} says that its voxels have the size 0; set their spacing and save it again."
        )


def _units(header: Any) -> tuple[str, str]:
    """Of lengths and times, as nibabel calls them; "unknown" where the header holds a number that stands for none."""
    try:
        space, time = header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"
    return space, time


def _unit(header: Any) -> np.ndarray:
    factor = _MM.get(_units(header)[0], 1.0)
    return np.array([[factor]] * 3 + [[1.0]])


def _finest(affine: np.ndarray) -> float:
    return float(np.linalg.norm(affine[:3, :3], axis=0).min())


def _is_square(affine: np.ndarray) -> bool:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not lengths.all():
        return False
    axes = affine[:3, :3] / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= _SQUARE)


def _unplaced(path: Path, zooms: tuple[float, ...]) -> np.ndarray:
    """As ITK has it: the axes of the file are those of the patient in LPS."""
    note(f"{path.name} does not say where it lies; its axes are taken for left, posterior and superior.")
    return np.diag([*(np.array([-1.0, -1.0, 1.0]) * [*map(float, zooms[:3]), 1.0, 1.0][:3]), 1.0])


def _voxels(path: Path, image: Any, whole: bool) -> np.ndarray:
    """In the file's order (i, j, k, ...)."""
    proxy = image.dataobj
    try:
        raw = np.asanyarray(proxy.get_unscaled() if hasattr(proxy, "get_unscaled") else proxy)
    except FileNotFoundError as error:  # the second file of a pair
        raise unreadable(path, "the file with its voxels is missing") from error
    except Exception as error:  # as above
        raise unreadable(path) from error
    slope, intercept = getattr(proxy, "slope", 1.0), getattr(proxy, "inter", 0.0)
    if raw.dtype.names is not None:  # colours
        return np.stack([raw[name] for name in raw.dtype.names[:3]], axis=-1)
    if slope == 1 and intercept == 0:
        return raw
    scaled = _scaled(raw, slope, intercept)
    if whole and raw.dtype.kind in "iu":
        rounded = np.rint(scaled)
        if float(np.abs(scaled - rounded).max(initial=0)) <= min(0.51 * abs(slope), 0.1):
            return rounded
    return scaled


def _scaled(raw: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """float32, computed in eight bytes a slice after the other."""
    out = np.empty(raw.shape, np.float32, order="F")
    for n in range(raw.shape[-1]):
        out[..., n] = raw[..., n] * np.float64(slope) + np.float64(intercept)
    return out


def _channels(voxels: np.ndarray, geometry: Geometry, path: Path) -> np.ndarray:
    array = voxels.T
    try:
        return array.reshape(-1, *geometry.array_shape)
    except ValueError as error:
        raise unreadable(path, "its header makes no sense") from error
