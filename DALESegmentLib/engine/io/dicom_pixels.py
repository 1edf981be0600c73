"""The pixels of a DICOM file: decoded by pydicom and the decoders that are installed, or by GDCM, and rescaled frame by
frame."""

from __future__ import annotations

import struct
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
_MANY = 1 << 24
_TWELVE_BITS = "1.2.840.10008.1.2.4.51"  # JPEG Extended
_ENDS = {  # of pixels that are stored as they are: the order of bytes, and whether types stand in the file
    "1.2.840.10008.1.2": ("<", False),
    "1.2.840.10008.1.2.1": ("<", True),
    "1.2.840.10008.1.2.2": (">", True),
}
_UNPACKED = (*_ENDS, "1.2.840.10008.1.2.1.99")


def read_pixels(path: Path, frames: Sequence[Frame], indices: bool = False) -> np.ndarray:
    """(frames, C, rows, columns) of the given frames of one file, in their order; rescaled as each frame says.

    Whole numbers stay as they are stored where no frame rescales, else float32. indices: of indexed colours, the
    indices instead of the colours.
    Raises EngineError("unreadable-file", "dicom-compression", "dicom-video" or "file-too-large").
    """
    import pydicom

    plain = _plain(path, frames)
    if plain is not None:
        return _rescaled(plain, frames, frames[0].file)
    try:
        data = pydicom.dcmread(path, force=True)
    except Exception as error:  # pydicom raises whatever a damaged file happens to cause
        raise unreadable(path) from error
    _check_size(path, data)
    stored = _decoded(path, data)
    if stored is None:
        return _by_gdcm(path, data, frames)
    palette = data.get("PhotometricInterpretation") == "PALETTE COLOR" and not indices
    if palette:
        stored = _coloured(path, stored, data)
    colours = palette or int(data.get("SamplesPerPixel") or 1) > 1
    stored = stored.reshape(-1, int(data.Rows), int(data.Columns), stored.shape[-1] if colours else 1)
    if len(stored) <= max(frame.number for frame in frames):
        raise unreadable(path)
    chosen = np.moveaxis(stored[[frame.number for frame in frames]] if len(stored) > 1 else stored, -1, 1)
    return _rescaled(chosen, frames, data)


def _plain(path: Path, frames: Sequence[Frame]) -> np.ndarray | None:
    """(frames, 1, rows, columns) of grey pixels that are stored as they are, without reading the header again; None for
    all else."""
    header = frames[0].file
    syntax = header.file_meta.get("TransferSyntaxUID")
    bits, samples = header.get("BitsAllocated"), header.get("SamplesPerPixel", 1)
    if syntax not in _ENDS or bits not in (8, 16) or samples != 1 or "PALETTE" in header.PhotometricInterpretation:
        return None
    end, explicit = _ENDS[syntax]
    kind = np.dtype(f"{end}{'i' if header.get('PixelRepresentation') else 'u'}{bits // 8}")
    columns, rows = frames[0].size
    count = max(int(header.get("NumberOfFrames") or 1), 1)
    with path.open("rb") as file:
        file.seek(header.pixels_at)
        start = file.read(12)
        if len(start) < 12:
            return None
        place = header.pixels_at + (12 if explicit else 8)
        tag = struct.unpack_from(end + "HH", start)
        (length,) = struct.unpack_from(end + "I", start, 8 if explicit else 4)
        if tag != (0x7FE0, 0x0010) or (explicit and start[4:6] not in (b"OW", b"OB")):
            return None
        if length != (wanted := rows * columns * kind.itemsize * count) and length != wanted + wanted % 2:
            return None
        if place + wanted > path.stat().st_size:
            return None
        pixels = []
        for frame in frames:
            file.seek(place + frame.number * rows * columns * kind.itemsize)
            pixels.append(np.fromfile(file, kind, rows * columns).reshape(1, rows, columns))
    return _used_bits(np.stack(pixels).astype(kind.newbyteorder("="), copy=False), header)


def _check_size(path: Path, data: Any) -> None:
    try:
        frames = max(int(data.get("NumberOfFrames") or 1), 1)
        pixels = int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel") or 1) * frames
        bits = int(data.get("BitsAllocated") or 32)
    except (AttributeError, TypeError, ValueError) as error:
        raise unreadable(path) from error
    if pixels > _MANY:  # of a series, all slices together were looked at
        check_size(path, pixels * bits // 8, pixels)


def _decoded(path: Path, data: Any) -> np.ndarray | None:
    """(frames, rows, columns, samples) without the axes of one; None where pydicom has no decoder for it."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    if not any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise EngineError(
            "dicom-no-pixels",
            f"{path.name} is a DICOM file without pixels; copy it again from its source, or choose another file.",
        )
    if syntax is None:  # a file without its first part says nothing; these read the same for whole bytes
        data.file_meta.TransferSyntaxUID = syntax = _guess(data)
    if not _decodes(syntax):
        return None
    try:
        return _used_bits(np.asarray(data.pixel_array), data)
    except Exception as error:  # as above
        if syntax == _TWELVE_BITS and data.BitsStored > 8:  # which Pillow lacks
            return None
        raise unreadable(path) from error


def _used_bits(stored: np.ndarray, data: Any) -> np.ndarray:
    """The pixels alone: the bits above them may hold drawings (before 2004), or not repeat the sign."""
    bits, used = int(data.BitsAllocated), int(data.get("BitsStored") or data.BitsAllocated)
    if not 1 < used < bits or stored.dtype.kind not in "iu" or stored.dtype.itemsize * 8 != bits or not stored.size:
        return stored
    least, most = (-(1 << used - 1), (1 << used - 1) - 1) if stored.dtype.kind == "i" else (0, (1 << used) - 1)
    if stored.min() >= least and stored.max() <= most:
        return stored
    return np.right_shift(np.left_shift(stored, bits - used), bits - used)


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
        raise EngineError("dicom-video", f"{path.name} is a film ({name.split()[0]}); export single frames as images.")
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
        if frame.slope == 1 and frame.intercept % 1 == 0 and plane.dtype.itemsize <= 2:  # exact in four bytes
            np.add(plane, np.float32(frame.intercept), out=result)
        else:
            np.add(plane * np.float64(frame.slope), frame.intercept, out=result, casting="same_kind")
    return out
