"""scene.mrb: one case as it stands in Slicer, and a picture of it by Slicer's own slice views."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .data import DemoData
from .demonstration import DemoResults
from .progress_printer import ProgressPrinter
from .report_case import ReportCase

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
    from ..mrml.pictures import renderSlices, writePicture
    from ..mrml.regions import updateRegionMarkups, updateRegionTable
    from ..mrml.scene import startHeadless
    from ..mrml.scene_file import saveScene
    from ..mrml.segmentations import addSegmentation
    from ..mrml.volumes import addVolume

    startHeadless()
    vtk.vtkOutputWindow.SetInstance(vtk.vtkStringOutputWindow())  # else every file that is packed is listed
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    volumes = [addVolume(channel, case.geometry, case.name) for channel in case.channels]
    segmentations: list[Any] = [
        addSegmentation(label, case.geometry, data.class_names, volumes[0], name)
        for name, label in (("Label as given", case.label), ("DALE", case.prediction), ("Reference", case.reference))
    ]
    heat = showConfidence(case.confidence, case.geometry, "Label confidence", case.label)
    regions = [region for region in done.regions if region.case == case.name]
    updateRegionTable(regions)
    updateRegionMarkups(done.worst[:1])  # more would only hide the image
    updateCurves(done.histories["dale"])
    missing = missingForDrawing()
    if missing:
        report(f"Slicer's views cannot be drawn here, so slicer-views.png was left out. {missing}")
    else:
        picture = renderSlices(volumes[0], segmentations[:1], heat, regions[0].centre_ras, PIXELS, FRAME_MM)
        writePicture(out / "slicer-views.png", picture)
    saveScene(out / "scene.mrb")
