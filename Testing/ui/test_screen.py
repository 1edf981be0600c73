"""What is on the screen is what is meant: real slice views beside the panel, left as the module leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from panel_steps import step
from slicer_window import click, click_row, enter, leave, press, states, wait_until


@pytest.fixture
def in_views(widget):
    """The panel beside three slice views, and a segmentation that is shown as Slicer shows one: filled."""
    import slicer

    from DALESegmentLib.mrml.drawing import missingForDrawing
    from DALESegmentLib.mrml.scene import startHeadless

    if reason := missingForDrawing():
        pytest.skip(reason)
    startHeadless().color_logic.AddDefaultColorNodes()
    layout = slicer.app._layout
    layout.open_slice_views()
    widget.case[1].CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=widget.case[0], fit=True)
    yield widget
    layout.close_slice_views()


@pytest.fixture
def listed(in_views):
    step(in_views, in_views.ui.trainButton)
    step(in_views, in_views.ui.regionsButton)
    return in_views


def seen(name: str = "Red") -> np.ndarray:
    """A slice view as it is now."""
    import slicer

    from DALESegmentLib.mrml.pictures import pixelsOf

    return pixelsOf(slicer.app._layout.sliceWidget(name).drawn).astype(int)


def lines(name: str = "Red") -> list[str]:
    """The text in a view's corner, from top to bottom."""
    import slicer

    renderer = slicer.app._layout.sliceWidget(name).drawn.render_window().GetRenderers().GetFirstRenderer()
    props = renderer.GetViewProps()
    actors = [props.GetItemAsObject(i) for i in range(props.GetNumberOfItems())]
    ours = [a for a in actors if a.IsA("vtkTextActor") and a.GetPositionCoordinate().GetReferenceCoordinate()]
    return [a.GetInput() for a in sorted(ours, key=lambda a: -a.GetPositionCoordinate().GetValue()[1]) if a.GetInput()]


def heat(widget) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVolume(widget.logic.workflow.state.heatMap).copy()


def test_while_the_heat_map_is_on_a_segment_covers_nothing_but_its_outline(in_views):
    display = in_views.case[1].GetDisplayNode()
    assert display.GetVisibility2DFill()
    bare = seen()
    step(in_views, in_views.ui.trainButton)
    step(in_views, in_views.ui.confidenceButton)
    with_label = seen()
    display.SetVisibility(False)
    without = seen()
    display.SetVisibility(True)
    assert np.ptp(without, axis=2).max() > 60, "there is a heat map"
    assert (with_label != without).any(axis=2).mean() < 0.03
    click(in_views.ui.heatMapCheckBox)
    assert display.GetVisibility2DFill()
    np.testing.assert_array_equal(seen(), bare)  # legend and captions are gone, too
    click(in_views.ui.heatMapCheckBox)
    assert not display.GetVisibility2DFill()


def test_a_segmentation_that_comes_while_the_heat_map_is_on_has_no_fill(listed):
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    other.CreateDefaultDisplayNodes()
    assert wait_until(lambda: not other.GetDisplayNode().GetVisibility2DFill(), 2)


def test_the_fill_comes_back_where_the_heat_map_is_deleted(listed):
    import slicer

    state = listed.logic.workflow.state
    slicer.mrmlScene.RemoveNode(state.heatMap)
    listed.refresh()
    assert listed.case[1].GetDisplayNode().GetVisibility2DFill()


def test_a_saved_scene_gives_the_fill_back(listed, tmp_path):
    import slicer

    from DALESegmentLib.mrml.scene_file import loadScene, saveScene

    saved = saveScene(tmp_path / "kept.mrb")
    slicer.mrmlScene.Clear(False)
    loadScene(saved)
    segmentation = listed.logic.workflow.state.segmentation
    assert not segmentation.GetDisplayNode().GetVisibility2DFill()
    click(listed.ui.heatMapCheckBox)
    assert segmentation.GetDisplayNode().GetVisibility2DFill()


def test_own_label_prediction_and_refreshed_result_are_told_apart(listed):
    from DALESegmentLib.mrml.captions import shortened

    ui, workflow = listed.ui, listed.logic.workflow
    click_row(ui.regionsTable, 0)
    press(listed, "C")
    workflow.refresh()
    assert wait_until(lambda: not workflow.busy)
    refreshed = workflow.state.result
    step(listed, ui.predictButton)
    nodes = [listed.case[1], refreshed, workflow.state.result]
    colours = [np.array(n.GetSegmentation().GetNthSegment(0).GetColor()) for n in nodes]
    widths = [n.GetDisplayNode().GetSliceIntersectionThickness() for n in nodes]
    assert len(set(widths)) == 3
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(colours[a] - colours[b]) > 0.4
    listed.ui.regionsTable.setCurrentCell(-1, -1)
    listed.refresh()
    said = "\n".join(lines())
    for node, whose in zip(nodes, ("as drawn", "model, refreshed", "model"), strict=True):
        assert f"{shortened(node.GetName())}: {whose}" in said


