"""What is drawn in a segmentation at this moment: taken from the scene in little time, made into a label anywhere.

Whatever touches the scene has to happen on the main thread, where every millisecond holds up the viewer. So only the
boxes that hold segments are copied there, and none again that did not change since; the label over the whole image is
put together from them on any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .volumes import geometryFromVolume, parentToWorld

OFF_GRID = 1e-3  # voxels by which a segment's own voxels may lie beside the image's and still be the same ones

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class _Copy:
    """Of a labelmap, the box that holds all its voxels that are not 0. first: where in the labelmap it begins, (k, j,
    i); stamp: what was different before the labelmap was changed."""

    first: tuple[int, ...]
    voxels: np.ndarray
    stamp: tuple[int, ...]


_copies: WeakValueDictionary[str, _Copy] = WeakValueDictionary()
"""By the labelmap's address, the last copy, for as long as a snapshot holds it."""


@dataclass(frozen=True)
class Layer:
    """One labelmap of the segmentation. first: where in the image its first copied voxel lies, (k, j, i); voxels: a
    copy of it; values: {value in it: value in the label}; asDrawn: whether they are its own voxels, not resampled."""

    first: tuple[int, ...]
    voxels: np.ndarray
    values: dict[int, int]
    asDrawn: bool = True
    source: _Copy | None = None  # so that it lives as long as this


@dataclass(frozen=True)
class LabelmapSnapshot:
    """The chosen segments on the voxels of an image of that shape (k, j, i); value v of the label is the v-th of
    segmentIds. It is a copy: what happens to the scene later does not change it."""

    shape: tuple[int, int, int]
    pieces: tuple[Layer, ...]
    segmentIds: tuple[str, ...]
    classNames: dict[int, str]

    @property
    def asDrawn(self) -> bool:
        """Whether all voxels are the segments' own: what lies between the image's voxels is resampled."""
        return all(piece.asDrawn for piece in self.pieces)

    def label(self) -> tuple[np.ndarray, int]:
        """(k, j, i) uint8 or uint16, and how many voxels are claimed by more than one segment; the later one wins."""
        return self._within(tuple(slice(0, n) for n in self.shape))

    def claims(self) -> tuple[dict[int, int], dict[tuple[int, int], int]]:
        """How many voxels each value claims, and {(value, value that lies over it): voxels} of what it does not get.

        Segments that share a labelmap cannot overlap: where there is one alone, nothing is counted.
        """
        claimed: dict[int, int] = {}
        lost: dict[tuple[int, int], int] = {}
        if len(self.pieces) < 2:
            return claimed, lost
        label = self.label()[0]
        whole = tuple(slice(0, n) for n in self.shape)
        for piece in self.pieces:
            there, here = _common(_place(piece), whole)
            values, place = _translated(piece.voxels[there], piece.values, label.dtype), label[here]
            counts = np.bincount(values.ravel(), minlength=len(self.segmentIds) + 1)
            claimed |= {value: int(counts[value]) for value in piece.values.values()}
            covered = (values > 0) & (values != place)
            pairs = np.stack([values[covered], place[covered]], axis=1)
            found, voxels = np.unique(pairs, axis=0, return_counts=True)
            lost |= {(int(v), int(over)): int(n) for (v, over), n in zip(found, voxels, strict=True)}
        return claimed, lost

    def maskOf(self, value: int, box: Box | None = None) -> np.ndarray:
        """(k, j, i) bool: the voxels of one segment in the image, or in a box that may reach beyond it, also those that
        another one claims, too."""
        box = box or tuple(slice(0, n) for n in self.shape)
        mask = np.zeros([side.stop - side.start for side in box], bool)
        for piece in self.pieces:
            there, here = _common(_place(piece), box)
            if value in piece.values.values() and all(side.stop > side.start for side in there):
                mask[here] |= _translated(piece.voxels[there], piece.values, np.dtype(np.uint16)) == value
        return mask

    def within(self, box: Box) -> np.ndarray:
        """The label in a box of the image: slices of (k, j, i) with a start and a stop."""
        return self._within(box)[0]

    def changedVoxels(self, earlier: LabelmapSnapshot) -> int | None:
        """How many voxels differ from an earlier moment; None where segments or grid are not the same."""
        if (self.shape, self.segmentIds) != (earlier.shape, earlier.segmentIds):
            return None
        whole = tuple(slice(0, n) for n in self.shape)
        box = _common(whole, self.changedBox(earlier))[0]
        return int(np.count_nonzero(self.within(box) != earlier.within(box)))

    def changedBox(self, earlier: LabelmapSnapshot) -> Box:
        """A box, which may reach beyond the image, outside of which no segment is drawn otherwise than at an earlier
        moment."""
        return _hull(_whereDifferent(self.pieces, earlier.pieces))

    def _within(self, box: Box) -> tuple[np.ndarray, int]:
        shape = tuple(side.stop - side.start for side in box)
        label = np.zeros(shape, np.uint8 if len(self.segmentIds) < 256 else np.uint16)
        overlap = 0
        for piece in self.pieces:
            there, here = _common(_place(piece), box)
            if any(side.stop <= side.start for side in there):
                continue
            values, place = _translated(piece.voxels[there], piece.values, label.dtype), label[here]
            overlap += int(np.count_nonzero((place > 0) & (values > 0)))
            np.maximum(place, values, out=place)
        return label, overlap


