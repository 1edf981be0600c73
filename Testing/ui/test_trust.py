"""What was confirmed stays confirmed: for that image, that segmentation and that label, and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from slicer_window import leave


def test_trust_is_for_the_image_it_was_given_to(widget, tmp_path):
    from DALESegmentLib.ui.reviewed_store import loadTrusted, storeTrusted

    case = widget.logic.workflow.session.sceneCase()
    case.trusted = case.label > 0
    storeTrusted(tmp_path / "trust.npz", case)
    assert np.array_equal(loadTrusted(tmp_path / "trust.npz", case), case.trusted)
    case.image = case.image + 1
    assert loadTrusted(tmp_path / "trust.npz", case) is None
    (tmp_path / "trust.npz").write_bytes(b"half a file")
    assert loadTrusted(tmp_path / "trust.npz", case) is None


def test_trust_is_for_the_label_that_was_there(widget, tmp_path):
    """Also where the segments have another order by now; what was redrawn or renamed is not vouched for."""
    from DALESegmentLib.ui.reviewed_store import loadTrusted, storeTrusted

    case = widget.logic.workflow.session.sceneCase()
    case.label = np.array(case.label)
    case.label[:, :20] *= 2
    case.class_names = {1: "ball", 2: "cap"}
    case.trusted = np.ones(case.label.shape, bool)
    storeTrusted(tmp_path / "trust.npz", case)

    case.label[case.label > 0] = 3 - case.label[case.label > 0]
    case.class_names = {1: "cap", 2: "ball"}
    case.label[0, 0, 0] = 2
    trusted = loadTrusted(tmp_path / "trust.npz", case)
    assert not trusted[0, 0, 0]
    assert np.count_nonzero(~trusted) == 1

    case.class_names = {1: "cap", 2: "renamed"}
    assert np.array_equal(loadTrusted(tmp_path / "trust.npz", case), (case.label != 2) & trusted)


@pytest.fixture
def trusting(widget):
    """A session, and the half of the scene's case that is trusted in it."""
    session = widget.logic.workflow.session
    taken = session.takeScene()
    trusted = taken.case().trusted = np.zeros(taken.case().label.shape, bool)
    trusted[:, :, :24] = True
    taken.storeTrusted()
    return session, trusted


def test_trust_survives_an_import_that_renumbers_the_nodes(widget, trusting, tmp_path):
    import slicer

    import DALESegment
    from DALESegmentLib.mrml.practice_case import addBall
    from DALESegmentLib.mrml.scene_file import saveScene
    from DALESegmentLib.ui.session import Session

    saved = saveScene(tmp_path / "first.mrb")
    leave(widget)
    slicer.mrmlScene.Clear(False)
    image, segmentation = addBall()
    image.SetName("Second"), segmentation.SetName("Second")
    session = Session(DALESegment.DALESegmentLogic().getParameterNode())
    taken = session.takeLabelled([image], segmentation)
    assert taken.case().trusted is None
    taken.case().trusted = ~trusting[1]
    taken.storeTrusted()

    token = session.state.token
    assert slicer.mrmlScene.ReadFromMRB(saved.as_posix(), False)  # False: beside what is there
    session = Session(DALESegment.DALESegmentLogic().getParameterNode())
    assert session.state.token != token
    first = [slicer.mrmlScene.GetFirstNodeByName(name) for name in ("Ball", "LabelmapSnapshot")]
    assert first[1].GetID() != "vtkMRMLSegmentationNode1"
    assert np.array_equal(session.takeLabelled([first[0]], first[1]).case().trusted, trusting[1])
    assert np.array_equal(session.takeLabelled([image], segmentation).case().trusted, ~trusting[1])


def test_a_copy_of_a_segmentation_is_not_trusted_for_the_first(widget, trusting):
    import slicer

    session, trusted = trusting
    image, segmentation = widget.case
    copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Copy")
    copy.Copy(segmentation)
    assert session.takeLabelled([image], copy).case().trusted is None
    assert np.array_equal(session.takeLabelled([image], segmentation).case().trusted, trusted)
