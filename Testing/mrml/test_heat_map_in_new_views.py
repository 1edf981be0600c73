"""A view opened after the heat map was made shows it, too."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.heat_map import setHeatMapOpacity, showConfidence
from DALESegmentLib.mrml.pictures import renderSlices
from DALESegmentLib.mrml.volumes import addVolume


@pytest.mark.usefixtures("the_views")
def test_the_heat_map_is_in_the_first_picture_ever_taken(a_scene):
    geometry = Geometry((20, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    volume = addVolume(np.random.default_rng(0).normal(100, 10, geometry.array_shape), geometry, "image")
    heat = showConfidence(np.full(geometry.array_shape, 0.1), geometry, "confidence")
    setHeatMapOpacity(heat, 0.0)  # what a freshly opened view starts with
    with_heat = renderSlices(volume, (), heat, size=120)
    without = renderSlices(volume, (), None, size=120)
    assert np.ptp(with_heat.astype(int), axis=2).max() > 50  # coloured
    assert np.ptp(without.astype(int), axis=2).max() < 50