def takeLabelmapSnapshot(
    segmentationNode: Any, referenceVolumeNode: Any, segmentIds: Sequence[str]
) -> LabelmapSnapshot:
    """The segments as they are now, which have labelmaps. Segments on another grid are resampled by Slicer (nearest).

    Raises EngineError as `geometryFromVolume` does.
    """
    segmentation, ids = segmentationNode.GetSegmentation(), list(segmentIds)
    shape = geometryFromVolume(referenceVolumeNode).array_shape
    toImage = _segmentationToImage(segmentationNode, referenceVolumeNode)
    pieces = []
    for layer in _layers(segmentation, ids):
        values = {segmentId: ids.index(segmentId) + 1 for segmentId in layer}
        piece = _copied(segmentationNode, values, toImage)
        pieces.append(piece or _resampled(segmentationNode, referenceVolumeNode, values))
    names = {value: segmentation.GetSegment(i).GetName() for value, i in enumerate(ids, 1)}
    return LabelmapSnapshot(shape, tuple(pieces), tuple(ids), names)


def labelmapName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def _layers(segmentation: Any, segmentIds: list[str]) -> list[list[str]]:
    """The segments grouped by the labelmap they share; those of one group cannot overlap."""
    layers: dict[int, list[str]] = {}
    for segmentId in segmentIds:
        layers.setdefault(segmentation.GetLayerIndex(segmentId, labelmapName()), []).append(segmentId)
    return list(layers.values())


def _segmentationToImage(segmentationNode: Any, referenceVolumeNode: Any) -> np.ndarray:
    """4×4 from the segmentation's own coordinates to voxels (i, j, k) of the image."""
    matrix = vtk.vtkMatrix4x4()
    referenceVolumeNode.GetIJKToRASMatrix(matrix)
    image = parentToWorld(referenceVolumeNode) @ slicer.util.arrayFromVTKMatrix(matrix)
    return np.linalg.solve(image, parentToWorld(segmentationNode))


def firstInImage(labelmap: Any, toImage: np.ndarray) -> np.ndarray | None:
    """Where in the image the labelmap's voxel (0, 0, 0) lies, (i, j, k); None where the two have other voxels. toImage:
    4×4 from the segmentation's own coordinates to voxels (i, j, k) of the image."""
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    toVoxels = toImage @ slicer.util.arrayFromVTKMatrix(matrix)
    whole = np.eye(4)
    whole[:3, 3] = np.round(toVoxels[:3, 3])
    far = np.abs([*labelmap.GetExtent(), 1]).max()  # a small turn moves the farthest voxel most
    if np.abs(toVoxels - whole)[:, :3].max() * far > OFF_GRID or np.abs(toVoxels - whole)[:, 3].max() > OFF_GRID:
        return None
    return whole[:3, 3].astype(int)


def isEmpty(labelmap: Any) -> bool:
    """Whether it has no voxels at all, as that of an empty segment."""
    extent = np.array(labelmap.GetExtent())
    return labelmap.GetPointData().GetScalars() is None or bool((extent[1::2] < extent[::2]).any())


def _copied(segmentationNode: Any, values: dict[str, int], toImage: np.ndarray) -> Layer | None:
    """The labelmap as it is, where its voxels are those of the image; else None."""
    segmentation = segmentationNode.GetSegmentation()
    labelmap = segmentationNode.GetBinaryLabelmapInternalRepresentation(next(iter(values)))
    if isEmpty(labelmap):
        return Layer((0, 0, 0), np.zeros((0, 0, 0), np.uint8), {})
    start = firstInImage(labelmap, toImage)
    if start is None:
        return None
    own = {segmentation.GetSegment(segmentId).GetLabelValue(): value for segmentId, value in values.items()}
    copy = _copyOf(labelmap, segmentation, list(values))
    first = tuple(int(s + e + c) for s, e, c in zip(start[::-1], labelmap.GetExtent()[4::-2], copy.first, strict=True))
    return Layer(first, copy.voxels, own, source=copy)


