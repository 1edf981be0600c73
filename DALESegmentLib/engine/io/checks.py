"""What is refused, and the sentence the user reads. Files are called by name, never by their full path."""

from __future__ import annotations

import errno
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import EngineError
from ..core.files import is_too_long
from ..geometry.grid import Geometry

MOST_LABEL_VALUES = 255
LARGEST_LABEL_VALUE = 1_000_000
_LONGEST_NAME = 100


def check_exists(path: Path) -> None:
    """A file or a folder; a pipe or a device would be read without end. Raises EngineError("missing-file",
    "not-a-file", "bad-path")."""
    check_path(path)
    try:
        kind = path.stat().st_mode
    except PermissionError:
        raise
    except (OSError, ValueError) as error:  # also a name too long, a link to itself, a zero byte
        if is_too_long(path, getattr(error, "errno", errno.EINVAL)):
            raise EngineError(
                "missing-file",
                f"{_short(path.name)} cannot be reached, since its path is longer than this system takes; "
                "move it nearer to the top of the disk.",
            ) from None
        raise EngineError("missing-file", f"{_short(path.name)} is not there; check the name and the folder.") from None
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise EngineError("not-a-file", f"{_short(path.name)} is no file but a device or a pipe; choose a file.")


def check_path(path: Path) -> None:
    """ITK ends the process over a path that is no text in UTF-8, such as Latin-1 from an old disk on Linux.

    Raises EngineError("bad-path").
    """
    text = str(path)
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        shown = _short(text.encode("utf-8", "replace").decode().replace("\\", "/").rstrip("/").rpartition("/")[2])
        raise EngineError(
            "bad-path", f"The path of {shown} has letters in an old encoding; rename its folders and files in UTF-8."
        ) from None


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def unreadable(path: Path, reason: str = "") -> EngineError:
    """The error for a file that is cut short, damaged or of another kind than its name says."""
    because = f" ({reason})" if reason else ""
    return EngineError(
        "unreadable-file",
        f"{path.name} cannot be read{because}: it is incomplete, damaged or not an image; "
        "copy it again from its source.",
    )


def not_finite(name: str, voxels: int) -> EngineError:
    """The error for voxels that are NaN or infinite."""
    return EngineError(
        "image-not-finite",
        f"{name} has {voxels} {'voxel' if voxels == 1 else 'voxels'} without a number (NaN or infinite); "
        "set them to a background value and save it again.",
    )


def check_same_grid(
    geometry: Geometry,
    name: str,
    other: Geometry,
    other_name: str,
    instead: str = "choose the label that belongs to this image",
) -> None:
    """Raises EngineError("geometry-mismatch") with both names and the first difference, and what else helps."""
    difference = geometry.difference(other)
    if difference:
        raise EngineError(
            "geometry-mismatch",
            f"{name} and {other_name} do not lie on the same voxels ({difference}); "
            f"resample {other_name} to {name} or {instead}.",
        )


def check_geometry(geometry: Geometry, name: str) -> None:
    """Raises EngineError("bad-geometry") unless the grid has voxels, positive spacing and square axes."""
    n = geometry.dims
    lengths = (len(geometry.spacing), len(geometry.origin), len(geometry.direction))
    good = n in (2, 3) and lengths == (n, n, n * n) and min(geometry.size) > 0
    if good:
        axes = np.array(geometry.direction).reshape(n, n)
        good = (
            all(np.isfinite(s) and s > 0 for s in geometry.spacing)
            and bool(np.isfinite(geometry.origin).all())
            and np.allclose(axes.T @ axes, np.eye(n), atol=1e-3)
        )
    if not good:
        raise EngineError(
            "bad-geometry",
            f"The position of {name} makes no sense (its axes must be square and its spacing above 0); "
            "export it again from its source.",
        )


def check_image(image: np.ndarray, name: str) -> None:
    """Raises EngineError("image-empty", "image-not-finite" or "image-constant")."""
    if image.size == 0:
        raise EngineError("image-empty", f"{name} has no voxels; export it again from its source.")
    lowest, highest = float(image.min()), float(image.max())
    if not np.isfinite(lowest) or not np.isfinite(highest):
        raise not_finite(name, int(image.size - np.count_nonzero(np.isfinite(image))))
    if lowest == highest:
        raise EngineError(
            "image-constant",
            f"{name} has the same value {lowest:g} everywhere; choose the file with the image.",
        )


