"""A result folder of nnU-Net that is kept here is read, predicts what nnU-Net predicted, and is said no to in words.

Testing/extras compares with nnU-Net itself.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.nnunet import checkpoints_of, read_model, turned
from DALESegmentLib.engine.bundle.open_model import open_model, open_plan
from DALESegmentLib.engine.commands import confidence, predict
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import read_image, write_image
from DALESegmentLib.engine.planning.nnunet_preparation import class_probabilities, decide_regions
from DALESegmentLib.engine.planning.preparation import NnunetPreparation

SAMPLE = Path(__file__).parents[2] / "kept" / "nnunet"
NAME = "nnUNetTrainer__nnUNetPlans__3d_fullres"
CPU = torch.device("cpu")
has_networks = pytest.mark.skipif(
    importlib.util.find_spec("dynamic_network_architectures") is None,
    reason="dynamic-network-architectures is not installed; pip install --no-deps dynamic-network-architectures",
)


def expected() -> np.ndarray:
    return np.load(SAMPLE / "expected.npz")["probabilities"].astype(np.float32)


def parameters(model: Path, out: Path, **case: str) -> dict:
    items = [{"name": "case", "images": [str(SAMPLE / "image.nii.gz")], **case}]
    return {"model": str(model), "cases": {"items": items}, "out": str(out), "device": "cpu"}


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (SAMPLE.parent, f"kept is no model, but holds nnunet/{NAME}; name the one that is meant"),
        (SAMPLE / NAME / "plans.json", "plans.json is a file; name the folder of the model"),
        (SAMPLE / NAME / "fold_0" / "checkpoint_final.pth", "checkpoint_final.pth is a file; name the folder"),
        (SAMPLE / "fold_1", "fold_1 is not there; check the name"),
    ],
)
def test_a_path_beside_the_model_is_told_where_to_go(named, words):
    with pytest.raises(EngineError, match=words):
        open_plan(named)


@has_networks
@pytest.mark.slow
@pytest.mark.parametrize("named", [NAME, f"{NAME}/fold_0", "."])
def test_predictions_are_those_that_nnunet_made(named, tmp_path):
    item = predict.run({**parameters(SAMPLE / named, tmp_path / "out"), "probabilities": True}, Progress())["items"][0]
    found, _ = read_image(item["probabilities"])
    assert np.ptp(expected()[2]) > 0.2
    assert (
        np.abs(found - expected()).max() <= 1.4e-3
    )  # a step of half precision, in which they are kept and were summed
    label = read_image(item["segmentation"])[0][0]
    first, second = np.sort(expected(), 0)[[-1, -2]]
    sure = first - second > 3e-3
    assert (label == expected().argmax(0))[sure].all()
    assert item["classes"] == {"1": "head", "2": "tail"}


@has_networks
@pytest.mark.slow
def test_it_judges_labels(tmp_path):
    values, geometry = read_image(SAMPLE / "image.nii.gz")
    label = expected().argmax(0).astype(np.uint8)
    write_image(tmp_path / "label.nii.gz", label, geometry)
    result = confidence.run(
        parameters(SAMPLE / NAME, tmp_path / "out", label=str(tmp_path / "label.nii.gz")), Progress()
    )
    found, where = read_image(result["items"][0]["confidence"])
    assert where == geometry
    assert found.shape == values.shape


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "dynamic_network_architectures.architectures", None)
    with pytest.raises(EngineError, match="pip install --no-deps dynamic-network-architectures"):
        open_model(SAMPLE / NAME, CPU)


def test_the_plan_follows_from_its_files():
    plan = open_plan(SAMPLE / NAME)
    stored = json.loads((SAMPLE / NAME / "plans.json").read_text())
    assert stored["transpose_forward"] == [2, 0, 1]
    # nnU-Net's first axis is the array's last one, which is our first
    assert plan.imported.axes == (0, 2, 1)
    patch = stored["configurations"]["3d_fullres"]["patch_size"]
    assert plan.patch_size == (patch[0], patch[2], patch[1])
    assert plan.class_names == {1: "head", 2: "tail"}


def test_kernels_are_turned_there_and_back():
    kernel = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    there = turned({"conv.weight": kernel, "bias": torch.ones(3)}, [0, 2, 1])
    assert there["conv.weight"].shape == (1, 1, 2, 4, 3)
    assert there["conv.weight"][0, 0, 1, 3, 2] == kernel[0, 0, 1, 2, 3]
    assert torch.equal(turned(there, [0, 2, 1])["conv.weight"], kernel)


def regions() -> NnunetPreparation:
    return NnunetPreparation(axes=(2, 1, 0), spacing=(1.0, 1.0, 1.0), channels=(), activation="regions")


def test_the_last_region_above_one_half_decides_as_in_nnunet():
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 5, 6) * 2
    found = class_probabilities(logits, regions()).numpy()
    assert np.allclose(found.sum(0), 1, atol=1e-6)
    assert found.min() >= 0
    decided = np.zeros(logits.shape[1:], int)
    for index, probability in enumerate(logits.sigmoid().numpy()):
        decided[probability > 0.5] = index + 1
    assert (decide_regions(found) == decided).all()


def test_of_regions_that_hold_one_another_a_class_is_the_difference():
    logits = torch.logit(torch.tensor([0.9, 0.6, 0.2])).reshape(3, 1, 1, 1)
    found = class_probabilities(logits, regions()).flatten()
    assert torch.allclose(found, torch.tensor([0.1, 0.3, 0.4, 0.2]))


def changed(folder: Path, part: str, **changes: object) -> Path:
    """The kept sample with another value in its plans, its configuration or its data set."""
    copy = folder / NAME
    shutil.copytree(SAMPLE / NAME, copy)
    file = copy / ("dataset.json" if part == "dataset" else "plans.json")
    stored = json.loads(file.read_text())
    (stored["configurations"]["3d_fullres"] if part == "configuration" else stored).update(changes)
    file.write_text(json.dumps(stored))
    return copy


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("configuration", {"preprocessor_name": "MyPreprocessor"}, "the preprocessor 'MyPreprocessor'"),
        ("configuration", {"normalization_schemes": ["MyNormalization"]}, "the normalisation 'MyNormalization'"),
        ("configuration", {"resampling_fn_data": "resample_torch_fornnunet"}, "the resampling 'resample_torch"),
        ("configuration", {"previous_stage": "3d_lowres"}, "a cascade"),
        ("plans", {"image_reader_writer": "MyReader"}, "the image reader 'MyReader'"),
        (
            "dataset",
            {"labels": {"background": 0, "a": [1], "b": [2]}, "regions_class_order": [1, 2]},
            "regions of which one does not hold the next",
        ),
    ],
)
def test_what_is_not_known_is_named(part, changes, words, tmp_path):
    with pytest.raises(EngineError) as refused:
        read_model(changed(tmp_path, part, **changes))
    assert refused.value.code == "foreign-model"
    assert words in refused.value.sentence
    assert "review --probabilities" in refused.value.sentence


def test_a_folder_without_a_finished_fold_is_refused(tmp_path):
    copy = changed(tmp_path, "plans")
    (copy / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(EngineError, match="no fold"):
        checkpoints_of(copy)


def test_of_several_trainings_one_has_to_be_named(tmp_path):
    changed(tmp_path, "plans")
    shutil.copytree(tmp_path / NAME, tmp_path / NAME.replace("3d", "2d"))
    with pytest.raises(EngineError, match="name the one that is meant"):
        open_plan(tmp_path)
