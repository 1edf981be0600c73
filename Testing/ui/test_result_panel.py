"""Result: other volumes, before and after, keep or go back, maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from panel_steps import label_of, step
from slicer_window import click, click_row, wait_until


@pytest.fixture
def tuned(widget):
    """Trained, reviewed, fine-tuned; the earlier model is one that segments everything above 0."""
    ui = widget.ui
    step(widget, ui.trainButton)
    step(widget, ui.regionsButton)
    click_row(ui.regionsTable, 0)
    click(ui.confirmButton)
    step(widget, ui.fineTuneButton)
    earlier = Path(widget.logic.workflow.state.previousModel) / "model.json"
    earlier.write_text(json.dumps({"threshold": 0.0}))
    return widget


def compare(widget) -> str:
    click(widget.ui.compareButton)
    assert wait_until(lambda: not widget.logic.workflow.busy and "difference" in widget.ui.statusLabel.text)
    return widget.ui.comparisonLabel.text


def difference_node():
    from DALESegmentLib.mrml.difference import DIFFERENCE
    from DALESegmentLib.mrml.scene import nodeWithRole

    return nodeWithRole("vtkMRMLSegmentationNode", DIFFERENCE)


def test_before_and_after_in_segments_and_millilitres(tuned):
    import slicer

    text = compare(tuned)
    image = slicer.util.arrayFromVolume(tuned.case[0])
    model = json.loads((Path(tuned.logic.workflow.state.model) / "model.json").read_text())
    before, after = (image > 0).sum(), (image > model["threshold"]).sum()
    assert text.startswith(f"ball {before * 2 / 1000:.2f} → {after * 2 / 1000:.2f} ml (0.00 added, ")
    label = label_of(difference_node(), tuned.case[0])
    assert (label > 0).sum() == before - after


def test_contradicted_confirmations_begin_with_attention(tuned):
    """The confirmed region is one that the model would cut away, so the new model contradicts it."""
    text = compare(tuned)
    assert "ATTENTION: " in text
    assert "confirmed voxels are contradicted by the new model" in text


def test_followed_confirmations_are_counted_too(tuned):
    """The label is redrawn as the new model segments, so that all that counts as confirmed agrees with it."""
    import slicer

    workflow = tuned.logic.workflow
    image, segmentation = tuned.case
    model = json.loads((Path(workflow.state.model) / "model.json").read_text())
    label = (slicer.util.arrayFromVolume(image) > model["threshold"]).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, "ball", image)
    trusted = workflow.review.decided(workflow.session.sceneCase())
    assert trusted.any()
    assert f"All {int(trusted.sum())} confirmed voxels are followed." in compare(tuned)


def test_keep_leaves_no_way_back_and_no_difference(tuned):
    compare(tuned)
    model = tuned.logic.workflow.state.model
    click(tuned.ui.keepButton)
    assert difference_node() is None
    assert not tuned.ui.comparisonLabel.isVisible()
    assert not tuned.ui.rollBackButton.enabled
    assert tuned.logic.workflow.state.model == model


def test_roll_back_takes_the_earlier_model_and_the_difference_away(tuned):
    compare(tuned)
    earlier = tuned.logic.workflow.state.previousModel
    click(tuned.ui.rollBackButton)
    assert tuned.ui.modelEdit.currentPath == earlier
    assert difference_node() is None


def test_comparing_touches_nothing_of_the_readers(tuned):
    drawn = label_of(tuned.case[1], tuned.case[0])
    compare(tuned)
    assert np.array_equal(label_of(tuned.case[1], tuned.case[0]), drawn)


def test_another_volume_is_segmented_on_its_own_grid(tuned):
    import slicer

    array = np.full((10, 12, 14), -50, np.float32)
    array[4:6, 4:8, 4:9] = 400
    other = slicer.util.addVolumeFromArray(array, name="Next patient")
    tuned.ui.targetSelector.setCurrentNode(other)
    step(tuned, tuned.ui.predictButton)
    result = tuned.logic.workflow.state.result
    assert result.GetName() == "Next patient predicted"
    assert np.array_equal(label_of(result, other), (array == 400).astype(np.uint8))


def test_maps_are_written_into_the_chosen_folder(tuned, tmp_path, monkeypatch):
    from DALESegmentLib.engine.io.images import read_image
    from DALESegmentLib.mrml.volumes import geometryFromVolume
    from DALESegmentLib.ui import folders

    target = tmp_path / "maps"
    target.mkdir()
    monkeypatch.setattr(folders, "askForFolder", lambda title: target)
    step(tuned, tuned.ui.exportMapsButton)
    names = {"Ball-confidence.nrrd", "Ball-probability-background.nrrd", "Ball-probability-ball.nrrd"}
    assert {file.name for file in target.iterdir()} == names
    maps = {name: read_image(target / name) for name in names}
    for _values, geometry in maps.values():
        assert geometry.difference(geometryFromVolume(tuned.case[0])) is None
    ball, rest = (maps[f"Ball-probability-{name}.nrrd"][0] for name in ("ball", "background"))
    assert np.allclose(ball + rest, 1)
    assert ball[0, 8, 24, 24] == 1


def test_a_sentence_where_there_is_nothing_to_compare(widget, caplog):
    from DALESegmentLib.engine.core.errors import EngineError
    from DALESegmentLib.ui.model_comparison import ModelComparison

    with pytest.raises(EngineError) as caught:
        ModelComparison(widget.logic.workflow).compare()
    assert "fine-tune first" in caught.value.sentence
