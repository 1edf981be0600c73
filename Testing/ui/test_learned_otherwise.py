"""Why voxels were learned otherwise than given: in the panel, in the slices, in what is exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from panel_steps import label_of, step
from slicer_window import click, click_row, press

from DALESegmentLib.engine.dale.issues import Region

REGION = Region(1, "a", 1, 1, "lesion", "missing", 1, 1200, 9.0, 0.1, 0.1, 1.0, (0,) * 3, (0,) * 3, (0,) * 3, (0,) * 3)


@pytest.fixture
def moved(widget, a_slice_view):
    """A trained model whose training learned the voxels that the label has wrong otherwise."""
    widget.view = a_slice_view()
    step(widget, widget.ui.trainButton)
    (Path(widget.logic.workflow.state.model) / "learned-otherwise").touch()
    return widget


def wrong_voxels(widget) -> np.ndarray:
    """By the model's threshold, from the scene alone."""
    import json

    import slicer

    image, segmentation = widget.case
    threshold = json.loads((Path(widget.logic.workflow.state.model) / "model.json").read_text())["threshold"]
    return (slicer.util.arrayFromVolume(image) > threshold) != (label_of(segmentation, image) > 0)


def source_of(widget) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVolume(widget.logic.workflow.state.labelSource)


def test_the_answer_counts_the_voxels_and_the_label_map_holds_them(moved):
    text = step(moved, moved.ui.confidenceButton)
    wrong = wrong_voxels(moved)
    assert wrong.sum() > 1
    assert f"{wrong.sum():,} voxels were learned otherwise than given: missed objects {wrong.sum():,}." in text
    assert np.array_equal(source_of(moved), np.where(wrong, 5, 0))


def test_it_is_in_the_slices_while_its_box_is_checked(moved):
    step(moved, moved.ui.confidenceButton)
    assert moved.view.GetLabelVolumeID() is None
    click(moved.ui.labelSourceCheckBox)
    node = moved.logic.workflow.state.labelSource
    assert moved.view.GetLabelVolumeID() == node.GetID()
    moved.ui.segmentationSelector.setCurrentNode(None)
    assert moved.view.GetLabelVolumeID() is None
    assert not moved.ui.labelSourceCheckBox.enabled
    moved.ui.segmentationSelector.setCurrentNode(moved.case[1])
    assert moved.view.GetLabelVolumeID() == node.GetID()
    click(moved.ui.labelSourceCheckBox)
    assert moved.view.GetLabelVolumeID() is None


def test_a_new_map_takes_the_place_of_the_old_one_and_none_of_it_stays(moved):
    import slicer

    click_before = len(slicer.util.getNodesByClass("vtkMRMLColorTableNode"))
    step(moved, moved.ui.confidenceButton)
    click(moved.ui.labelSourceCheckBox)
    step(moved, moved.ui.regionsButton)
    assert len(slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")) == 1
    assert moved.view.GetLabelVolumeID() == moved.logic.workflow.state.labelSource.GetID()
    (Path(moved.logic.workflow.state.model) / "learned-otherwise").unlink()
    step(moved, moved.ui.confidenceButton)
    assert moved.logic.workflow.state.labelSource is None
    assert not slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")
    assert len(slicer.util.getNodesByClass("vtkMRMLColorTableNode")) == click_before + 1  # that of the heat map
    assert moved.view.GetLabelVolumeID() is None
    assert not moved.ui.labelSourceCheckBox.enabled


def test_the_chosen_region_has_a_sentence_why(moved):
    ui = moved.ui
    step(moved, ui.regionsButton)
    click_row(ui.regionsTable, 0)
    assert "Learned as ball: missed objects proposed it." in ui.whyLearnedLabel.text
    assert ui.whyLearnedLabel.isVisible()
    press(moved, "N")
    assert ui.whyLearnedLabel.isVisible()
    (Path(moved.logic.workflow.state.model) / "learned-otherwise").unlink()
    step(moved, ui.regionsButton)
    click_row(ui.regionsTable, 0)
    assert "Learned" not in ui.whyLearnedLabel.text


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({}, ""),
        ({"label_source": "given"}, "Learned as given."),
        (
            {"label_source": "missed_objects", "learned_value": 1, "learned_class": "lesion", "learned_voxels": 1000},
            "Learned as lesion: missed objects proposed it (1,000 of 1,200 voxels).",
        ),
        (
            {"label_source": "corrected", "learned_value": 0, "learned_class": "background", "learned_voxels": 1200},
            "Learned as background: a reviewer corrected it.",
        ),
        (
            {"label_source": "image_evidence", "learned_voxels": 1200},
            "Not learned from: image evidence rejected the label.",
        ),
    ],
)
def test_the_sentences(desktop, known, sentence):
    from DALESegmentLib.ui.learned_otherwise import whyLearned

    assert whyLearned(replace(REGION, **known)) == sentence


def test_one_voxel_is_one(desktop):
    from DALESegmentLib.ui.learned_otherwise import learnedOtherwise

    said = "1 voxel was learned otherwise than given: annotator bias 1."
    assert learnedOtherwise({"learned_otherwise": {"annotator_bias": 1}}) == said
    assert learnedOtherwise({"learned_otherwise": {}}) == ""
    assert learnedOtherwise({}) == ""


def test_it_is_exported_with_the_maps_and_with_the_decisions(moved, tmp_path, monkeypatch):
    from DALESegmentLib.engine.io.segmentations import read_segmentation
    from DALESegmentLib.mrml.volumes import geometryFromVolume
    from DALESegmentLib.ui import folders

    step(moved, moved.ui.regionsButton)
    target = tmp_path / "out"
    target.mkdir()
    monkeypatch.setattr(folders, "askForFolder", lambda title: target)
    assert step(moved, moved.ui.exportMapsButton).startswith("4 maps were written")
    found = read_segmentation(target / "Ball-learned-otherwise.seg.nrrd")
    assert [segment.name for segment in found.segments] == ["missed objects"]
    assert np.array_equal(found.mask(found.segments[0]), wrong_voxels(moved))
    assert found.geometry.difference(geometryFromVolume(moved.case[0])) is None
    click(moved.ui.exportDecisionsButton)
    assert "missed_objects,1,ball," in (target / "review-Ball.csv").read_text(encoding="utf-8")


def test_it_is_saved_with_the_scene_and_offered_as_an_image_nowhere(moved, tmp_path):
    import slicer
    import standin

    from DALESegmentLib.mrml.scene_file import loadScene, saveScene

    step(moved, moved.ui.regionsButton)
    click(moved.ui.labelSourceCheckBox)
    before = source_of(moved).copy()
    for selector in (moved.ui.imageSelector, moved.ui.targetSelector):
        combo = standin.unwrap(selector)._combo
        assert {combo.itemText(i) for i in range(combo.count())} <= {"None", "The image under Data", "Ball"}
    path = saveScene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(False)
    loadScene(path)
    assert np.array_equal(source_of(moved), before)
    assert moved.ui.labelSourceCheckBox.checked
    assert moved.ui.labelSourceCheckBox.enabled
    click_row(moved.ui.regionsTable, 0)
    assert "Learned as ball: missed objects proposed it." in moved.ui.whyLearnedLabel.text
