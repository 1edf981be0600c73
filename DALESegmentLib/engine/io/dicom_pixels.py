"""The pixels of a DICOM file: decoded by pydicom and the decoders that are installed, or by GDCM, and rescaled frame by
frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from .checks import unreadable
from .dicom_frames import Frame
from .integrity import check_size
from .itk_files import itk_warnings

_VIDEO = "1.2.840.10008.1.2.4.10"  # MPEG-2, MPEG-4, HEVC start so
_UNPACKED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")


def read_pixels(path: Path, frames: Sequence[Frame], indices: bool = False) -> np.ndarray:
    """(frames, C, rows, columns) of the given frames of one file, in their order; rescaled as each frame says.

    Whole numbers stay as they are stored where no frame rescales, else float32. indices: of indexed colours, the
    indices instead of the colours.
    Raises EngineError("unreadable-file", "dicom-compression", "dicom-video" or "file-too-large").
    """
    import pydicom

    try:
        data = pydicom.dcmread(path, force=True)
    except Exception as error:  # pydicom raises whatever a damaged file happens to cause
        raise unreadable(path) from error
    _check_size(path, data)
    stored = _decoded(path, data)
    if stored is None:
        return _by_gdcm(path, data, frames)
    if data.get("PhotometricInterpretation") == "PALETTE COLOR" and not indices:
        stored = _coloured(path, stored, data)
    colours = data.SamplesPerPixel > 1 or stored.ndim > 3
    stored = stored.reshape(-1, int(data.Rows), int(data.Columns), stored.shape[-1] if colours else 1)
    if len(stored) <= max(frame.number for frame in frames):
        raise unreadable(path)
    chosen = np.moveaxis(stored[[frame.number for frame in frames]] if len(stored) > 1 else stored, -1, 1)
    return _rescaled(chosen, frames, data)


def _check_size(path: Path, data: Any) -> None:
    try:
        frames = max(int(data.get("NumberOfFrames") or 1), 1)
        pixels = int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel") or 1) * frames
        bits = int(data.get("BitsAllocated") or 32)
    except (AttributeError, TypeError, ValueError) as error:
        raise unreadable(path) from error
    check_size(path, pixels * bits // 8, pixels)


def _decoded(path: Path, data: Any) -> np.ndarray | None:
    """(frames, rows, columns, samples) without the axes of one; None where pydicom has no decoder for it."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    if not any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise unreadable(path, "its pixels are missing")
    if syntax is None:  # a file without its first part says nothing; these read the same for whole bytes
        data.file_meta.TransferSyntaxUID = syntax = _guess(data)
    if not _decodes(syntax):
        return None
    try:
        return np.asarray(data.pixel_array)
    except Exception as error:  # as above
        raise unreadable(path) from error


def _guess(data: Any) -> Any:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = data.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _decodes(syntax: Any) -> bool:
    from pydicom.pixels import get_decoder

    if syntax in _UNPACKED:
        return True
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _by_gdcm(path: Path, data: Any, frames: Sequence[Frame]) -> np.ndarray:
    """As `read_pixels`; GDCM rescales all frames alike. Raises EngineError("dicom-video", "dicom-compression")."""
    syntax = data.file_meta.TransferSyntaxUID
    name = getattr(syntax, "name", str(syntax))
    if str(syntax).startswith(_VIDEO):
        raise EngineError("dicom-video", f"{path.name} is a film ({name}); export single frames as images.")
    alike = len({(frame.slope, frame.intercept) for frame in frames}) == 1
    try:
        with itk_warnings():
            image = sitk.ReadImage(str(path)) if alike else None
    except RuntimeError:
        image = None
    if image is None:
        raise EngineError(
            "dicom-compression",
            f"{path.name} is compressed as {name}, for which there is no decoder here; "
            "save it uncompressed, for instance with gdcmconv --raw or dcmdjpeg, and read that.",
        )
    array = sitk.GetArrayFromImage(image)
    array = array.reshape(-1, int(data.Rows), int(data.Columns), image.GetNumberOfComponentsPerPixel())
    return np.moveaxis(array[[frame.number for frame in frames]], -1, 1)


def _coloured(path: Path, stored: np.ndarray, data: Any) -> np.ndarray:
    from pydicom.pixels import apply_color_lut

    try:
        return apply_color_lut(stored, data)
    except Exception as error:  # as above
        raise unreadable(path, "its colours are missing") from error


def _rescaled(stored: np.ndarray, frames: Sequence[Frame], data: Any) -> np.ndarray:
    if data.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        return np.asarray(apply_modality_lut(stored, data))
    if all(frame.slope == 1 and frame.intercept == 0 for frame in frames):
        return stored
    out = np.empty(stored.shape, np.float32)
    for plane, frame, result in zip(stored, frames, out, strict=True):
        # a product with a number of eight bytes is one, whatever the pixels are
        np.add(plane * np.float64(frame.slope), frame.intercept, out=result, casting="same_kind")
    return out
