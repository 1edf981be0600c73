"""PNG, JPEG and BMP: through Pillow, which knows indexed colours, few bits and how a camera was held; through ITK where
there are 16 bits in colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import EngineError
from ..core.notes import note, quiet
from .checks import unreadable
from .integrity import check_complete, check_size
from .itk_files import itk_warnings

_TURNS = {  # TIFF 6.0 and EXIF, "Orientation": what is done to rows and columns
    2: lambda a: a[..., :, ::-1],
    3: lambda a: a[..., ::-1, ::-1],
    4: lambda a: a[..., ::-1, :],
    5: lambda a: a.swapaxes(-2, -1),
    6: lambda a: a[..., ::-1, :].swapaxes(-2, -1),
    7: lambda a: a[..., ::-1, ::-1].swapaxes(-2, -1),
    8: lambda a: a[..., :, ::-1].swapaxes(-2, -1),
}
TURNED = "was turned as its header says"
_ORIENTATION = 0x0112  # of EXIF
_GREY_BITS = {1: 255, 2: 85, 4: 17}
"""By how much grey of few bits is stretched to 8."""


@quiet()
def read_picture(path: Path, indices: bool = False) -> np.ndarray:
    """Pixels (C, j, i), turned as they are shown. Transparency is dropped. indices: of indexed colours and grey of few
    bits the numbers that are stored, instead of the colours.

    Raises EngineError("unreadable-file", "picture-film", "picture-colours", "voxel-kind" or "file-too-large").
    """
    from PIL import Image

    check_complete(path)
    with _any_size(Image):
        try:
            with Image.open(path) as picture:
                width, height = picture.size
                check_size(path, width * height * len(picture.getbands()), width * height)
                _check_kind(path, picture)
                turn = picture.getexif().get(_ORIENTATION, 1)
                pixels = _pixels(path, picture, indices)
        except EngineError:
            raise
        except Exception as error:  # Pillow raises whatever a damaged file happens to cause
            raise unreadable(path) from error
    return shown(np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0), int(turn), path)


@contextmanager
def _any_size(library: Any) -> Iterator[None]:
    """Pillow refuses large pictures; what fits into memory is looked at here."""
    before, library.MAX_IMAGE_PIXELS = library.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        library.MAX_IMAGE_PIXELS = before


def _check_kind(path: Path, picture: Any) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # cameras add small copies
        raise EngineError(
            "picture-film", f"{path.name} is a film of {frames} pictures; save each of them as a file of its own."
        )
    if picture.mode in ("CMYK", "LAB", "HSV", "YCCK"):
        raise EngineError("picture-colours", f"{path.name} has colours of the kind {picture.mode}; save it as RGB.")


def _pixels(path: Path, picture: Any, indices: bool) -> np.ndarray:
    """(j, i) or (j, i, C)."""
    bits, colour = _png_kind(path) if picture.format == "PNG" else (8, 0)
    if picture.mode in ("P", "PA"):
        return _indexed(path, picture, indices)
    if bits == 16 and colour in (2, 6):
        with itk_warnings():
            return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[..., :3]
    if bits == 16 and colour == 4:
        raise EngineError(
            "voxel-kind", f"{path.name} has 16-bit grey with transparency; save it again without transparency."
        )
    pixels = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    if indices and bits in _GREY_BITS and pixels.ndim == 2:
        return pixels // _GREY_BITS[bits]
    if picture.mode not in ("LA", "La", "RGBA", "RGBa", "RGBX"):
        return pixels
    colours, alpha = pixels[..., :-1], pixels[..., -1]
    if picture.mode != "RGBX" and (colours == colours[0, 0]).all() and not (alpha == alpha[0, 0]).all():
        raise EngineError(
            "picture-colours",
            f"{path.name} has all that it shows in its transparency, which is not read; save it in black and white.",
        )
    return colours


def _png_kind(path: Path) -> tuple[int, int]:
    """Bits of a number, and the type of colour."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[24], head[25]


def _indexed(path: Path, picture: Any, indices: bool) -> np.ndarray:
    if indices:
        numbers = np.asarray(picture if picture.mode == "P" else picture.getchannel(0))
        table = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        if _is_inverse([table[n] for n in np.unique(numbers) if n < len(table)]):
            note(f"{path.name} shows its lowest number as white and others as black; its numbers are read as they are.")
        return numbers
    colours = np.asarray(picture.convert("RGB"))
    return colours[..., :1] if (colours == colours[..., :1]).all() else colours


def _is_inverse(colours: Sequence[np.ndarray]) -> bool:
    """Whether the first of these is white, and another one black."""
    return len(colours) > 1 and colours[0].min() > 200 and any(colour.max() < 50 for colour in colours[1:])


def shown(pixels: np.ndarray, orientation: int, path: Path) -> np.ndarray:
    """Pixels (..., j, i) turned as the orientation (1 to 8) says; a note says so."""
    if orientation not in _TURNS:
        return pixels
    note(f"{path.name} {TURNED} (orientation {orientation}).")
    return _TURNS[orientation](pixels)
