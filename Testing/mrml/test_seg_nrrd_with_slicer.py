"""Our .seg.nrrd against Slicer's own segmentation storage, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.segmentations import (
    Segment,
    from_masks,
    read_segmentation,
    to_label_map,
    write_segmentation,
)
from DALESegmentLib.engine.io.terminology import class_colour, named_segments

slicer = pytest.importorskip("slicer", reason="the real MRML classes (slicer-core) are not installed")

COS, SIN = np.cos(0.3), np.sin(0.3)
GEOMETRY = Geometry((14, 12, 9), (0.7, 0.8, 2.5), (-20.0, 5.0, 77.0), (COS, -SIN, 0.0, SIN, COS, 0.0, 0.0, 0.0, 1.0))
TERMS = "Category~SCT^49755003^Morphologically Altered Structure~SCT^86049000^Neoplasm~^^~Anatomic~^^~^^"


def box(*spans: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(GEOMETRY.array_shape, np.uint8)
    mask[tuple(slice(*span) for span in spans)] = 1
    return mask


MASKS = [
    box((2, 6), (3, 9), (3, 9)),
    box((4, 8), (5, 10), (6, 12)),
    box((2, 3), (10, 11), (10, 12)),
]
SEGMENTS = [
    Segment("Segment_1", "liver", (0.8, 0.4, 0.2), {"Segmentation.Status": "completed"}),
    Segment("Segment_7", "Läsion links", (1.0, 0.0, 0.4), {"TerminologyEntry": TERMS}),
    Segment("Segment_3", "vessel", (0.0, 0.0, 1.0)),
]


@pytest.fixture
def scene():
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    yield scene
    scene.Clear(1)


def matrix():
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    out = vtkMatrix4x4()
    out.DeepCopy(GEOMETRY.ijk_to_ras().ravel())
    return out


def labelmap(mask: np.ndarray):
    from vtkmodules.util.numpy_support import numpy_to_vtk

    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*GEOMETRY.size)
    scalars = numpy_to_vtk(mask.ravel(), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(matrix())
    return image


def mask_on_grid(node, segment_id: str) -> np.ndarray:
    """The segment as Slicer has it, resampled by Slicer onto the whole grid."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    part, whole = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, part)
    resampler = slicer.vtkOrientedImageDataResample
    assert resampler.ResampleOrientedImageToReferenceOrientedImage(part, labelmap(MASKS[0] * 0), whole)
    return vtk_to_numpy(whole.GetPointData().GetScalars()).reshape(GEOMETRY.array_shape) > 0


def storage(scene, path):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    node.SetFileName(str(path))
    return node


def tag(segment, key: str) -> str:
    from vtkmodules.vtkCommonCore import reference

    value = reference("")
    assert segment.GetTag(key, value)
    return str(value)


def reference_volume(scene):
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.DeepCopy(labelmap(MASKS[0]))
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    volume.SetAndObserveImageData(image)
    volume.SetIJKToRASMatrix(matrix())
    return volume


@pytest.mark.parametrize("count", [1, 3])
def test_slicer_reads_what_we_write(scene, tmp_path, count):
    path = tmp_path / "ours.seg.nrrd"
    write_segmentation(path, from_masks(MASKS[:count], SEGMENTS[:count], GEOMETRY))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage(scene, path).ReadData(node)
    segmentation = node.GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == [s.id for s in SEGMENTS[:count]]
    for wanted, mask in zip(SEGMENTS[:count], MASKS, strict=False):
        segment = segmentation.GetSegment(wanted.id)
        assert segment.GetName() == wanted.name
        assert np.allclose(segment.GetColor(), wanted.colour, atol=1e-4)
        assert {key: tag(segment, key) for key in wanted.tags} == wanted.tags
        assert np.array_equal(mask_on_grid(node, wanted.id), mask)


@pytest.mark.parametrize("crop", [False, True])
def test_we_read_what_slicer_writes(scene, tmp_path, crop):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference_volume(scene))
    for wanted, mask in zip(SEGMENTS, MASKS, strict=True):
        node.GetSegmentation().AddEmptySegment(wanted.id, wanted.name, wanted.colour)
        for key, value in wanted.tags.items():
            node.GetSegmentation().GetSegment(wanted.id).SetTag(key, value)
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        assert logic.SetBinaryLabelmapToSegment(labelmap(mask), node, wanted.id, logic.MODE_REPLACE)
    writer = storage(scene, tmp_path / "theirs.seg.nrrd")
    writer.SetCropToMinimumExtent(crop)
    assert writer.WriteData(node)

    back = read_segmentation(tmp_path / "theirs.seg.nrrd")
    assert (back.geometry.size == GEOMETRY.size) is not crop
    for segment, wanted in zip(back.segments, SEGMENTS, strict=True):
        assert (segment.id, segment.name) == (wanted.id, wanted.name)
        assert np.allclose(segment.colour, wanted.colour, atol=1e-4)
        assert wanted.tags.items() <= segment.tags.items()
    label, names, overlap = to_label_map(back, GEOMETRY)
    assert np.array_equal(label, np.where(MASKS[2], 3, np.where(MASKS[1], 2, MASKS[0])))
    assert names == {1: "liver", 2: "Läsion links", 3: "vessel"}
    assert overlap == np.count_nonzero(MASKS[0] & MASKS[1])

    write_segmentation(tmp_path / "again.seg.nrrd", back)
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage(scene, tmp_path / "again.seg.nrrd").ReadData(again)
    for wanted, mask in zip(SEGMENTS, MASKS, strict=True):
        assert np.array_equal(mask_on_grid(again, wanted.id), mask)


def test_slicer_knows_the_terms_colours_and_values_of_a_label_map_by_its_names(scene, tmp_path):
    label = sum(value * mask.astype(int) for value, mask in zip((1, 4), (MASKS[0], MASKS[2]), strict=True))
    names = {1: "left kidney", 4: "Läsion", 6: "lung nodule"}
    write_segmentation(tmp_path / "result.seg.nrrd", named_segments(label, GEOMETRY, names))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage(scene, tmp_path / "result.seg.nrrd").ReadData(node)
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    segments = [segmentation.GetSegment(each) for each in ids]
    assert [segment.GetName() for segment in segments] == list(names.values())
    assert np.array_equal(mask_on_grid(node, ids[0]), MASKS[0] > 0)
    assert np.array_equal(mask_on_grid(node, ids[1]), MASKS[2] > 0)
    told = []
    for segment, value in zip(segments, names, strict=True):
        assert segment.GetColor() == pytest.approx([part / 255 for part in class_colour(value)], abs=1e-3)
        entry = slicer.vtkSlicerTerminologyEntry()
        assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(
            tag(segment, "TerminologyEntry"), entry
        )
        told.append((entry.GetCategoryObject().GetCodeMeaning(), entry.GetTypeObject().GetCodeValue()))
    assert told == [
        ("Anatomical Structure", "64033007"),
        ("Tissue", "85756007"),
        ("Morphologically Abnormal Structure", "27925004"),
    ]