def looks_like_mask(image: np.ndarray) -> bool:
    """Whether the voxels hold no more than four values, all of them whole and not negative. image: (C, *grid)."""
    voxels = image.ravel()
    some = np.unique(voxels[:: max(1, voxels.size // 4096)])
    if len(some) > 4 or some[0] < 0:
        return False
    values = np.unique(voxels)
    return bool(len(values) <= 4 and values[0] >= 0 and (values == np.rint(values)).all())


def label_values(label: np.ndarray) -> list[int]:
    """The values in a label map of whole numbers >= 0, in order."""
    if label.size == 0 or label.max() > 65535:
        return [int(v) for v in np.unique(label)]
    # np.unique would sort all voxels, which takes seconds in a CT
    there = np.zeros(int(label.max()) + 1, bool)
    there[label.astype(np.intp) if label.dtype.kind not in "iu" else label] = True
    return np.flatnonzero(there).tolist()


def count_values(label: np.ndarray) -> dict[int, int]:
    """{value: voxels} of whole numbers, in order."""
    if label.size == 0 or label.min() < 0 or label.max() > 65535:
        values, counts = np.unique(label, return_counts=True)
        return {int(v): int(n) for v, n in zip(values, counts, strict=True)}
    found = np.bincount(label.ravel() if label.dtype.kind in "bu" else label.ravel().astype(np.intp))
    return {int(v): int(found[v]) for v in np.flatnonzero(found)}


def check_label(label: np.ndarray, name: str) -> None:
    """Values of a label map: whole, not negative, not hundreds of classes.

    Raises EngineError("label-not-whole", "label-negative" or "label-many-values").
    """
    if label.dtype.kind == "f":
        broken = int(np.count_nonzero(label != np.rint(label)) + np.count_nonzero(np.isinf(label)))
        if broken:
            raise EngineError(
                "label-not-whole",
                f"{name} has {broken} voxels whose value is not a whole number, so it is no label map; "
                "choose a mask, or threshold the map first.",
            )
    if label.size and label.min() < 0:
        raise EngineError(
            "label-negative",
            f"{name} has negative values (down to {label.min():g}), so it is no label map; choose the mask instead.",
        )
    if label.size and label.max() > LARGEST_LABEL_VALUE:
        raise EngineError(
            "label-large-value",
            f"{name} has the value {label.max():.6g}, but classes are numbered up to {LARGEST_LABEL_VALUE}; "
            "choose the mask, or number its classes 1, 2, 3.",
        )
    values = label_values(label)
    if len(values) > MOST_LABEL_VALUES + 1:
        raise EngineError(
            "label-many-values",
            f"{name} has {len(values)} different values and looks like an image; choose the mask instead.",
        )


def as_label(label: np.ndarray) -> np.ndarray:
    """Whole numbers as int16, or int32 where int16 is too small: types that arithmetic and torch take."""
    return label.astype(np.int16 if label.size == 0 or label.max() <= 32767 else np.int32)


def check_foreground(labelled: Mapping[str, bool]) -> None:
    """A label may be empty where there is nothing to be seen, but not all of them; `labelled` maps case names to
    whether their label has any foreground.

    Raises EngineError("label-empty").
    """
    if labelled and not any(labelled.values()):
        raise EngineError("label-empty", nothing_labelled(list(labelled)))


def nothing_labelled(names: Sequence[str]) -> str:
    """What is wrong where none of these cases has any foreground."""
    if len(names) == 1:
        return f"The label of {names[0]} has no foreground: every voxel is 0; draw the structure first."
    return f"None of the {len(names)} labels has any foreground: every voxel is 0; draw the structure in some first."


def check_confidence(confidence: np.ndarray, name: str) -> None:
    """Raises EngineError("confidence-range") unless every value lies in [0, 1]."""
    if not bool(((confidence >= 0) & (confidence <= 1)).all()):
        raise EngineError(
            "confidence-range",
            f"{name} has values outside 0 to 1, so it is no confidence map; choose another file.",
        )


def check_same_channels(channels: Mapping[str, int]) -> None:
    """Every case must have as many channels as the others; `channels` maps case names to counts.

    Raises EngineError("channel-count") that names one case of each kind.
    """
    example: dict[int, str] = {}
    for name, count in channels.items():
        example.setdefault(count, name)
    if len(example) > 1:
        kinds = ", ".join(f"{example[count]} has {count}" for count in sorted(example))
        raise EngineError(
            "channel-count",
            f"The cases do not have the same number of channels ({kinds}); "
            "choose the same images for every case with --image, all in grey or all in colour.",
        )


def check_same_classes(class_names: Mapping[str, Mapping[int, str]]) -> None:
    """A label value must mean the same in every case; `class_names` maps case names to {value: name}.

    Raises EngineError("class-mismatch") that names the first two cases that disagree.
    """
    first: dict[int, tuple[str, str]] = {}
    for case, names in class_names.items():
        for value, name in names.items():
            other_case, other_name = first.setdefault(value, (case, name))
            if other_name != name:
                raise EngineError(
                    "class-mismatch",
                    f"Label {value} is {other_name} in {other_case} but {name} in {case}; "
                    "give the segments the same names and order in every case.",
                )
