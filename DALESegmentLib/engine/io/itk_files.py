"""NRRD and MetaImage through ITK; what ITK warns of is read, and so are encodings that it lacks."""

from __future__ import annotations

import bz2
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.notes import note
from ..geometry.grid import Geometry
from .case import extension_of
from .checks import check_exists, unreadable
from .integrity import check_complete, check_promise, check_size

KNOWN = "NIfTI, NRRD, MHA, PNG, JPEG, TIFF or a DICOM folder"
_HEADER_BYTES = 1 << 20
_FOREIGN = {
    ".img": "the voxels of an Analyze or NIfTI pair; choose the file .hdr beside it",
    ".head": "an AFNI file; convert it with 3dAFNItoNIFTI",
    ".brik": "an AFNI file; convert it with 3dAFNItoNIFTI",
    ".par": "a Philips PAR/REC file; convert it with dcm2niix",
    ".rec": "a Philips PAR/REC file; convert it with dcm2niix",
    ".v": "an ECAT file; convert it with dcm2niix",
    ".gif": "a GIF; save its picture as PNG",
    ".webp": "a WebP picture; save it as PNG",
    ".jp2": "a JPEG 2000 picture; save it as PNG or TIFF",
    ".svs": "a slide; export the part you want as TIFF",
    ".ndpi": "a slide; export the part you want as TIFF",
    ".czi": "a Zeiss microscope's file; export it as OME TIFF",
    ".lif": "a Leica microscope's file; export it as OME TIFF",
    ".nd2": "a Nikon microscope's file; export it as OME TIFF",
    ".mrb": "a Slicer scene; open it in Slicer and save its image and segmentation",
    ".mrml": "a Slicer scene; name its image and segmentation instead",
    ".vtk": "a VTK file; save the image as NRRD",
    ".vti": "a VTK file; save the image as NRRD",
    ".npy": "an array without a place; save it as NIfTI or NRRD",
    ".npz": "an array without a place; save it as NIfTI or NRRD",
    ".h5": "an HDF5 file; save its image as NIfTI or NRRD",
    ".hdf5": "an HDF5 file; save its image as NIfTI or NRRD",
    ".mat": "a MATLAB file; save its image as NIfTI or NRRD",
    ".zip": "an archive; unpack it",
    ".stl": "a surface; save it as a segmentation (.seg.nrrd)",
    ".gii": "a surface; save it as a label map",
    ".pdf": "a document; choose an image",
}


def load_itk(path: Path) -> sitk.Image:
    """The file as ITK sees it.

    Raises EngineError("missing-file", "unknown-format", "unreadable-file", "file-axes", "voxel-kind", "nrrd-axes") and
    those of `check_promise`.
    """
    check_exists(path)
    if not extension_of(path):
        raise _unknown(path)
    _check_nrrd(path)
    with _unpacked(path) as file, itk_warnings() as warnings:
        check_complete(file, check_promise(file))
        try:
            image = sitk.ReadImage(str(file))
        except RuntimeError as error:
            if "orthonormal" in str(error):
                raise EngineError(
                    "file-axes",
                    f"The axes of {path.name} are not at right angles to each other; "
                    "resample it to a straight grid first.",
                ) from error
            if "PixelType" in str(error):
                raise EngineError(
                    "voxel-kind", f"{path.name} holds tensors or the like; save it as plain numbers."
                ) from error
            raise unreadable(path) from error
    for warning in warnings:
        _tell(path, warning)
    if "complex" in image.GetPixelIDTypeAsString():
        raise EngineError("voxel-kind", f"{path.name} holds complex numbers; save their magnitude as an image.")
    if image.GetDimension() == 4 and image.GetSize()[3] > 1:
        note(f"{path.name}: its {image.GetSize()[3]} volumes are taken as channels.")
    if image.GetDimension() > 4:
        raise EngineError(
            "nrrd-axes", f"{path.name} has {image.GetDimension()} axes; save one volume of it as an image."
        )
    return image


