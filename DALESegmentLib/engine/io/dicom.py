"""DICOM images as one volume, or a clear refusal: a folder of slices, or a file with one frame or many."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import EngineError, checkpoint
from ..core.memory import without_collecting
from ..core.notes import note, quiet
from ..geometry.grid import Geometry
from .case import extension_of
from .checks import unreadable
from .dicom_frames import Frame, frames_of, header_of
from .dicom_geometry import stack_of
from .dicom_kind import IMAGE, MAP, article, is_dicom, kind_of, kind_of_dicom, sop_class
from .dicom_pixels import read_pixels
from .integrity import check_size

_SCREENSHOT = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture, with one frame or many
_ASIDE = ("LOCALIZER", "SCREEN SAVE", "MIP", "PROJECTION IMAGE", "MONTAGE", "MOSAIC")
_FEW = 4
"""What is a quarter of the rest at most is left over: scouts, a first slice of another kind."""


def holds_dicom(folder: Path) -> bool:
    """Is any file without another image's ending a DICOM image? Segmentations, reports and the like are none."""
    return any(_is_image(path) for path in _candidates(folder))


def _candidates(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return [path for path in files if extension_of(path) in ("", ".dcm")]


def _is_image(path: Path) -> bool:
    try:
        return kind_of_dicom(path) == IMAGE
    except EngineError:  # cut short: reading it will say so
        return True


@quiet()
def read_series(folder: Path, indices: bool = False) -> tuple[np.ndarray, Geometry]:
    """The volume (C, k, j, i) of a folder of DICOM files, rescaled slice by slice, and where it lies.

    Of several series, one is taken only where every other is at most a quarter as long (scouts). What is no image is
    left over. Slices that are shifted against each other (a tilted gantry) are straightened, and that is noted; what
    lies outside them has the smallest value of all. indices: as in `read_pixels`; then by nearest neighbour.
    Raises EngineError("dicom-none", "dicom-several", "dicom-mixed", "dicom-spacing", "dicom-tilted",
    "unreadable-file") and what `frames_of` and `read_pixels` raise.
    """
    with without_collecting():
        frames, aside = _frames_in(folder)
    if not frames and aside:
        raise aside[-1]
    if not frames:
        raise EngineError("dicom-none", f"The folder {folder.name} holds no DICOM images; choose another folder.")
    if aside:
        note(f"{folder.name}: {len(aside)} DICOM files are left over, such as this: {aside[0].sentence}")
    return _volume(_one_series(frames, folder.name), folder.name, indices)


def _frames_in(folder: Path) -> tuple[list[Frame], list[EngineError]]:
    """Of all images among the files, and why those are left over that are none in space: a film or a picture beside a
    series."""
    frames: list[Frame] = []
    aside: list[EngineError] = []
    for path in _candidates(folder):
        checkpoint()
        if not (is_dicom(path) or (path.suffix.lower() == ".dcm" and kind_of_dicom(path))):
            continue
        header = header_of(path)
        if kind_of(sop_class(header)) == IMAGE:
            try:
                frames += frames_of(path, header)
            except EngineError as error:
                if error.code == "unreadable-file":
                    raise
                aside.append(error)
    return frames, aside


@quiet()
def read_dicom(path: Path, indices: bool = False) -> tuple[np.ndarray, Geometry]:
    """As `read_series`, of one file, with one frame or many.

    Raises also EngineError("not-an-image") for a DICOM file of another kind than an image or a parametric map.
    """
    if not is_dicom(path) and not kind_of_dicom(path):
        raise unreadable(path)
    header = header_of(path)
    kind = kind_of(sop_class(header))
    if kind not in (IMAGE, MAP):
        raise not_an_image(path, kind, sop_class(header))
    return _volume(_unique(frames_of(path, header)), path.name, indices)


def not_an_image(path: Path, kind: str, uid: str = "") -> EngineError:
    """The error for a DICOM file that is a segmentation, a report or the like."""
    what = "name it as the label of its image" if kind in ("segmentation", "rtstruct") else "choose the image instead"
    return EngineError("not-an-image", f"{path.name} is {article(kind, uid)}, not an image; {what}.")


def _one_series(frames: list[Frame], name: str) -> list[Frame]:
    """The frames of the series that is meant, without copies, scouts and screenshots."""
    frames = _unique(frames)
    usual = [frame for frame in frames if not _is_aside(frame)] or frames
    series = sorted(_by(usual, lambda frame: str(frame.file.get("SeriesInstanceUID", ""))), key=len, reverse=True)
    if len(series) > 1 and _FEW * len(series[1]) > len(series[0]):
        counts = ", ".join(str(len(s)) for s in series)
        raise EngineError(
            "dicom-several",
            f"The folder {name} holds {len(series)} DICOM series (with {counts} slices); "
            "put the one you want in a folder of its own.",
        )
    if len(series[0]) < len(frames):
        left = len(frames) - len(series[0])
        note(f"{name}: {left} of {len(frames)} DICOM slices are of other series, scouts or screenshots and left over.")
    return series[0]


def _is_aside(frame: Frame) -> bool:
    kinds = {str(part).upper() for part in frame.file.get("ImageType") or ()}
    return (sop_class(frame.file).startswith(_SCREENSHOT) and frame.position is None) or bool(kinds & set(_ASIDE))


def _unique(frames: Iterable[Frame]) -> list[Frame]:
    """Without copies of one and the same file. Some programs give all slices one UID: these are told apart by place
    and number."""
    found: dict[Hashable, Frame] = {}
    for frame in frames:
        uid = str(frame.file.get("SOPInstanceUID", "") or frame.path)
        place = None if frame.position is None else tuple(np.round(frame.position, 3))
        found.setdefault((uid, frame.number, place, str(frame.file.get("InstanceNumber", ""))), frame)
    return list(found.values())


def _by(frames: Iterable[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    groups: dict[Hashable, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())


def _volume(frames: list[Frame], name: str, indices: bool) -> tuple[np.ndarray, Geometry]:
    frames = _alike(_facing_alike(frames, name), name)
    if len(frames) > 1:
        frames.sort(key=lambda frame: float(frame.position @ frame.normal))  # type: ignore[operator]
    stack = stack_of(frames, name)
    voxels = _voxels(frames, name, indices)
    if np.abs(stack.shifts).max() == 0:
        return voxels, stack.geometry
    straight = stack.straight_grid()
    check_size(Path(name), 4 * len(voxels) * int(np.prod(straight.size)), 0, packed=True)
    return stack.straightened(voxels, voxels.min(), nearest=indices), straight


def _facing_alike(frames: list[Frame], name: str) -> list[Frame]:
    if len(frames) == 1:
        return frames
    if any(frame.position is None or frame.orientation is None for frame in frames):
        raise EngineError(
            "dicom-spacing", f"The slices of {name} do not say where they lie; export the original series again."
        )
    groups: list[list[Frame]] = []
    for frame in frames:
        group = next((g for g in groups if _faces_as(g[0], frame)), None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    return _most(groups, name, "do not face the same way", "dicom-spacing")


def _faces_as(one: Frame, other: Frame) -> bool:
    assert one.orientation is not None
    assert other.orientation is not None
    return np.allclose(one.orientation, other.orientation, atol=1e-3)


def _alike(frames: list[Frame], name: str) -> list[Frame]:
    """Frames of one size and one kind of pixels, of one patient."""

    def size(frame: Frame) -> Hashable:
        return (*frame.size, *np.round(frame.spacing, 4), int(frame.file.get("SamplesPerPixel") or 1))

    frames = _most(_by(frames, size), name, "are of different sizes", "dicom-mixed")
    for keyword, words in (("PatientID", "of different patients"), ("PhotometricInterpretation", "shown differently")):
        found = {str(frame.file.get(keyword, "")) for frame in frames}
        if len(found) > 1 and not all(text.startswith(("RGB", "YBR")) for text in found):
            raise EngineError(
                "dicom-mixed", f"The slices of {name} are {words}; put the series you want in a folder of its own."
            )
    if any(frame.file.get("PhotometricInterpretation") == "MONOCHROME1" for frame in frames):
        note(f"{name} is to be shown with white as black (MONOCHROME1); its numbers are read as they are.")
    return frames


def _most(groups: list[list[Frame]], name: str, words: str, code: str) -> list[Frame]:
    """The group that is meant, where the others are few."""
    groups.sort(key=len, reverse=True)
    rest = sum(map(len, groups[1:]))
    if _FEW * rest > len(groups[0]):
        counts = ", ".join(str(len(group)) for group in groups)
        raise EngineError(
            code, f"The slices of {name} {words} ({counts} of them); put one stack in a folder of its own."
        )
    if rest:
        note(f"{name}: {rest} of {rest + len(groups[0])} slices {words} as the others and are left over.")
    return groups[0]


def _voxels(frames: Sequence[Frame], name: str, indices: bool) -> np.ndarray:
    """(C, k, j, i): the pixels of each file are decoded once."""
    numbers = len(frames) * frames[0].size[0] * frames[0].size[1] * int(frames[0].file.get("SamplesPerPixel") or 1)
    check_size(Path(name), numbers * 4, numbers, packed=True)
    places: dict[Path, list[int]] = {}
    for k, frame in enumerate(frames):
        places.setdefault(frame.path, []).append(k)
    out: np.ndarray | None = None
    for path, slices in places.items():
        checkpoint()
        part = read_pixels(path, [frames[k] for k in slices], indices)
        whole = part.dtype.kind in "bui"
        if out is None:
            kind = np.dtype(np.float32) if whole and not indices else part.dtype  # as which `read_image` gives them
            out = np.empty((part.shape[1], len(frames), *part.shape[2:]), kind)
        if part.shape[1] != len(out):
            raise EngineError("dicom-mixed", f"The slices of {name} are partly in colour; put one kind in a folder.")
        if part.dtype != out.dtype and not (whole and out.dtype == np.float32):  # signed and not, with fractions
            out = out.astype(np.result_type(part.dtype, out.dtype), copy=False)
        for plane, k in zip(part, slices, strict=True):
            out[:, k] = plane
    assert out is not None
    return out
