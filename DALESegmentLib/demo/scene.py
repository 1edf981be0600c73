"""scene.mrb: one case as it would stand in Slicer, and a picture of it by Slicer's own slice views."""

from __future__ import annotations

from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .data import DemoData
from .report import ReportCase
from .rounds import WORST, Rounds, Say


def write_scene(data: DemoData, done: Rounds, case: ReportCase, out: Path, say: Say) -> None:
    """Needs slicer-core; says so in one sentence where it is not installed."""
    if find_spec("slicer") is None or find_spec("trame_slicer") is None:
        say("Slicer's scene classes (slicer-core) are not installed here: scene.mrb was left out.")
        return
    if find_library("EGL") is None:
        say("The system library EGL is missing (Debian: libegl1): scene.mrb was left out.")
        return
    import vtk

    from DALESegmentLib.mrml.charts import updateCurves
    from DALESegmentLib.mrml.heat_map import showConfidence
    from DALESegmentLib.mrml.regions import updateRegionMarkups, updateRegionTable
    from DALESegmentLib.mrml.scene import startHeadless
    from DALESegmentLib.mrml.scene_file import saveScene
    from DALESegmentLib.mrml.segmentations import addSegmentation
    from DALESegmentLib.mrml.volumes import addVolume

    startHeadless()
    vtk.vtkObject.GlobalWarningDisplayOff()  # it would list every file it packs
    name, geometry, label = case.case.name, case.geometry, np.asarray(case.case.label)
    volume = addVolume(case.image, geometry, name)
    given = addSegmentation(label, geometry, data.class_names, volume, "Label as given")
    addSegmentation(case.reference, geometry, data.class_names, volume, "Reference")
    if case.prediction is not None:
        addSegmentation(case.prediction, geometry, data.class_names, volume, "DALE")
    heat = showConfidence(case.confidence, geometry, "Label confidence", label)
    regions = [region for region in done.regions if region.case == name]
    updateRegionTable(regions)
    updateRegionMarkups(regions[:WORST])  # more would only hide the image
    updateCurves(done.histories["dale"])
    _picture(out, volume, given, heat, regions[0].centre_ras)
    saveScene(out / "scene.mrb")


def _picture(out: Path, volume: object, given: object, heat: object, ras: tuple[float, float, float]) -> None:
    from DALESegmentLib.mrml.pictures import renderSlices, writePicture

    writePicture(out / "slicer-views.png", renderSlices(volume, [given], heat, ras, 500))
