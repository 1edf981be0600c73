"""Learning curves as a Slicer plot, redrawn in place while training runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import vtk

from .i18n import tr as _
from .scene import ensureNodeWithRole, nodeWithRole


def _curves() -> Iterator[tuple[str, str, tuple[float, float, float]]]:
    """Key in the history, name in the legend, colour. Vermilion and blue: told apart with any colour vision."""
    yield "loss", _("Training loss"), (0.84, 0.37, 0.0)
    yield "validation_dice", _("Validation Dice"), (0.0, 0.45, 0.70)


def updateCurves(history: Sequence[dict[str, Any]]) -> Any:
    """Draw the history, one dict an epoch with "epoch" and any of "loss", "validation_dice".

    Returns the vtkMRMLPlotChartNode. The scene has one chart, and a table and a series for each curve that ever had a
    point; they are reused. A curve of less than two points is left out: there is no line to draw, and Slicer reports
    that as an error.
    """
    chart = ensureNodeWithRole("vtkMRMLPlotChartNode", "curveChart", _("Learning curves"))
    epoch = _("Epoch")
    for key, name, colour in _curves():
        known = nodeWithRole("vtkMRMLPlotSeriesNode", f"curve.{key}")
        if known is None and not any(_isNumber(row.get(key)) for row in history):
            continue  # an empty table and curve would only puzzle
        table = ensureNodeWithRole("vtkMRMLTableNode", f"curveTable.{key}", _("{curve} table").format(curve=name))
        points = [(row["epoch"], row[key]) for row in history if _isNumber(row.get(key))]
        modified = table.StartModify()
        table.RemoveAllColumns()
        for column, title in enumerate((epoch, name)):
            table.AddColumn(_column(title, [point[column] for point in points]))
        table.EndModify(modified)
        series = ensureNodeWithRole("vtkMRMLPlotSeriesNode", f"curve.{key}", name)
        _styleSeries(series, table, epoch, name, colour)
        drawn = chart.HasPlotSeriesNodeID(series.GetID())
        if len(points) > 1 and not drawn:
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
        elif len(points) < 2 and drawn:
            chart.RemovePlotSeriesNodeID(series.GetID())
    chart.SetTitle(_("Learning curves"))
    chart.SetXAxisTitle(epoch)
    chart.SetYAxisTitle(_("Loss, Dice"))
    return chart


def _styleSeries(series: Any, table: Any, epoch: str, name: str, colour: tuple[float, float, float]) -> None:
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetPlotType(series.PlotTypeScatter)
    series.SetXColumnName(epoch)
    series.SetYColumnName(name)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetLineStyle(series.LineStyleSolid)
    series.SetLineWidth(2)
    series.SetColor(*colour)


def _isNumber(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def curvesChart() -> Any:
    """The chart of the scene, empty as long as nothing was trained."""
    return nodeWithRole("vtkMRMLPlotChartNode", "curveChart") or updateCurves([])


def _column(name: str, values: Sequence[float]) -> vtk.vtkDoubleArray:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(float(value))
    return column
