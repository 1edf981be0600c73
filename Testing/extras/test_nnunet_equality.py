"""An imported nnU-Net predicts what nnU-Net's own predictor does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed; `make test-extras` installs it")

from DALESegmentLib.engine.bundle import nnunet
from DALESegmentLib.engine.commands import finetune, predict, review
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import read_image, write_image

from .nnunet_precision import replacements
from .nnunet_training import TRAININGS

pytestmark = pytest.mark.slow
STEP_OF_HALF = 1.1e-3
"""Of an output between 4 and 8, as a probability."""
LEAST_DICE = 0.9999


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """With raw/ and results/. DALESEGMENT_NNUNET names a folder of an earlier run."""
    if kept := os.environ.get("DALESEGMENT_NNUNET"):
        return Path(kept)
    data = os.environ.get("DALESEGMENT_DATA")
    if not data:
        pytest.skip("DALESEGMENT_DATA is not set")
    folder = tmp_path_factory.mktemp("nnunet")
    script = Path(__file__).with_name("nnunet_training.py")
    subprocess.run([sys.executable, script, folder, Path(data) / "msd_hippocampus"], check=True, timeout=1800)
    return folder


def results(folder: Path, dataset: str, configuration: str) -> Path:
    return folder / "results" / dataset / f"nnUNetTrainer__nnUNetPlans__{configuration}"


def their_probabilities(model: Path, images: list[Path], folds: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Label and probabilities by nnU-Net's own predictor, for each image."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), folds, "checkpoint_final.pth")
    found = []
    for path in images:
        array, properties = SimpleITKIO().read_images([str(path)])
        found.append(predictor.predict_single_npy_array(array, properties, None, None, True))
    return found


def cases(folder: Path, dataset: str) -> list[Path]:
    return sorted((folder / "raw" / dataset / "imagesTr").iterdir())


def our_items(model: Path, images: list[Path], out: Path) -> list[dict]:
    items = [{"name": path.name.split(".")[0], "images": [str(path)]} for path in images]
    asked = {"model": str(model), "cases": {"items": items}, "out": str(out), "probabilities": True, "device": "cpu"}
    return predict.run(asked, Progress())["items"]


@pytest.fixture
def full_precision(monkeypatch) -> None:
    """Of nnU-Net and of ours."""
    from nnunetv2.inference import predict_from_raw_data as theirs

    for name, value in replacements().items():
        monkeypatch.setattr(theirs, name, value)
    monkeypatch.setattr(nnunet, "HALF", False)


def differences(ours: list[dict], theirs: list, *, regions: bool) -> tuple[float, float]:
    """The largest difference of probabilities, and the least Dice of all foreground."""
    largest, least = 0.0, 1.0
    for item, (label, found) in zip(ours, theirs, strict=True):
        own_label = read_image(item["segmentation"])[0][0]
        own, _ = read_image(item["probabilities"])
        if regions:  # a class is a region without the next one
            own = np.stack([own[1:].sum(0), own[2]])
            found = np.stack([found.max(0), found[1]])
        largest = max(largest, float(np.abs(own - found).max()))
        both, sizes = np.count_nonzero((own_label == label) & (label > 0)), (own_label > 0).sum() + (label > 0).sum()
        assert label.max() > 0
        least = min(least, 2 * both / sizes)
    return largest, least


@pytest.mark.parametrize(("dataset", "configuration", "folds"), TRAININGS)
def test_predictions_are_those_of_nnunet(dataset, configuration, folds, trained, tmp_path):
    """As it is, with its sums in half precision: to a step of them, where a sum lies between two numbers."""
    model, images = results(trained, dataset, configuration), cases(trained, dataset)[1::4]
    theirs = their_probabilities(model, images, folds)
    ours = our_items(model, images, tmp_path / "out")
    largest, least = differences(ours, theirs, regions="Regions" in dataset)
    assert largest <= STEP_OF_HALF
    assert least >= LEAST_DICE


@pytest.mark.parametrize(("dataset", "configuration", "folds"), TRAININGS)
def test_in_single_precision_both_are_one(dataset, configuration, folds, trained, full_precision, tmp_path):
    model, images = results(trained, dataset, configuration), cases(trained, dataset)[:1]
    theirs = their_probabilities(model, images, folds)
    ours = our_items(model, images, tmp_path / "out")
    largest, least = differences(ours, theirs, regions="Regions" in dataset)
    assert largest <= 1e-5
    assert least >= LEAST_DICE


def corrected_items(folder: Path, tmp_path: Path) -> list[dict]:
    """One case whose label was confirmed all over."""
    items = []
    for path in cases(folder, "Dataset001_Turned")[:2]:
        name = path.name.split("_0000")[0]
        label = folder / "raw" / "Dataset001_Turned" / "labelsTr" / f"{name}.nii.gz"
        items.append({"name": name, "images": [str(path)], "label": str(label)})
    values, geometry = read_image(items[0]["label"])
    write_image(tmp_path / "trusted.nii.gz", np.ones_like(values[0], np.uint8), geometry)
    items[0]["trusted"] = str(tmp_path / "trusted.nii.gz")
    return items


def test_a_fine_tune_of_that_very_network_goes_back_into_nnunet(trained, full_precision, tmp_path):
    source = results(trained, "Dataset001_Turned", "3d_fullres")
    items = corrected_items(trained, tmp_path)
    before = (source / "fold_0" / "checkpoint_final.pth").read_bytes()
    asked = {"model": str(source), "cases": {"items": items}, "out": str(tmp_path / "tuned"), "device": "cpu"}
    told = finetune.run({**asked, "epochs": 2, "steps_per_epoch": 6}, Progress())
    assert told["confirmed_voxels"] > 0
    assert (source / "fold_0" / "checkpoint_final.pth").read_bytes() == before

    images = [Path(item["images"][0]) for item in items]
    ours = our_items(tmp_path / "tuned", images, tmp_path / "out")
    theirs = their_probabilities(Path(told["written_back"]), images, (0,))
    largest, least = differences(ours, theirs, regions=False)
    assert largest <= 1e-5
    assert least >= LEAST_DICE
    untuned = our_items(source / "fold_0", images, tmp_path / "untuned")
    assert differences(untuned, theirs, regions=False)[0] > 0.01

    again = finetune.run({**asked, "model": told["model"], "out": str(tmp_path / "again"), "epochs": 1}, Progress())
    assert (Path(again["written_back"]) / "fold_0" / "checkpoint_final.pth").is_file()
    listed = review.run({**asked, "model": told["model"], "out": str(tmp_path / "list")}, Progress())
    assert [item["name"] for item in listed["items"]] == ["case_0", "case_1"]


def test_regions_are_not_trained(trained, tmp_path):
    source = results(trained, "Dataset003_Regions", "3d_fullres")
    asked = {"model": str(source), "cases": {"items": corrected_items(trained, tmp_path)}, "out": str(tmp_path / "out")}
    with pytest.raises(EngineError, match="regions"):
        finetune.run(asked, Progress())