def _copyOf(labelmap: Any, segmentation: Any, segmentIds: Sequence[str]) -> _Copy:
    """The last copy where nothing was changed since, else a new one."""
    scalars = labelmap.GetPointData().GetScalars()
    changing = (labelmap, scalars, segmentation, *map(segmentation.GetSegment, segmentIds))
    stamp = (*(one.GetMTime() for one in changing), *labelmap.GetExtent())
    address = labelmap.GetAddressAsString("")
    last = _copies.get(address)
    if last is None or last.stamp != stamp:
        voxels = vtk_to_numpy(scalars).reshape(labelmap.GetDimensions()[::-1])
        box = filledBox(voxels)
        last = _Copy(tuple(side.start for side in box), voxels[box].copy(), stamp)
        _copies[address] = last
    return last


def filledBox(voxels: np.ndarray) -> Box:
    """The box of all voxels (k, j, i) that are not 0, empty where there are none. Slices, which lie together in memory,
    are looked at first."""
    flat = voxels.reshape(len(voxels), -1)
    words = flat.view(np.uint64) if flat.shape[1] * flat.itemsize % 8 == 0 and flat.flags.c_contiguous else flat
    slices = np.flatnonzero([one.any() for one in words])
    if not len(slices):
        return tuple(slice(0, 0) for _ in voxels.shape)
    k = slice(int(slices[0]), int(slices[-1]) + 1)
    seen = words[k].any(axis=0) if words.dtype.kind == "f" else np.bitwise_or.reduce(words[k], axis=0)
    plane = seen.view(flat.dtype).reshape(voxels.shape[1:]) if words is not flat else seen.reshape(voxels.shape[1:])
    found = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    return (k, *(slice(int(hit[0]), int(hit[-1]) + 1) for hit in found))


def _resampled(segmentationNode: Any, referenceVolumeNode: Any, values: dict[str, int]) -> Layer:
    ids, numbers = vtk.vtkStringArray(), vtk.vtkIntArray()
    for segmentId, value in values.items():
        ids.InsertNextValue(segmentId)
        numbers.InsertNextValue(value)
    image = slicer.vtkOrientedImageData()
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        segmentationNode,
        referenceVolumeNode,
        ids,
        slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY,
        image,
        numbers,
    )
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).copy()
    return Layer((0, 0, 0), voxels, {value: value for value in values.values()}, asDrawn=False)


def _translated(voxels: np.ndarray, values: dict[int, int], kind: np.dtype) -> np.ndarray:
    """The voxels with the values of the label; 0 for segments that were not chosen."""
    table = np.zeros(max([int(voxels.max(initial=0)), *values]) + 1, kind)
    for own, value in values.items():
        table[own] = value
    return table[voxels]


def _whereDifferent(now: Sequence[Layer], before: Sequence[Layer]) -> list[Box]:
    """Boxes outside which nothing changed: of labelmaps that lie where they lay, the part that is different."""
    if [(_place(p), p.values) for p in now] != [(_place(p), p.values) for p in before]:
        return [_place(piece) for piece in (*now, *before)]
    return [_changedBox(a, b) for a, b in zip(now, before, strict=True)]


def _changedBox(now: Layer, before: Layer) -> Box:
    if now.voxels is before.voxels:
        return tuple(slice(0, 0) for _ in now.first)
    different = now.voxels != before.voxels
    sides = []
    for axis, start in enumerate(now.first):
        found = np.flatnonzero(different.any(tuple(n for n in range(3) if n != axis)))
        first, last = (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)
        sides.append(slice(start + first, start + last))
    return tuple(sides)


def _place(piece: Layer) -> Box:
    return tuple(slice(at, at + n) for at, n in zip(piece.first, piece.voxels.shape, strict=True))


def _common(place: Box, box: Box) -> tuple[Box, Box]:
    """The part that both boxes have, counted within each of them."""
    starts = [max(p.start, b.start) for p, b in zip(place, box, strict=True)]
    stops = [max(start, min(p.stop, b.stop)) for start, p, b in zip(starts, place, box, strict=True)]
    return tuple(
        tuple(slice(a - s.start, o - s.start) for a, o, s in zip(starts, stops, side, strict=True))
        for side in (place, box)
    )


def _hull(places: Sequence[Box]) -> Box:
    """The smallest box around all that are not empty."""
    full = [place for place in places if all(side.stop > side.start for side in place)]
    if not full:
        return tuple(slice(0, 0) for _ in range(3))
    return tuple(slice(min(s.start for s in side), max(s.stop for s in side)) for side in zip(*full, strict=True))
