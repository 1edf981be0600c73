from __future__ import annotations

import numpy as np
from scene_helpers import node_counts

from DALESegmentLib.mrml.charts import updateCurves
from DALESegmentLib.mrml.scene import nodeWithRole


def curves(chart) -> dict[str, list[list[float]]]:
    """{name: [epochs, values]} of what the chart draws."""
    import slicer

    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    names = [(s, column) for s in series for column in (s.GetXColumnName(), s.GetYColumnName())]
    columns = [slicer.util.arrayFromTableColumn(s.GetTableNode(), column).tolist() for s, column in names]
    return {s.GetName(): columns[2 * n : 2 * n + 2] for n, s in enumerate(series)}


def test_curves_are_redrawn_in_place(a_scene):
    history = [{"epoch": 1, "loss": 0.9, "validation_dice": 0.2}]
    chart = updateCurves(history)
    before = node_counts(a_scene)
    history += [{"epoch": 2, "loss": 0.5}, {"epoch": 3, "loss": 0.4, "validation_dice": 0.8}]
    assert updateCurves(history) is chart
    assert node_counts(a_scene) == before
    assert curves(chart) == {
        "Training loss": [[1, 2, 3], [0.9, 0.5, 0.4]],
        "Validation Dice": [[1, 3], [0.2, 0.8]],  # not validated at the second epoch
    }


def test_a_curve_of_one_point_or_of_none_is_not_drawn(a_scene):
    """Slicer says "Attempted to paint a line with <2 points" of each, with the sign of an error."""
    chart = updateCurves([{"epoch": 1, "loss": 0.9}])
    assert curves(chart) == {}
    history = [{"epoch": e, "loss": 1 / e, "validation_dice": d} for e, d in ((1, np.nan), (2, 0.5), (3, None))]
    assert list(curves(updateCurves(history))) == ["Training loss"]
    history = [{"epoch": e, "loss": np.nan, "validation_dice": 0.1 * e} for e in (1, 2, 3)]
    assert list(curves(updateCurves(history))) == ["Validation Dice"]
    assert nodeWithRole("vtkMRMLTableNode", "curveTable.loss").GetNumberOfRows() == 0