def _check_nrrd(path: Path) -> None:
    """Time has no place among channels. Raises EngineError("several-times")."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return
    with path.open("rb") as file:
        head = re.split(rb"\r?\n\r?\n", file.read(_HEADER_BYTES), maxsplit=1)[0].lower()
    fields = dict(re.findall(rb"^([\w ]+?): *(.*?)[ \t]*\r?$", head, re.M))
    kinds, sizes = fields.get(b"kinds", b"").split(), fields.get(b"sizes", b"").split()
    timed = b"time" in kinds or fields.get(b"space", b"").endswith(b"time") or b"axis 0 index type:=" in head
    if timed and len(sizes) > 3 and sizes[kinds.index(b"time") if b"time" in kinds else 0] != b"1":
        raise EngineError(
            "several-times",
            f"{path.name} holds several volumes, one after the other in time; save the one you want as an image.",
        )


def _unknown(path: Path) -> EngineError:
    """By its true name, where that is known."""
    what = _FOREIGN.get(path.suffix.lower(), f"of a kind that is not known; use {KNOWN}")
    return EngineError("unknown-format", f"{path.name} is {what}.")


class _Logger(sitk.LoggerBase):
    """Hands on what is said on a thread to whoever listens there. The names of its methods are ITK's."""

    def DisplayWarningText(self, text: str) -> None:
        heard: list[str] | None = getattr(_listening, "heard", None)
        if heard is not None:
            heard.append(" ".join(text.split()))

    DisplayErrorText = DisplayWarningText

    def DisplayText(self, text: str) -> None:
        """Neither warning nor error."""

    DisplayGenericOutputText = DisplayDebugText = DisplayText


_listening = threading.local()
_lock = threading.Lock()
_ours = _Logger()
_before: list[sitk.LoggerBase] = []
"""The logger before ours, as often as threads listen: ITK has one for the whole process."""


@contextmanager
def itk_warnings() -> Iterator[list[str]]:
    """The list that ITK's warnings on this thread are put into, instead of being printed."""
    with _lock:
        _before.append(_before[0] if _before else _ours.SetAsGlobalITKLogger())
    outer, _listening.heard = getattr(_listening, "heard", None), []
    try:
        yield _listening.heard
    finally:
        _listening.heard = outer
        with _lock:
            first = _before.pop()
            if not _before:
                first.SetAsGlobalITKLogger()


def _tell(path: Path, warning: str) -> None:
    said = re.sub(r"^.*?\(0x[0-9a-f]+\): *", "", warning)
    if "space" in said.lower() or "spacing" in said.lower() or "direction" in said.lower():
        note(f"{path.name}: its place is unsure, since its header is unusual; compare it with its image.")


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file, or a copy of a NRRD file with its voxels unpacked from bzip2, which ITK cannot."""
    name = path.name.lower()
    head = path.open("rb").read(_HEADER_BYTES) if name.endswith(".nrrd") else b""
    end = re.search(rb"\r?\n\r?\n", head) if head.startswith(b"NRRD") else None
    found = re.search(rb"^encoding: *(bzip2|bz2)[ \t]*\r?$", head[: end.start()], re.M | re.I) if end else None
    if end is None or found is None:
        yield path
        return
    with path.open("rb") as file, tempfile.TemporaryDirectory() as folder:
        file.seek(end.end())
        packed = file.read()
        copy = Path(folder) / path.name
        header = head[: found.start(1)] + b"raw" + head[found.end(1) : end.end()]
        copy.write_bytes(header)
        promised = check_promise(copy)
        check_size(path, promised, promised)
        try:
            stream = bz2.BZ2Decompressor()
            voxels = stream.decompress(packed, promised + 1)
        except (OSError, EOFError, ValueError) as error:
            raise unreadable(path) from error
        if len(voxels) != promised:
            raise unreadable(path)
        with copy.open("ab") as out:
            out.write(voxels)
        yield copy


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
