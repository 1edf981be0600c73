"""What was decided in Slicer, written into the study of the image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from slicer_window import click, press

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "io"))  # for source_series.py

pytestmark = pytest.mark.slow


class Database:
    """Slicer's, as far as it is asked: which file an instance lies in."""

    def __init__(self, folder: Path) -> None:
        import pydicom

        self.files = {str(pydicom.dcmread(path).SOPInstanceUID): str(path) for path in folder.iterdir()}

    def fileForInstance(self, uid: str) -> str:
        return self.files.get(uid, "")


@pytest.fixture
def from_dicom(reviewed, tmp_path, monkeypatch):
    """The reviewed image as if it had been loaded from a series."""
    import slicer
    from source_series import write_series

    from DALESegmentLib.mrml.volumes import geometryFromVolume
    from DALESegmentLib.ui import folders

    image = reviewed.case[0]
    geometry = geometryFromVolume(image)
    write_series(tmp_path / "series", geometry, np.zeros(geometry.array_shape, int), "MR")
    database = Database(tmp_path / "series")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    image.SetAttribute("DICOM.instanceUIDs", " ".join(database.files))
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(folders, "askForFolder", lambda title: tmp_path / "out")
    reviewed.ui.reviewerEdit.text = "A. Reader"
    press(reviewed, "C")
    return reviewed


def test_decisions_are_written_into_the_study(from_dicom, tmp_path):
    import highdicom
    import pydicom

    click(from_dicom.ui.exportDecisionsButton)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.glob("*.dcm")) == [
        f"review-Ball-{name}.dcm" for name in ("regions", "report", "segmentation")
    ]
    source = pydicom.dcmread(next((tmp_path / "series").iterdir()))
    read = highdicom.seg.segread(out / "review-Ball-segmentation.dcm")
    assert (read.StudyInstanceUID, read.FrameOfReferenceUID) == (source.StudyInstanceUID, source.FrameOfReferenceUID)
    assert "reviewed by A. Reader" in read.SeriesDescription
    case = from_dicom.logic.workflow.session.sceneCase()
    volume = read.get_volume(combine_segments=True)
    assert (volume.array > 0).sum() == (np.asarray(case.label) > 0).sum()
    points = np.argwhere(volume.array > 0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    axes = np.array(case.geometry.direction).reshape(3, 3) * case.geometry.spacing
    places = np.argwhere(np.asarray(case.label) > 0)[:, ::-1] @ axes.T + case.geometry.origin
    assert np.allclose(np.sort(points, axis=0), np.sort(places, axis=0), atol=0.02)
    groups = highdicom.sr.srread(out / "review-Ball-report.dcm").content.get_volumetric_roi_measurement_groups()
    verdicts = [
        {q.name.meaning: q.value.meaning for q in group.get_qualitative_evaluations()}["Verdict of the review"]
        for group in groups
    ]
    assert "Label confirmed as it is" in verdicts
    assert "Not yet reviewed" in verdicts


@pytest.mark.parametrize("gone", ["database", "file"])
def test_without_the_files_only_the_tables_are_written(gone, from_dicom, tmp_path, monkeypatch):
    import slicer

    if gone == "database":
        monkeypatch.delattr(slicer, "dicomDatabase")
    else:
        next((tmp_path / "series").iterdir()).unlink()
    click(from_dicom.ui.exportDecisionsButton)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".json"]


def test_a_moved_volume_is_not_written_as_if_it_lay_in_the_scanner(from_dicom, tmp_path):
    import slicer
    import vtk

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40.0)
    transform.SetMatrixTransformToParent(matrix)
    for node in from_dicom.case:
        node.SetAndObserveTransformNodeID(transform.GetID())
    click(from_dicom.ui.exportDecisionsButton)
    assert not list((tmp_path / "out").glob("*.dcm"))
