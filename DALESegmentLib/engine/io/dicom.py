"""DICOM images as one volume, or a clear refusal: a folder of slices, or a file with one frame or many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import EngineError, checkpoint
from ..core.notes import note, quiet
from ..geometry.grid import Geometry
from ..geometry.stack import Stack
from .case import extension_of
from .checks import unreadable
from .dicom_frames import WORDS, Frame, frames_of, header_of
from .dicom_kind import IMAGE, MAP, article, is_dicom, kind_of, kind_of_dicom, sop_class
from .dicom_pixels import read_pixels
from .integrity import check_size

_SCREENSHOT = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture, with one frame or many
_ASIDE = ("LOCALIZER", "SCREEN SAVE", "MIP", "PROJECTION IMAGE", "MONTAGE", "MOSAIC")
_FEW = 4
"""What is a quarter of the rest at most is left over: scouts, a first slice of another kind."""
_ROUNDED = 0.5
"""Of a voxel's edge, that slices may be shifted because their positions are rounded."""


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
                aside.append(error)  # a film or a picture beside a series is left over
    if not frames and aside:
        raise aside[-1]
    if not frames:
        raise EngineError("dicom-none", f"The folder {folder.name} holds no DICOM images; choose another folder.")
    if aside:
        note(f"{folder.name}: {len(aside)} DICOM files are left over, such as this: {aside[0].sentence}")
    return _volume(_one_series(frames, folder.name), folder.name, indices)


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
    stack = _stack(frames, name)
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


def _stack(frames: Sequence[Frame], name: str) -> Stack:
    """Where the frames, in their order, lie; without the shifts that rounded positions have."""
    first = frames[0]
    axes = np.eye(3)
    if first.orientation is not None:
        axes = np.stack([first.orientation[:3], first.orientation[3:], first.normal], axis=1)
    origin = np.zeros(3) if first.position is None else first.position
    depth = first.thickness or 1.0
    if len(frames) > 1:
        depth = _distance(frames, axes[:, 2], name)
        _tell_mixture(frames, name)
    geometry = Geometry(
        (*first.size, len(frames)),
        (*first.spacing, depth),
        tuple(float(x) for x in origin),
        tuple(float(x) for x in axes.ravel()),
        frame_of_reference=str(first.file.get("FrameOfReferenceUID") or ""),
        series=str(first.file.get("SeriesInstanceUID") or ""),
    )
    if len(frames) == 1:
        return Stack(geometry, np.zeros((1, 2)))
    stack = Stack.of(geometry, np.array([frame.position for frame in frames]))
    shift = float(np.linalg.norm(stack.shifts, axis=1).max())
    if shift <= _ROUNDED * min(first.spacing):
        return Stack(geometry, np.zeros_like(stack.offsets))
    _tell_shift(stack, shift, name)
    return stack


def _tell_shift(stack: Stack, shift: float, name: str) -> None:
    """Note that slices are shifted against each other. Raises EngineError("dicom-tilted")."""
    if shift > stack.geometry.spacing[2] * (stack.geometry.size[2] - 1):
        raise EngineError(
            "dicom-tilted",
            f"The slices of {name} are shifted against each other by more than they are apart ({shift:.4g} mm), so "
            "their positions contradict the way they face; export the original series again.",
        )
    degrees = stack.degrees
    if degrees is None:
        note(f"The slices of {name} are shifted against each other by up to {shift:.3g} mm; each was put in its place.")
    else:
        note(
            f"{name} was taken with a tilted gantry ({degrees:.1f} degrees): its slices were shifted by up to "
            f"{shift:.1f} mm to stand straight."
        )


def _distance(frames: Sequence[Frame], normal: np.ndarray, name: str) -> float:
    """mm between slices that are evenly spaced along their normal."""
    depths = np.array([frame.position for frame in frames]) @ normal
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    same = min(1e-3, 1e-2 * min(frames[0].spacing))
    if gaps.min() < same:
        raise _several_at_one_place(frames, depths, same, name)
    if np.abs(gaps - usual).max() > max(0.02 * usual, min(0.01, 0.1 * usual)):
        raise EngineError(
            "dicom-spacing",
            f"The slices of {name} are unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm), "
            "so slices are probably missing; export the whole series again.",
        )
    return float(depths[-1] - depths[0]) / len(gaps)


CONTRAST = (
    "EchoTime",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "InversionTime",
    "FlipAngle",
    "ConvolutionKernel",
    "KVP",
)
"""What makes another contrast: slices of one image have it in common."""


def _tell_mixture(frames: Sequence[Frame], name: str) -> None:
    """Note where slices, though each at a place of its own, were taken in different ways."""
    for keyword in CONTRAST:
        values = sorted({frame.signs.get(keyword, "") for frame in frames} - {""}, key=_as_number)
        if len(values) > 1:
            listed = ", ".join(values[:6])
            found = f"{len(values)} {WORDS[keyword]} ({listed})"
            note(f"{name}: its slices have {found}; they may be parts of several series.")
            return


def _several_at_one_place(frames: Sequence[Frame], depths: np.ndarray, same: float, name: str) -> EngineError:
    """Says what they are: that of which there are several values where several slices lie."""
    places = Counter(np.cumsum(np.diff(depths, prepend=depths[0]) >= same).tolist())
    found = f"{len(frames)} slices at {len(places)} positions"
    for keyword, words in WORDS.items():
        values = {frame.signs.get(keyword, "") for frame in frames}
        if 1 < len(values) <= max(places.values()) * 2:
            listed = ", ".join(sorted(values, key=_as_number)[:6])
            found += f": {len(values)} {words} ({listed})"
            break
    return EngineError(
        "dicom-spacing",
        f"{name} has several slices at the same position ({found}); put one time point or echo in a folder of its own.",
    )


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


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
        if out is None:
            out = np.empty((part.shape[1], len(frames), *part.shape[2:]), part.dtype)
        if part.shape[1] != len(out):
            raise EngineError("dicom-mixed", f"The slices of {name} are partly in colour; put one kind in a folder.")
        if part.dtype != out.dtype:  # signed and not, with fractions and without
            out = out.astype(np.result_type(part.dtype, out.dtype), copy=False)
        for plane, k in zip(part, slices, strict=True):
            out[:, k] = plane
    assert out is not None
    return out
