"""scene.mrb: one case as it stands in Slicer, and a picture of it by Slicer's own slice views."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from matplotlib.colors import to_rgb

from .data import DemoData
from .demonstration import DemoResults
from .progress_printer import ProgressPrinter
from .report_case import GIVEN, MODEL, REFERENCE, ReportCase
from .slicer_page import write_views

PIXELS, FRAME_MM = 500, 60.0  # what each slice view has along its edge


def write_scene(data: DemoData, done: DemoResults, out: Path, report: ProgressPrinter) -> None:
    """The case with the worst region. Prints one sentence where something is missing for it."""
    if not done.worst:
        report("No doubtful place was found, so there is no scene to show.")
    elif find_spec("slicer") is None or find_spec("trame_slicer") is None:
        report("Slicer's scene classes (pip package slicer-core) are not installed: scene.mrb was left out.")
    else:
        _write(data, done, ReportCase(data, out, done.worst[0].case), out, report)


def _write(data: DemoData, done: DemoResults, case: ReportCase, out: Path, report: ProgressPrinter) -> None:
    import vtk

    from ..mrml.charts import updateCurves
    from ..mrml.drawing import missingForDrawing
    from ..mrml.heat_map import showConfidence
    from ..mrml.pictures import renderSlices, viewSides
    from ..mrml.regions import updateRegionMarkups, updateRegionTable
    from ..mrml.scene import startHeadless
    from ..mrml.scene_file import saveScene
    from ..mrml.segmentations import addSegmentation
    from ..mrml.volumes import addVolume

    drawn = (
        ("Label as given", case.label, GIVEN),
        ("DALE", case.prediction, MODEL),
        ("Reference", case.reference, REFERENCE),
    )
    startHeadless()
    vtk.vtkOutputWindow.SetInstance(vtk.vtkStringOutputWindow())  # else every file that is packed is listed
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    volumes = [addVolume(channel, case.geometry, case.name) for channel in case.channels]
    segmentations: list[Any] = [
        addSegmentation(label, case.geometry, data.class_names, volumes[0], name) for name, label, _ in drawn
    ]
    for node, (_, _, colour) in zip(segmentations, drawn, strict=True):
        colour_segments(node, colour)
    heat = showConfidence(case.confidence, case.geometry, "Label confidence", case.label)
    regions = [region for region in done.regions if region.case == case.name]
    updateRegionTable(regions)
    updateRegionMarkups(done.worst[:1])  # more would only hide the image
    updateCurves(done.histories["dale"])
    missing = missingForDrawing()
    if missing:
        report(f"Slicer's views cannot be drawn here, so slicer-views.png was left out. {missing}")
    else:
        flat = case.geometry.dims == 2
        frame = float(max(case.geometry.size)) if flat else FRAME_MM
        middle = None if flat else regions[0].centre_ras
        views = renderSlices(volumes[0], segmentations[:2], heat, middle, PIXELS, frame)
        title = f"Case {case.name} in Slicer" + ("" if flat else f", at the worst place: {regions[0].suspicion}")
        outlines = {name: colour for name, _, colour in drawn[:2]}
        sides = {"Picture": ("", "", "", "")} if flat else viewSides()  # the other two would show an edge
        shown, unit = views[:, : PIXELS * len(sides)], "mm" if case.geometry.unit == "mm" else "px"
        write_views(out / "slicer-views.png", shown, sides, frame, title, outlines, unit)
    saveScene(out / "scene.mrb")


def colour_segments(node: Any, colour: str) -> None:
    """All segments in one colour, as in the report; of several classes each a little darker than the one before."""
    red, green, blue = to_rgb(colour)
    segmentation = node.GetSegmentation()
    for n in range(segmentation.GetNumberOfSegments()):
        shade = 0.75**n
        segmentation.GetNthSegment(n).SetColor(red * shade, green * shade, blue * shade)