def test_while_a_region_is_at_hand_results_are_drawn_only_where_asked_for(listed):
    ui, workflow = listed.ui, listed.logic.workflow
    click_row(ui.regionsTable, 0)
    bare = lines()
    press(listed, "C")
    workflow.refresh()
    assert wait_until(lambda: not workflow.busy)
    refreshed = workflow.state.result
    listed.refresh()
    assert not refreshed.GetDisplayNode().GetVisibility(), "nobody asked for a refresh"
    step(listed, ui.predictButton)
    predicted = workflow.state.result
    assert predicted is not refreshed
    assert predicted.GetDisplayNode().GetVisibility(), "it was asked for"
    click_row(ui.regionsTable, 0)
    assert not predicted.GetDisplayNode().GetVisibility(), "for the region before"
    assert len(lines()) == len(bare) <= 4
    predicted.GetDisplayNode().SetVisibility(True)
    listed.refresh()
    click_row(ui.regionsTable, 1)
    assert predicted.GetDisplayNode().GetVisibility(), "the reader switched it on"
    ui.regionsTable.setCurrentCell(-1, -1)
    listed.refresh()
    assert all(node.GetDisplayNode().GetVisibility() for node in (refreshed, predicted))


def test_the_frame_of_the_region_at_hand_does_not_reach_the_text(listed):
    import slicer

    from DALESegmentLib.mrml.captions import EDGE_PIXELS, LINE_PIXELS

    click_row(listed.ui.regionsTable, 0)
    for name in ("Red", "Yellow", "Green"):
        view = slicer.app._layout.sliceWidget(name).drawn
        matrix = view.get_view_node().GetXYToRAS()
        to_xy = np.linalg.inv([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        bounds = np.zeros(6)
        marks()["regionFrame"].GetRASBounds(bounds)
        corners = [[x, y, z, 1] for x in bounds[:2] for y in bounds[2:4] for z in bounds[4:]]
        lowest = (np.array(corners) @ to_xy.T)[:, 1].min()
        height = view.render_window().GetSize()[1]
        assert lowest > len(lines(name)) * LINE_PIXELS + EDGE_PIXELS, (name, lowest, height)


def test_the_corner_of_every_view_says_what_is_shown(listed):
    import slicer

    state = listed.logic.workflow.state
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(state.heatMap)
    assert legend.GetTitleText() == "Label confidence"
    assert legend.GetVisibility()
    click_row(listed.ui.regionsTable, 1)
    review = listed.logic.workflow.review
    region = review.regions()[1]
    assert review.suggestedChanges()[region.region_id].sure.any()
    for name in ("Red", "Yellow", "Green"):
        assert lines(name) == [
            f"Region 2: ball, {region.suspicion}",
            "Confidence below 0.80",
            "LabelmapSnapshot: as drawn",
            "Suggested: A takes it",
        ]
    before = seen()
    listed.ui.thresholdSlider.value = 0.5
    assert "Confidence below 0.50" in lines()
    assert not np.array_equal(seen()[-60:, -200:], before[-60:, -200:])
    click(listed.ui.heatMapCheckBox)
    assert not [line for line in lines() if "onfidence" in line]


def test_a_view_of_another_layout_says_it_too(listed):
    import slicer

    slicer.app._layout.open_slice_views()
    assert wait_until(lambda: bool(lines()), 2)


def test_the_corners_are_empty_once_the_scene_is_closed_or_the_module_gone(listed):
    import slicer

    assert lines()
    slicer.mrmlScene.Clear(False)
    slicer.app._layout.open_slice_views()
    assert not wait_until(lambda: bool(lines()), 0.3)


def test_the_corners_are_empty_after_cleanup(listed):
    assert lines()
    listed.cleanup()
    assert not lines()


def marks() -> dict[str, object]:
    import slicer

    from DALESegmentLib.mrml.scene import ROLE

    nodes = slicer.util.getNodesByClass("vtkMRMLModelNode")
    return {n.GetAttribute(ROLE): n for n in nodes if (n.GetAttribute(ROLE) or "").startswith(("region", "editable"))}


def test_the_region_at_hand_is_outlined_and_framed_and_the_others_are_ticks(listed):
    state, review = listed.logic.workflow.state, listed.logic.workflow.review
    assert not marks()
    click_row(listed.ui.regionsTable, 1)
    assert set(marks()) == {"regionOutline", "regionFrame"}
    bounds = np.zeros(6)
    marks()["regionOutline"].GetRASBounds(bounds)
    where = np.argwhere(review.regionMap() == 2)[:, ::-1]
    from DALESegmentLib.mrml.volumes import geometryFromVolume

    geometry = geometryFromVolume(listed.case[0])
    corners = [geometry.index_to_ras(tuple(w)) for w in (where.min(axis=0) - 0.5, where.max(axis=0) + 0.5)]
    np.testing.assert_allclose(np.sort(bounds.reshape(3, 2)), np.sort(np.transpose(corners)), atol=1e-3)
    ticks = state.regionMarkups
    shown = [bool(ticks.GetNthControlPointVisibility(i)) for i in range(ticks.GetNumberOfControlPoints())]
    assert shown == [n != 1 for n in range(len(shown))]
    display = ticks.GetDisplayNode()
    assert display.GetOpacity() < 0.7
    assert not display.GetPointLabelsVisibility()
    assert not display.GetVisibility3D()
    click(listed.ui.ticksCheckBox)
    assert not ticks.GetDisplayVisibility()
    click(listed.ui.ticksCheckBox)
    assert ticks.GetDisplayVisibility()


def test_nothing_is_marked_in_3d_unless_asked(listed):
    click_row(listed.ui.regionsTable, 0)
    ticks = listed.logic.workflow.state.regionMarkups.GetDisplayNode()
    shown = [*[node.GetDisplayNode() for node in marks().values()], ticks]
    assert not any(display.GetVisibility3D() for display in shown)
    click(listed.ui.marksIn3DCheckBox)
    assert all(display.GetVisibility3D() for display in shown)
    click(listed.ui.marksIn3DCheckBox)
    assert not any(display.GetVisibility3D() for display in shown)


def test_the_marks_go_with_the_list(listed):
    click_row(listed.ui.regionsTable, 0)
    listed.ui.segmentationSelector.setCurrentNode(None)
    assert not marks()
    assert not lines()


def test_where_one_may_draw_is_seen_during_a_correction_and_not_afterwards(listed):
    click_row(listed.ui.regionsTable, 0)
    bare = seen()
    press(listed, "E")
    leave(listed)
    assert "editableArea" in marks()
    assert (seen() != bare).any(axis=2).sum() > 50
    enter(listed)
    assert "editableArea" not in marks()
    np.testing.assert_array_equal(seen(), bare)


def test_what_is_confirmed_is_drawn_as_trusted_at_once_and_doubtful_again_after_undo(listed):
    before = heat(listed)
    place = listed.logic.workflow.review.regionMap() == 1
    assert (before[place] < 0.8).all()
    click_row(listed.ui.regionsTable, 0)
    press(listed, "C")
    now = heat(listed)
    assert (now[place] == 1).all()
    assert (now[~place] != before[~place]).mean() < 0.2
    press(listed, "Z")
    np.testing.assert_array_equal(heat(listed), before)


def test_unsure_draws_nothing_as_trusted(listed):
    before = heat(listed)
    click_row(listed.ui.regionsTable, 0)
    press(listed, "U")
    np.testing.assert_array_equal(heat(listed), before)


@pytest.mark.parametrize("accepted", [True, False])
def test_what_is_corrected_is_drawn_as_trusted_whatever_becomes_of_the_model(listed, accepted):
    import slicer

    workflow = listed.logic.workflow
    if not accepted:
        (Path(workflow.state.model) / "objection.txt").write_text("It unlearned what was confirmed.")
    before, place = heat(listed), workflow.review.regionMap() == 1
    click_row(listed.ui.regionsTable, 0)
    press(listed, "E")
    leave(listed)
    image, segmentation = listed.case
    label = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", image).copy()
    label[place] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, "ball", image)
    enter(listed)
    assert states(listed)[0] == "corrected"
    assert (heat(listed)[place] == 1).all(), "at once, while the model still learns"
    assert wait_until(lambda: not workflow.busy)
    assert bool(workflow.state.candidate) != accepted
    assert (heat(listed)[place] == 1).all()
    if not accepted:
        from scipy.ndimage import binary_dilation

        elsewhere = ~binary_dilation(place, iterations=4)
        np.testing.assert_array_equal(heat(listed)[elsewhere], before[elsewhere])


def test_a_new_heat_map_keeps_what_was_decided_and_its_name(listed):
    place = listed.logic.workflow.review.regionMap() == 1
    click_row(listed.ui.regionsTable, 0)
    press(listed, "C")
    for _ in range(2):
        step(listed, listed.ui.confidenceButton)
        assert (heat(listed)[place] == 1).all()
        assert listed.logic.workflow.state.heatMap.GetName() == "Ball label confidence"


def test_the_last_message_goes_with_the_scene(listed):
    import slicer

    assert listed.ui.statusLabel.text
    slicer.mrmlScene.Clear(False)
    assert listed.ui.statusLabel.text == ""
