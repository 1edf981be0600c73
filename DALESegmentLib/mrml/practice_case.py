"""Cases made by code: one to learn the module on, whose label errors are known, and a small one for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ..engine.geometry.grid import Geometry
from .i18n import tr as _
from .volumes import addVolume, geometryFromVolume

SIZE = (80, 80, 28)  # (i, j, k)
MIDDLE = (64, 64, 32)  # (i, j, k), of a real image
SPACING = (1.0, 1.0, 2.5)  # mm
SEED = 7

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]  # centre and radii, mm

LARGE: Ellipsoid = ((28.0, 40.0, 35.0), (14.0, 11.0, 13.0))
SMALL: Ellipsoid = ((56.0, 30.0, 30.0), (6.0, 5.0, 7.0))
MISSED: Ellipsoid = ((54.0, 56.0, 42.0), (4.0, 4.5, 6.0))


OUTLINE = (0.1, 0.6, 0.9)


def addPracticeCase() -> list[Any]:
    """An image with three lesions, and a label of them drawn in a hurry; returns [volume, segmentation].

    Wrong in the label: the large lesion spills over on one side and has a bite missing on the other, one lesion
    was missed, and one was drawn where there is nothing.
    """
    truth, label = practiceLabels()
    image = slicer.util.addVolumeFromArray(_image(truth), name=_("Practice case"))
    image.SetSpacing(*SPACING)
    return [image, _segmentation(label, image, _("Drawn in a hurry"), _("lesion"))]


def practiceLabels() -> tuple[np.ndarray, np.ndarray]:
    """(k, j, i) bool: what is there, and what was drawn."""
    x, y, _z = _places()
    truth = _inside(LARGE) | _inside(SMALL) | _inside(MISSED)
    drawn = _inside(LARGE) | _inside(SMALL)
    drawn |= _inside((LARGE[0], tuple(1.45 * r for r in LARGE[1]))) & (x < 26.0) & (y > 40.0)
    drawn &= ~_inside(((40.0, 34.0, 32.0), (8.0, 7.0, 9.0)))
    drawn |= _inside(((30.0, 66.0, 20.0), (5.0, 4.0, 6.0)))
    return truth, drawn


def addBall() -> tuple[Any, Any]:
    """A bright ball in noise, with a label that is too large on one side."""
    k, j, i = np.mgrid[:16, :48, :48]
    radius = np.sqrt((2.0 * (k - 8)) ** 2 + (j - 24) ** 2 + (i - 24) ** 2)
    noise = np.random.default_rng(0).normal(0, 10, radius.shape)
    array = (100 / (1 + np.exp(radius - 10)) + noise).astype(np.float32)
    image = slicer.util.addVolumeFromArray(array, name="Ball")
    image.SetSpacing(1.0, 1.0, 2.0)
    label = (radius < 10) | ((radius < 15) & (i > 30))
    return image, _segmentation(label, image, "LabelmapSnapshot", "ball")


def addLargeBall(size: tuple[int, int, int]) -> tuple[Any, Any]:
    """The same on (i, j, k) voxels of 1 mm, stored as whole numbers like a CT; for measurements."""
    i, j, k = (np.arange(n, dtype=np.float32) - n / 2 for n in size)
    radius = np.sqrt(k[:, None, None] ** 2 + j[:, None] ** 2 + i**2)
    noise = np.random.default_rng(0).normal(0, 10, radius.shape)
    image = slicer.util.addVolumeFromArray(
        (100 / (1 + np.exp(np.minimum(radius - 40, 50))) + noise).astype(np.int16), name="Large ball"
    )
    label = (radius < 40) | ((radius < 50) & (i > 20))
    return image, _segmentation(label, image, "LabelmapSnapshot large", "ball")


def addMiddleOf(volume: Any) -> list[Any]:
    """The middle of a real image, with what is dark in it as the label, drawn too large in one half; for tests.

    The dark part is what lies below Otsu's threshold. Returns [volume, segmentation]; the whole image stays.
    """
    import SimpleITK as sitk

    whole, geometry = slicer.util.arrayFromVolume(volume), geometryFromVolume(volume)
    first = [max(0, (there - wanted) // 2) for there, wanted in zip(geometry.size, MIDDLE, strict=True)]
    part = tuple(slice(a, a + n) for a, n in zip(reversed(first), reversed(MIDDLE), strict=True))
    array = whole[part].astype(np.float32)
    right, anterior, superior = geometry.index_to_ras(tuple(first))
    place = Geometry(array.shape[::-1], geometry.spacing, (-right, -anterior, superior), geometry.direction)
    dark = sitk.OtsuThreshold(sitk.GetImageFromArray(array), 1, 0)
    large = sitk.GetArrayFromImage(sitk.BinaryDilate(dark, (2, 2, 1)))
    label = sitk.GetArrayFromImage(dark)
    half = array.shape[2] // 2
    label[:, :, :half] = large[:, :, :half]
    image = addVolume(array, place, f"Middle of {volume.GetName()}")
    return [image, _segmentation(label, image, "Dark, one half too large", "dark")]


def _segmentation(label: np.ndarray, image: Any, name: str, segment: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetReferenceImageGeometryParameterFromVolumeNode(image)
    # Slicer would choose a colour by chance; this one is seen on a grey image and under the heat map
    segmentId = node.GetSegmentation().AddEmptySegment(segment, segment, OUTLINE)
    slicer.util.updateSegmentBinaryLabelmapFromArray(label.astype(np.uint8), node, segmentId, image)
    if node.GetDisplayNode() is None:  # Slicer itself makes one with the node
        node.CreateDefaultDisplayNodes()
    return node


def _places() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y, z in mm of every voxel, (k, j, i)."""
    k, j, i = np.mgrid[: SIZE[2], : SIZE[1], : SIZE[0]].astype(np.float32)
    return i * SPACING[0], j * SPACING[1], k * SPACING[2]


def _inside(ellipsoid: Ellipsoid) -> np.ndarray:
    """A lesion's shape: an ellipsoid with bumps."""
    centre, radii = ellipsoid
    x, y, z = (axis - c for axis, c in zip(_places(), centre, strict=True))
    bumps = 1.0 + 0.12 * np.sin(0.5 * x + 1.0) * np.cos(0.45 * y) + 0.06 * np.sin(0.4 * z)
    return (x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2 < bumps


def _image(truth: np.ndarray) -> np.ndarray:
    """Soft tissue with slow shades, a dark rim, lesions with blurred edges, noise as in a scan."""
    x, y, z = _places()
    tissue = 300 + 25 * np.sin(0.11 * x + 0.05 * z) + 20 * np.cos(0.09 * y - 0.04 * x)
    body = ((x - 40) / 37) ** 2 + ((y - 40) / 36) ** 2 < 1
    soft = truth.astype(np.float32)
    for axis in (1, 2, 1, 2):  # within the slice, as a scan's point spread
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    noise = np.random.default_rng(SEED).normal(0, 18, truth.shape)
    return (np.where(body, tissue + 170 * soft, 20) + noise).astype(np.float32)
