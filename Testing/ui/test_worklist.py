"""Case after case: what is decided, drawn and counted is on the disk before the next case comes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from panel_steps import correct, label_of
from slicer_window import click, press, wait_until

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.io.segmentations import read_segmentation
from Testing.phantoms import ball_case

NAMES = ["ball0", "ball1", "ball2"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three cases on an oblique grid, and one whose label is gone."""
    folder = tmp_path / "Fälle"
    for n, name in enumerate(NAMES):
        case = ball_case(name, seed=n, size=(20, 18, 10))
        geometry = replace(case.geometry, direction=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
        write_image(folder / name / "image.nii.gz", case.image, geometry)
        write_image(folder / name / "label.nii.gz", np.asarray(case.label), geometry)
    return folder


@pytest.fixture
def worklist(widget):
    from DALESegmentLib.ui.worklist import Worklist

    return Worklist(widget.logic.workflow)


def wait(widget) -> None:
    assert wait_until(lambda: not widget.logic.workflow.busy)


def rows(worklist) -> list[dict[str, str]]:
    with (worklist.out / "worklist.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def count(kind: str) -> int:
    import slicer

    return len(slicer.util.getNodesByClass(kind))


def test_cases_of_a_folder_come_one_at_a_time_and_lie_where_they_lay(widget, worklist, folder):
    import slicer

    from DALESegmentLib.mrml.volumes import geometryFromVolume

    before = count("vtkMRMLScalarVolumeNode"), count("vtkMRMLSegmentationNode")
    worklist.openFolder(folder)
    wait(widget)
    state = widget.logic.workflow.state
    seen = []
    for name in NAMES:
        assert worklist.case.name == state.image.GetName() == name
        drawn, geometry = read_label(folder / name / "label.nii.gz")
        assert geometryFromVolume(state.image).difference(geometry) is None
        assert np.array_equal(label_of(state.segmentation, state.image), drawn)
        seen.append(state.segmentation.GetID())
        assert count("vtkMRMLScalarVolumeNode") == before[0] + 1
        assert count("vtkMRMLSegmentationNode") == before[1] + 1
        worklist.decide("accepted")
        wait(widget)
    assert worklist.case is None
    assert "All cases have a verdict" in widget.ui.statusLabel.text
    assert (count("vtkMRMLScalarVolumeNode"), count("vtkMRMLSegmentationNode")) == before
    assert all(slicer.mrmlScene.GetNodeByID(each) is None for each in seen)
    assert [(row["case"], row["verdict"]) for row in rows(worklist)] == [(name, "accepted") for name in NAMES]


def test_what_was_corrected_is_saved_beside_the_folder_and_found_again(widget, worklist, folder):
    worklist.openFolder(folder)
    wait(widget)
    state = widget.logic.workflow.state
    original = (folder / "ball0" / "label.nii.gz").read_bytes()
    segment = state.segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetName("Läsion")
    segment.SetColor(0.2, 0.4, 0.6)
    correct_first_voxels(state)
    wanted = label_of(state.segmentation, state.image)
    worklist.move(1)
    wait(widget)
    assert worklist.out == folder.with_name("Fälle-reviewed")
    saved = read_segmentation(worklist.out / "ball0" / "segmentation.seg.nrrd")
    assert [(each.name, each.colour) for each in saved.segments] == [("Läsion", (0.2, 0.4, 0.6))]
    assert np.array_equal(saved.mask(saved.segments[0]), wanted > 0)
    assert (folder / "ball0" / "label.nii.gz").read_bytes() == original
    worklist.move(-1)
    wait(widget)
    assert np.array_equal(label_of(state.segmentation, state.image) > 0, wanted > 0)
    assert state.segmentation.GetSegmentation().GetNthSegment(0).GetName() == "Läsion"


def test_the_case_is_saved_whatever_segmentation_is_chosen_when_it_is_left(widget, worklist, folder):
    from DALESegmentLib.mrml.segmentations import addSegmentation
    from DALESegmentLib.mrml.volumes import geometryFromVolume

    worklist.openFolder(folder)
    wait(widget)
    state = widget.logic.workflow.state
    correct_first_voxels(state)
    wanted = label_of(state.segmentation, state.image)
    empty, geometry = np.zeros_like(wanted), geometryFromVolume(state.image)
    made = addSegmentation(empty, geometry, {1: "x"}, state.image, "predicted", None, "model")
    state.segmentation = made
    worklist.decide("accepted")
    wait(widget)
    saved = read_segmentation(worklist.out / "ball0" / "segmentation.seg.nrrd")
    assert np.array_equal(saved.mask(saved.segments[0]), wanted > 0)
    assert made.GetScene() is None  # the model's result goes with its image


def test_a_case_without_a_label_gets_the_one_that_was_drawn(widget, worklist, folder):
    from DALESegmentLib.mrml.segmentations import addSegmentation
    from DALESegmentLib.mrml.volumes import geometryFromVolume

    (folder / "ball0" / "label.nii.gz").unlink()
    worklist.openFolder(folder)
    wait(widget)
    state = widget.logic.workflow.state
    assert state.segmentation is None
    geometry = geometryFromVolume(state.image)
    label = np.zeros(geometry.array_shape, np.uint8)
    label[2:5, 3:8, 4:9] = 1
    drawn = addSegmentation(label, geometry, {1: "lesion"}, state.image, "drawn by hand")
    worklist.decide("accepted")
    wait(widget)
    saved = read_segmentation(worklist.out / "ball0" / "segmentation.seg.nrrd")
    assert np.array_equal(saved.mask(saved.segments[0]), label == 1)
    assert drawn.GetScene() is None


def test_a_next_case_that_cannot_be_read_leaves_the_list_usable(widget, worklist, folder):
    worklist.openFolder(folder)
    wait(widget)
    (folder / "ball1" / "image.nii.gz").write_bytes(b"no image")
    worklist.decide("accepted")
    wait(widget)
    assert "image.nii.gz" in widget.ui.statusLabel.text
    assert worklist.case is None
    worklist.goTo(2)
    wait(widget)
    assert worklist.case.name == "ball2"
    assert [(row["case"], row["verdict"]) for row in rows(worklist)] == [("ball0", "accepted")]


def test_a_mask_is_read_as_those_of_the_other_cases_are(widget, worklist, folder):
    for n, name in enumerate(NAMES):
        label, geometry = read_label(folder / name / "label.nii.gz")
        drawn = label * 255
        if n:
            drawn[0] = 128
        write_image(folder / name / "label.nii.gz", drawn, geometry)
    worklist.openFolder(folder)
    wait(widget)
    assert [s.name for s in _segments(widget)] == ["class 255"]


def test_what_is_not_annotated_stays_so_in_what_is_saved(widget, worklist, folder):
    for n, name in enumerate(NAMES):
        label, geometry = read_label(folder / name / "label.nii.gz")
        drawn = label * (2 if n == 0 else 1)
        drawn[0] = 3 if n else 2
        write_image(folder / name / "label.nii.gz", drawn, geometry)
    (folder / "dataset.json").write_text('{"labels": {"background": 0, "one": 1, "two": 2, "ignore": 3}}')
    worklist.openFolder(folder)
    wait(widget)
    names = [[s.name for s in _segments(widget)]]
    worklist.decide("accepted")
    wait(widget)
    names.append([s.name for s in _segments(widget)])
    assert names == [["two"], ["one", "ignore"]]
    worklist.decide("accepted")
    wait(widget)
    saved = worklist.out / NAMES[1] / "segmentation.seg.nrrd"
    case = read_case(CaseSource(NAMES[1], (folder / NAMES[1] / "image.nii.gz",), saved))
    assert not case.annotated[0].any()
    assert case.annotated[1:].all()
    assert case.class_names == {1: "one"}


def _segments(widget):
    from DALESegmentLib.engine.io.segmentations import Segment

    node = widget.logic.workflow.state.segmentation.GetSegmentation()
    return [Segment(i, node.GetSegment(i).GetName()) for i in node.GetSegmentIDs()]


def correct_first_voxels(state) -> None:
    import slicer

    segment = state.segmentation.GetSegmentation().GetNthSegmentID(0)
    label = slicer.util.arrayFromSegmentBinaryLabelmap(state.segmentation, segment, state.image).copy()
    label[:2, :5, :5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, state.segmentation, segment, state.image)


def test_time_and_keys_add_up_over_visits_and_sittings(widget, worklist, folder):
    from DALESegmentLib.ui.worklist import Worklist

    worklist.openFolder(folder)
    wait(widget)
    for _time in range(3):
        worklist.countKey()
    worklist.move(1)
    wait(widget)
    worklist.move(-1)
    wait(widget)
    worklist.countKey()
    worklist.decide("revise")
    wait(widget)
    assert [(row["case"], row["verdict"], row["keys"]) for row in rows(worklist)] == [
        ("ball0", "", "3"),
        ("ball1", "", "0"),
        ("ball0", "revise", "4"),
    ]
    assert float(rows(worklist)[2]["seconds"]) >= float(rows(worklist)[0]["seconds"])

    again = Worklist(widget.logic.workflow)
    worklist.forget()
    again.openFolder(folder)
    wait(widget)
    assert again.cases[0].verdict == "revise"
    assert again.cases[0].keys == 4
    assert again.case.name == "ball1"  # the first without a verdict
    assert "1 of 3 cases" in again.summary()


def test_images_of_the_scene_are_chosen_with_their_own_segmentations(widget, worklist):
    from DALESegmentLib.mrml.practice_case import addBall

    image, segmentation = widget.case
    other, its = addBall()
    other.SetName("Another")
    worklist.openScene()
    state = widget.logic.workflow.state
    assert (state.image.GetID(), state.segmentation.GetID()) == (image.GetID(), segmentation.GetID())
    worklist.decide("accepted")
    wait(widget)
    assert (state.image.GetID(), state.segmentation.GetID()) == (other.GetID(), its.GetID())
    assert image.GetScene() is not None  # nothing of the user's own goes
    assert [row["case"] for row in rows(worklist)] == [image.GetName()]


def test_where_nothing_can_be_written_the_case_stays(widget, worklist, folder):
    worklist.openFolder(folder)
    wait(widget)
    worklist.out.write_text("a file in the way", encoding="utf-8")
    correct(widget.logic.workflow.state.segmentation, widget.logic.workflow.state.image)
    drawn = label_of(widget.logic.workflow.state.segmentation, widget.logic.workflow.state.image)
    worklist.decide("accepted")
    wait(widget)
    assert worklist.case.name == "ball0"
    assert worklist.case.verdict == ""
    state = widget.logic.workflow.state
    assert np.array_equal(label_of(state.segmentation, state.image), drawn)
    worklist.out.unlink()
    worklist.decide("accepted")
    wait(widget)
    assert worklist.case.name == "ball1"


def test_a_case_that_cannot_be_read_hides_none_of_the_others(widget, worklist, folder):
    (folder / "ball1" / "image.nii.gz").unlink()
    worklist.openFolder(folder)
    wait(widget)
    assert [case.name for case in worklist.cases] == ["ball0", "ball2"]
    assert len(worklist.unusable) == 1
    assert "ball1" in worklist.unusable[0]


def test_there_is_an_end_in_both_directions(widget, worklist, folder):
    worklist.openFolder(folder)
    wait(widget)
    with pytest.raises(EngineError, match="no further case"):
        worklist.move(-1)
    with pytest.raises(EngineError, match="Open a worklist"):
        type(worklist)(widget.logic.workflow).decide("accepted")


def test_a_damaged_log_is_refused_and_left(widget, worklist, folder):
    log = folder.with_name("Fälle-reviewed") / "worklist.csv"
    log.parent.mkdir()
    log.write_text("case,verdict\nball0,accepted\n", encoding="utf-8")
    worklist.openFolder(folder)
    wait(widget)
    assert "damaged" in widget.ui.statusLabel.text
    assert log.read_text(encoding="utf-8") == "case,verdict\nball0,accepted\n"


def test_buttons_and_keys_of_the_panel(widget, folder, monkeypatch):
    from DALESegmentLib.ui import folders

    ui, worklist = widget.ui, widget.worklistPanel.worklist
    assert not ui.worklistCollapsibleButton.visible
    monkeypatch.setattr(folders, "askForFolder", lambda title: folder)
    click(ui.worklistFolderButton)
    wait(widget)
    assert ui.worklistTable.rowCount == 3
    assert ui.worklistTable.item(0, 1).text() == "at hand"
    press(widget, "N")  # of the review: counted, though there is no list
    press(widget, "Y")
    wait(widget)
    assert worklist.case.name == "ball1"
    click(ui.reviseCaseButton)
    wait(widget)
    assert worklist.case.name == "ball2"
    assert [ui.worklistTable.item(n, 1).text() for n in range(3)] == ["accepted", "to be revised", "at hand"]
    assert [(row["case"], row["verdict"], row["keys"]) for row in rows(worklist)] == [
        ("ball0", "accepted", "2"),
        ("ball1", "revise", "0"),
    ]
    assert "2 of 3 cases" in ui.worklistLabel.text
    assert str(worklist.out) in ui.worklistLabel.text


def test_a_closed_scene_takes_the_list_with_it_and_the_folder_can_be_opened_again(widget, folder):
    import slicer

    worklist = widget.worklistPanel.worklist
    worklist.openFolder(folder)
    wait(widget)
    worklist.decide("accepted")
    wait(widget)
    slicer.mrmlScene.Clear(0)
    assert worklist.cases == []
    assert not widget.ui.worklistCollapsibleButton.visible
    worklist.openFolder(folder)
    wait(widget)
    assert worklist.case.name == "ball1"


def test_a_full_disk_leaves_no_half_line(desktop, tmp_path):
    resource = pytest.importorskip("resource", reason="the disk is filled by a limit that Windows has not")
    import signal

    from DALESegmentLib.ui.worklist_log import COLUMNS, appendRow

    log, row = tmp_path / "worklist.csv", dict.fromkeys(COLUMNS, "x")
    appendRow(log, row)
    before = log.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 3, limits[1]))
    try:
        with pytest.raises(EngineError):
            appendRow(log, row)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert log.read_bytes() == before
    appendRow(log, row)
    assert len(log.read_text(encoding="utf-8").splitlines()) == 3
