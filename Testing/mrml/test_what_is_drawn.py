"""What the slice views draw, as pixels: Slicer draws a segment's fill over the foreground volume."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from DALESegmentLib.mrml.heat_map import hideHeatMap, removeHeatMap, showConfidence
from DALESegmentLib.mrml.outlines import FILL, drawOutlinesAlone, matchOutlines
from DALESegmentLib.mrml.pictures import pixelsOf, sliceView
from DALESegmentLib.mrml.region_marks import markEditableArea, markRegion, unmarkEditableArea, unmarkRegion
from DALESegmentLib.mrml.scene import ROLE
from DALESegmentLib.mrml.scene_file import loadScene, saveScene
from DALESegmentLib.mrml.segmentations import addSegmentation
from DALESegmentLib.mrml.views import centreSliceViews
from DALESegmentLib.mrml.volumes import addVolume, geometryFromVolume

SIZE = 240
INSIDE, OUTSIDE = (25, 30, 10), (8, 8, 10)  # voxels (i, j, k) in the first lesion, far from any segment


@pytest.fixture
def a_grey_image(a_scene, a_geometry):
    """The same everywhere, so that colours tell what lies over it."""
    return addVolume(np.full(a_geometry.array_shape, 100, np.float32), a_geometry, "grey")


@pytest.fixture
def drawn_by_the_reader(a_grey_image, a_label, a_geometry):
    """A segmentation as Slicer shows one: filled, with an outline of one pixel."""
    node = addSegmentation(a_label, a_geometry, {1: "lesion", 2: "oedema"}, a_grey_image, "drawn")
    node.GetDisplayNode().SetVisibility2DFill(True)
    node.GetDisplayNode().SetSliceIntersectionThickness(1)
    return node


@pytest.fixture
def a_doubtful_map(a_geometry) -> np.ndarray:
    return np.full(a_geometry.array_shape, 0.1, np.float32)


def seen(volume, orientation="Axial") -> np.ndarray:
    """The pixels of a view that is left as it is, centred on the middle of the first lesion."""
    view = sliceView(orientation, SIZE)
    view.set_background_volume_id(volume.GetID())
    view.fit_view_to_content()
    centreSliceViews(geometryFromVolume(volume).index_to_ras(INSIDE))
    return pixelsOf(view).astype(int)


def at(picture: np.ndarray, volume, voxel, orientation="Axial") -> np.ndarray:
    """The colour where a voxel of that slice is drawn."""
    matrix = sliceView(orientation, SIZE).get_view_node().GetXYToRAS()
    inverse = np.linalg.inv([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    x, y = (inverse @ [*geometryFromVolume(volume).index_to_ras(voxel), 1])[:2]
    return picture[SIZE - 1 - round(y), round(x)]


@pytest.mark.usefixtures("the_views")
def test_inside_a_segment_the_heat_map_has_the_colours_of_its_legend(
    a_grey_image, drawn_by_the_reader, a_doubtful_map, a_geometry
):
    showConfidence(a_doubtful_map, a_geometry, "confidence")
    picture = seen(a_grey_image)
    assert np.ptp(at(picture, a_grey_image, OUTSIDE)) > 40, "there is a heat map"
    np.testing.assert_allclose(at(picture, a_grey_image, INSIDE), at(picture, a_grey_image, OUTSIDE), atol=2)


@pytest.mark.usefixtures("the_views")
def test_the_fill_comes_back_with_the_end_of_the_heat_map(
    a_grey_image, drawn_by_the_reader, a_doubtful_map, a_geometry
):
    before = seen(a_grey_image)
    heat_map = showConfidence(a_doubtful_map, a_geometry, "confidence")
    assert not np.array_equal(seen(a_grey_image), before)
    hideHeatMap(heat_map)
    np.testing.assert_array_equal(seen(a_grey_image), before)
    display = drawn_by_the_reader.GetDisplayNode()
    assert (display.GetVisibility2DFill(), display.GetSliceIntersectionThickness()) == (True, 1)
    assert display.GetAttribute(FILL) is None


@pytest.mark.usefixtures("the_views")
def test_the_fill_comes_back_after_the_scene_was_saved_and_loaded(
    a_grey_image, drawn_by_the_reader, a_doubtful_map, a_geometry, a_scene, tmp_path
):
    import slicer

    showConfidence(a_doubtful_map, a_geometry, "confidence")
    saved = saveScene(tmp_path / "work.mrb")
    loadScene(saved)
    (display,) = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", a_scene)
    assert not display.GetVisibility2DFill()
    heat_map = a_scene.GetFirstNodeByName("confidence")
    removeHeatMap(heat_map)
    assert display.GetVisibility2DFill()


def test_another_scene_is_not_touched_by_what_the_closed_one_had(a_scene, a_grey_image, a_label, a_geometry):
    addSegmentation(a_label, a_geometry, {1: "lesion"}, a_grey_image, "drawn").GetDisplayNode().SetVisibility2DFill(1)
    drawOutlinesAlone()
    a_scene.Clear(0)
    image = addVolume(np.zeros(a_geometry.array_shape, np.float32), a_geometry, "next")
    node = addSegmentation(a_label, a_geometry, {1: "lesion"}, image, "next label")
    node.GetDisplayNode().SetVisibility2DFill(False)
    matchOutlines(False)
    assert not node.GetDisplayNode().GetVisibility2DFill()
    node.GetDisplayNode().SetVisibility2DFill(True)
    matchOutlines(False)
    assert node.GetDisplayNode().GetVisibility2DFill()


def test_a_fill_that_the_reader_switches_on_meanwhile_stays(drawn_by_the_reader):
    display = drawn_by_the_reader.GetDisplayNode()
    matchOutlines(True)
    assert not display.GetVisibility2DFill()
    display.SetVisibility2DFill(True)
    matchOutlines(True)
    assert display.GetVisibility2DFill()


def test_what_was_not_filled_before_is_not_filled_afterwards(drawn_by_the_reader):
    display = drawn_by_the_reader.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(False)
    matchOutlines(True)
    assert display.GetVisibility2DOutline()
    matchOutlines(False)
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (False, False)


def test_own_label_model_and_refreshed_result_differ_in_colour_and_line(
    drawn_by_the_reader, a_grey_image, a_label, a_geometry
):
    names = {1: "lesion", 2: "oedema"}
    made = [
        addSegmentation(a_label, a_geometry, names, a_grey_image, line, drawn_by_the_reader, line)
        for line in ("model", "refreshed")
    ]
    matchOutlines(True)
    nodes = [drawn_by_the_reader, *made]
    assert len({node.GetDisplayNode().GetSliceIntersectionThickness() for node in nodes}) == 3
    for a, b in pairs([colour for node in nodes for colour in colours_of(node)]):
        assert np.linalg.norm(np.subtract(a, b)) > 0.25
    matchOutlines(False)
    assert [node.GetDisplayNode().GetSliceIntersectionThickness() for node in nodes] == [1, 1, 2]


def colours_of(node) -> list:
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(i).GetColor() for i in segmentation.GetSegmentIDs()]


def pairs(items: list) -> Iterator[tuple]:
    return ((a, b) for n, a in enumerate(items) for b in items[n + 1 :])


@pytest.fixture
def a_region_mask(a_label) -> np.ndarray:
    mask = np.zeros(a_label.shape, bool)
    mask[9:12, 26:34, 22:30] = True
    return mask


def white(picture: np.ndarray) -> int:
    return int((picture.min(axis=-1) > 240).sum())


@pytest.mark.usefixtures("the_views")
@pytest.mark.parametrize("orientation", ["Axial", "Sagittal", "Coronal"])
def test_the_region_at_hand_is_outlined_and_framed_in_every_view(a_grey_image, a_region_mask, a_geometry, orientation):
    bare = seen(a_grey_image, orientation)
    assert white(bare) == 0
    markRegion(a_region_mask, (0, 0, 0), a_geometry)
    marked = seen(a_grey_image, orientation)
    rows, columns = np.nonzero((marked != bare).any(axis=-1))
    inner = outline_pixels(a_grey_image, a_region_mask, orientation)
    assert (marked[inner] != bare[inner]).any(axis=-1).mean() > 0.9
    assert np.ptp(rows) > np.ptp(inner[0]), "the frame is larger than the outline"
    assert np.ptp(columns) > np.ptp(inner[1])
    unmarkRegion()
    np.testing.assert_array_equal(seen(a_grey_image, orientation), bare)


def outline_pixels(volume, mask, orientation) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the corners of the mask's section, by the view's own matrix."""
    matrix = sliceView(orientation, SIZE).get_view_node().GetXYToRAS()
    inverse = np.linalg.inv([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    where = np.argwhere(mask)[:, ::-1]
    low, high = where.min(axis=0) - 0.5, where.max(axis=0) + 0.5
    place = np.array(INSIDE, float)
    along = {"Axial": (0, 1), "Sagittal": (1, 2), "Coronal": (0, 2)}[orientation]
    points = []
    for share in np.linspace(0.05, 0.95, 20):
        for fixed, moving in (along, along[::-1]):
            for end in (low, high):
                voxel = place.copy()
                voxel[fixed] = end[fixed]
                voxel[moving] = low[moving] + share * (high - low)[moving]
                x, y = (inverse @ [*geometryFromVolume(volume).index_to_ras(tuple(voxel)), 1])[:2]
                points.append((SIZE - 1 - round(y), round(x)))
    return tuple(np.array(points).T)


@pytest.mark.usefixtures("the_views")
def test_where_one_may_draw_is_outlined(a_grey_image, a_region_mask, a_geometry):
    bare = seen(a_grey_image)
    markEditableArea(a_region_mask, a_geometry)
    marked = seen(a_grey_image)
    inner = outline_pixels(a_grey_image, a_region_mask, "Axial")
    assert (marked[inner] != bare[inner]).any(axis=-1).mean() > 0.9
    unmarkEditableArea()
    np.testing.assert_array_equal(seen(a_grey_image), bare)


def test_the_marks_are_not_in_3d_nor_in_any_list_nor_in_the_file(a_scene, a_region_mask, a_geometry):
    import slicer

    def marks() -> list:
        models = slicer.util.getNodesByClass("vtkMRMLModelNode", a_scene)
        return [node for node in models if node.GetAttribute(ROLE) is not None]  # the views have models of their own

    markRegion(a_region_mask, (0, 0, 0), a_geometry)
    models = marks()
    assert len(models) == 2
    for node in models:
        assert node.GetHideFromEditors()
        assert not node.GetSaveWithScene()
        assert not node.GetDisplayNode().GetVisibility3D()
    markRegion(a_region_mask, (0, 0, 0), a_geometry, in3D=True)
    assert all(node.GetDisplayNode().GetVisibility3D() for node in models)
    assert marks() == models
    markRegion(np.zeros_like(a_region_mask), (0, 0, 0), a_geometry)
    assert not marks()
