"""Learning curves as a Slicer plot, redrawn in place while training runs."""

from __future__ import annotations

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

    Returns the vtkMRMLPlotChartNode. The scene has one chart, with its table and series; they are reused.
    """
    table = ensureNodeWithRole("vtkMRMLTableNode", "curveTable", _("Learning curves table"))
    chart = ensureNodeWithRole("vtkMRMLPlotChartNode", "curveChart", _("Learning curves"))
    curves, epoch = list(_curves()), _("Epoch")
    columns = [("epoch", epoch), *((key, name) for key, name, _colour in curves)]
    modified = table.StartModify()
    table.RemoveAllColumns()
    for key, name in columns:
        table.AddColumn(_column(name, [row.get(key) for row in history]))
    table.EndModify(modified)
    for key, name, colour in curves:
        series = ensureNodeWithRole("vtkMRMLPlotSeriesNode", f"curve.{key}", name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeScatter)
        series.SetXColumnName(epoch)
        series.SetYColumnName(name)
        series.SetMarkerStyle(series.MarkerStyleNone if len(history) > 1 else series.MarkerStyleCircle)
        series.SetLineStyle(series.LineStyleSolid)
        series.SetLineWidth(2)
        series.SetColor(*colour)
        if not chart.HasPlotSeriesNodeID(series.GetID()):
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(_("Learning curves"))
    chart.SetXAxisTitle(epoch)
    chart.SetYAxisTitle(_("Loss, Dice"))
    return chart


def curvesChart() -> Any:
    """The chart of the scene, empty as long as nothing was trained."""
    return nodeWithRole("vtkMRMLPlotChartNode", "curveChart") or updateCurves([])


def _column(name: str, values: list[float | None]) -> vtk.vtkDoubleArray:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(float("nan") if value is None else float(value))
    return column
