from __future__ import annotations

import numpy as np
from scene_helpers import node_counts

from DALESegmentLib.mrml.charts import updateCurves


def test_curves_are_redrawn_in_place(a_scene):
    import slicer

    history = [{"epoch": 1, "loss": 0.9, "validation_dice": 0.2}]
    chart = updateCurves(history)
    before = node_counts(a_scene)
    history += [{"epoch": 2, "loss": 0.5}, {"epoch": 3, "loss": 0.4, "validation_dice": 0.8}]
    assert updateCurves(history) is chart
    assert node_counts(a_scene) == before

    assert chart.GetNumberOfPlotSeriesNodes() == 2
    dice = chart.GetNthPlotSeriesNode(1)
    column = slicer.util.arrayFromTableColumn(dice.GetTableNode(), dice.GetYColumnName())
    np.testing.assert_array_equal(column, [0.2, np.nan, 0.8])  # not validated at the second epoch
    epochs = slicer.util.arrayFromTableColumn(dice.GetTableNode(), dice.GetXColumnName())
    np.testing.assert_array_equal(epochs, [1, 2, 3])
    assert dice.GetName() == "Validation Dice"
