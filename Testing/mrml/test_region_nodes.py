from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_helpers import a_region, node_counts

from DALESegmentLib.mrml.pictures import renderSlices
from DALESegmentLib.mrml.regions import (
    jumpToRegion,
    regionIdentity,
    regionsFromTable,
    regionStates,
    setRegionState,
    updateRegionMarkups,
    updateRegionTable,
)


def rows_of(table) -> list[list[str]]:
    columns = range(table.GetNumberOfColumns())
    return [[table.GetCellText(row, c) for c in columns] for row in range(table.GetNumberOfRows())]


def slice_nodes(scene) -> list:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSliceNode", scene)


def middle_of(view) -> np.ndarray:
    width, height, _ = view.GetDimensions()
    return np.array(view.GetXYToRAS().MultiplyPoint(((width - 1) / 2, (height - 1) / 2, 0, 1))[:3])


def test_the_table_reads_like_a_list(a_scene, some_regions):
    table = updateRegionTable(some_regions[::-1])
    assert [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())] == [
        "rank", "case", "segment", "suspicion", "size mm³", "mean confidence", "lowest confidence",
        "R", "A", "S", "state", "who", "when",
    ]  # fmt: skip
    assert rows_of(table)[0] == [
        "1", "CT", "lesion", "too large", "200", "0.432", "0.1", "14", "-4", "37", "open", "", "",
    ]  # fmt: skip


def test_the_regions_come_back_exactly(a_scene, some_regions):
    assert regionsFromTable(updateRegionTable(some_regions)) == some_regions


def test_a_large_label_value_and_its_name_come_into_the_scene_as_they_are(a_scene, some_regions):
    large = replace(some_regions[0], label_value=1_000_000, suggested_value=40_000, class_name="stone")
    table = updateRegionTable([large])
    assert regionsFromTable(table) == [large]
    assert rows_of(table)[0][2] == "stone"


def test_a_decision_stays_with_its_region(a_scene, a_geometry, some_regions):
    first, second = some_regions
    table = updateRegionTable(some_regions)
    setRegionState(table, second, "confirmed")
    new = a_region(1, (5, 5, 5), a_geometry)
    moved_up = replace(second, rank=2, region_id=7, mean_confidence=0.9)
    table = updateRegionTable([new, moved_up, replace(first, rank=3)])
    assert [row[-3] for row in rows_of(table)] == ["open", "confirmed", "open"]
    assert regionStates(table)[regionIdentity(second)] == "confirmed"


def test_one_locked_mark_a_region(a_scene, some_regions):
    marks = updateRegionMarkups(some_regions)
    assert marks.GetLocked()
    assert [marks.GetNthControlPointLabel(i) for i in range(2)] == ["1", "2"]  # short: neighbours do not overlap
    described = [marks.GetNthControlPointDescription(i) for i in range(2)]
    assert described == ["lesion: too large", "lesion: missing"]
    for i, region in enumerate(some_regions):
        np.testing.assert_allclose(marks.GetNthControlPointPositionWorld(i), region.centre_ras)


def test_refreshing_makes_no_new_nodes(a_scene, some_regions):
    table, marks = updateRegionTable(some_regions), updateRegionMarkups(some_regions)
    before = node_counts(a_scene)
    assert updateRegionTable(some_regions[:1]) is table
    assert updateRegionMarkups(some_regions[:1], marks) is marks
    assert (table.GetNumberOfRows(), marks.GetNumberOfControlPoints()) == (1, 1)
    assert node_counts(a_scene) == before


def test_no_regions_is_an_empty_list(a_scene, some_regions):
    updateRegionTable(some_regions)
    table = updateRegionTable([])
    assert (table.GetNumberOfRows(), regionsFromTable(table), regionStates(table)) == (0, [], {})
    assert updateRegionMarkups([]).GetNumberOfControlPoints() == 0


@pytest.mark.usefixtures("the_views")
@pytest.mark.parametrize("pan", [0.0, 12.0])
def test_a_jump_centres_all_views(a_volume_node, a_scene, a_geometry, pan):
    renderSlices(a_volume_node, size=200)
    for view in slice_nodes(a_scene):
        view.SetXYZOrigin(pan, -pan, 0)
    region = a_region(1, (11, 41, 13), a_geometry)
    jumpToRegion(region)
    assert len(slice_nodes(a_scene)) == 3
    for view in slice_nodes(a_scene):
        pixel = view.GetFieldOfView()[0] / view.GetDimensions()[0]
        assert np.linalg.norm(middle_of(view) - region.centre_ras) < pixel


@pytest.mark.usefixtures("the_views")
def test_a_jump_frames_the_region_and_keeps_the_aspect(a_volume_node, a_scene, a_geometry):
    renderSlices(a_volume_node, size=200)
    view = slice_nodes(a_scene)[0]
    view.SetFieldOfView(200, 100, 1)
    small = a_region(1, (20, 30, 10), a_geometry)
    jumpToRegion(replace(small, first_voxel=(20, 30, 10), last_voxel=(21, 31, 10)))
    assert view.GetFieldOfView()[:2] == pytest.approx((60, 30))
    large = replace(small, first_voxel=(10, 30, 10), last_voxel=(39, 31, 10))  # 30 voxels of 0.8 mm
    jumpToRegion(large, a_geometry)
    assert view.GetFieldOfView()[:2] == pytest.approx((2 * 96, 96))


def test_the_users_own_list_stays_the_one_that_points_are_placed_in(a_scene, some_regions):
    selection = a_scene.CreateNodeByClass("vtkMRMLSelectionNode")
    selection.UnRegister(None)
    selection.SetSingletonTag("Singleton")
    selection = a_scene.AddNode(selection)
    own = a_scene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "own")
    assert selection.GetActivePlaceNodeID() == own.GetID(), "Slicer takes the newest"
    updateRegionMarkups(some_regions)
    assert selection.GetActivePlaceNodeID() == own.GetID()
    assert selection.GetActivePlaceNodeClassName() == "vtkMRMLMarkupsLineNode"
    a_scene.RemoveNode(selection)
