"""The heat map's controls: on and off, one segment, the 3D surface, the legend."""

from __future__ import annotations

import numpy as np
import pytest
from panel_steps import choose, step
from slicer_window import click


@pytest.fixture
def shown(widget, a_slice_view):
    """The panel with a heat map over one slice view."""
    widget.view = a_slice_view()
    step(widget, widget.ui.trainButton)
    step(widget, widget.ui.confidenceButton)
    return widget


def surface_node():
    from DALESegmentLib.mrml.scene import nodeWithRole
    from DALESegmentLib.mrml.surface import SURFACE

    return nodeWithRole("vtkMRMLModelNode", SURFACE)


def test_it_goes_and_comes_back_with_its_box(shown):
    heat_map = shown.logic.workflow.state.heatMap.GetID()
    click(shown.ui.heatMapCheckBox)
    assert shown.view.GetForegroundVolumeID() is None
    click(shown.ui.heatMapCheckBox)
    assert shown.view.GetForegroundVolumeID() == heat_map
    assert shown.view.GetForegroundOpacity() == pytest.approx(0.6)


def test_a_new_heat_map_stays_off_while_it_is_switched_off(shown):
    click(shown.ui.heatMapCheckBox)
    step(shown, shown.ui.confidenceButton)
    assert shown.view.GetForegroundVolumeID() is None


def test_one_segment_alone(shown):
    import slicer

    image, segmentation = shown.case
    segmentation.GetSegmentation().AddEmptySegment("corner", "corner")
    small = np.zeros((16, 48, 48), np.uint8)
    small[1:4, 1:4, 1:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(small, segmentation, "corner", image)
    shown.refresh()
    whole = slicer.util.arrayFromVolume(shown.logic.workflow.state.heatMap).copy()
    choose(shown.ui.heatMapSegmentComboBox, "corner")
    part = slicer.util.arrayFromVolume(shown.logic.workflow.state.heatMap).copy()
    assert (part[:, 30:, 30:] == 1).all()
    assert not (whole[:, 30:, 30:] == 1).all()
    assert (part[1:4, 1:4, 1:4] < 1).any()
    choose(shown.ui.heatMapSegmentComboBox, "All segments")
    again = slicer.util.arrayFromVolume(shown.logic.workflow.state.heatMap)
    assert (again[:, 30:, 30:] < 1).any()


def test_the_surface_comes_with_its_box_and_goes_with_it(shown):
    click(shown.ui.surfaceCheckBox)
    model = surface_node()
    assert model.GetPolyData().GetNumberOfPoints() > 50
    assert model.GetDisplayNode().GetScalarVisibility()
    click(shown.ui.surfaceCheckBox)
    assert surface_node() is None


def test_the_surface_goes_while_another_image_is_chosen(shown):
    click(shown.ui.surfaceCheckBox)
    shown.ui.segmentationSelector.setCurrentNode(None)
    assert surface_node() is None
    shown.ui.segmentationSelector.setCurrentNode(shown.case[1])
    assert surface_node() is not None


def test_the_legend_has_the_colours_of_the_map(shown):
    import standin

    from DALESegmentLib.mrml.heat_map import confidenceColours

    picture = standin.unwrap(shown.ui.legendLabel).grab().toImage()
    for place, index in ((0.02, 5), (0.98, 250)):
        colour = [0.0] * 4
        confidenceColours().GetColor(index, colour)
        seen = picture.pixelColor(int(place * picture.width()), 2)
        assert [seen.redF(), seen.greenF(), seen.blueF()] == pytest.approx(colour[:3], abs=0.05)


def test_nothing_can_be_set_before_there_is_a_heat_map(widget):
    ui = widget.ui
    for control in (ui.heatMapCheckBox, ui.surfaceCheckBox, ui.heatMapSegmentComboBox, ui.opacitySlider):
        assert not control.enabled
