"""What the values in label files mean, decided once for the whole data set.

Masks come as 0 and 1, 0 and 255, 0 and 65535, with edges of grey, in colours, with a number for each object, with a
value for "not annotated". One file alone does not say which: 255 is the foreground of a mask of 0 and 255, and a class
of its own where other files have 0, 128 and 255. `decide` looks at what `label_facts` found in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import EngineError
from .checks import check_label

FULL = (255, 65535)
"""White, in one and in two bytes."""
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Decoded:
    """label: (*grid) whole numbers; annotated: (*grid) bool, False where nobody labelled; None where all is."""

    label: np.ndarray
    annotated: np.ndarray | None = None


@dataclass(frozen=True)
class LabelEncoding:
    """classes: {stored value: class}, others stay; ignored: stored values of "not annotated"; threshold: what is above
    is class 1; colours: {colour: class}, black is 0; instances: whatever is not 0 is class 1; sparse_axis: slices along
    it without any label are not annotated; names: {class: name}; sentences: what was decided, for people."""

    classes: Mapping[int, int] = field(default_factory=dict, hash=False)
    ignored: frozenset[int] = frozenset()
    threshold: float | None = None
    colours: Mapping[int, int] = field(default_factory=dict, hash=False)
    instances: bool = False
    sparse_axis: int | None = None
    names: Mapping[int, str] = field(default_factory=dict, hash=False)
    sentences: tuple[str, ...] = ()

    def decode(self, stored: np.ndarray, name: str) -> Decoded:
        """stored: (C, *grid) as the file has it. Raises EngineError("label-channels", "label-colours") and the codes of
        `check_label`, calling the file `name`."""
        if len(stored) == 3 and self.colours and not _is_grey(stored):
            label = self._of_colours(stored, name)
            return Decoded(label, self._drawn_on(label, None))
        label = one_channel(stored, name)
        ignored = np.isin(label, list(self.ignored)) if self.ignored else None
        label = whole_numbers(label)
        if ignored is not None:
            label = np.where(ignored, 0, label)
        if self.threshold is not None:
            label = label > self.threshold
        elif self.instances:
            label = label != 0
        check_label(label, name)
        if self.classes:
            label = _exchanged(label, self.classes)
        annotated = None if ignored is None else ~ignored
        return Decoded(label, self._drawn_on(label, annotated))

    def _of_colours(self, stored: np.ndarray, name: str) -> np.ndarray:
        packed = packed_colours(stored)
        label = np.zeros(packed.shape, np.int32)
        for colour in np.unique(packed).tolist():
            if colour and colour not in self.colours:
                raise EngineError(
                    "label-colours",
                    f"{name} has the colour {colour_name(colour)}, which none of the other masks has; "
                    "save it with their colours.",
                )
            label[packed == colour] = self.colours.get(colour, 0)
        return label

    def _drawn_on(self, label: np.ndarray, annotated: np.ndarray | None) -> np.ndarray | None:
        """Whether all is annotated is None, too."""
        if self.sparse_axis is not None and label.ndim == 3:
            axes = tuple(axis for axis in range(3) if axis != self.sparse_axis)
            drawn = np.broadcast_to((label > 0).any(axis=axes, keepdims=True), label.shape)
            annotated = drawn.copy() if annotated is None else annotated & drawn
        return None if annotated is None or bool(annotated.all()) else annotated


AS_STORED = LabelEncoding()


def whole_numbers(label: np.ndarray) -> np.ndarray:
    """Values that are whole but for rounding, as a header's scale leaves them, as whole numbers; others as they are."""
    if label.dtype.kind != "f":
        return label
    rounded = np.rint(label)
    with np.errstate(invalid="ignore"):
        near = bool((np.abs(label - rounded) <= _ROUNDING).all())
    return rounded if near else label


def one_channel(stored: np.ndarray, name: str) -> np.ndarray:
    """(*grid). Raises EngineError("label-colours" or "label-channels")."""
    if len(stored) == 1 or _is_grey(stored):
        return stored[0]
    if len(stored) in (3, 4):
        raise EngineError("label-colours", f"{name} is a coloured mask; save it with one grey value for each class.")
    raise EngineError(
        "label-channels",
        f"{name} has {len(stored)} channels, but a label map has one; "
        "save one label map, or a Slicer segmentation (.seg.nrrd).",
    )


def packed_colours(stored: np.ndarray) -> np.ndarray:
    """(*grid) red << 16 | green << 8 | blue of (3, *grid) bytes."""
    red, green, blue = (channel.astype(np.int32) for channel in stored)
    packed: np.ndarray = (red << 16) | (green << 8) | blue
    return packed


def colour_name(colour: int) -> str:
    return f"#{colour:06x}"


def _is_grey(stored: np.ndarray) -> bool:
    return len(stored) > 1 and bool((stored == stored[0]).all())


def _exchanged(label: np.ndarray, classes: Mapping[int, int]) -> np.ndarray:
    changed = np.array(label, np.int32)
    for value, to in classes.items():
        if value != to:
            changed[label == value] = to
    return changed
