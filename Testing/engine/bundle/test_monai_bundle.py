"""A bundle of MONAI's model zoo predicts what MONAI's own parser, transforms and inferer make of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from DALESegmentLib.engine.bundle.open_model import files_of, open_model
from DALESegmentLib.engine.commands import finetune, predict, refresh
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import read_image, write_image
from Testing.monai_bundles import ORIENTATION, READING, SOFTMAX, SPACING, WINDOW, configuration, write_bundle

CPU = torch.device("cpu")
TURNED = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def steps(*transforms: dict) -> dict:
    return {"_target_": "Compose", "transforms": [*READING, *transforms]}


NORMALISE = {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}
CROP = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 2}
SEGRESNET = {
    "_target_": "monai.networks.nets.SegResNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "init_filters": 8,
    "blocks_down": [1, 2],
    "blocks_up": [1],
}
CONSTANT = {"_target_": "SlidingWindowInferer", "roi_size": [24, 16, 16], "sw_batch_size": 1, "overlap": 0.25}
ONE_OUTPUT = [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}, SOFTMAX[1]]
THRESHOLD = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.3}

BUNDLES = {
    "spleen": configuration(),
    "left_and_posterior": configuration(preprocessing=steps({**ORIENTATION, "axcodes": "LPS"}, SPACING, WINDOW)),
    "spacing_before_orientation": configuration(preprocessing=steps(SPACING, ORIENTATION, NORMALISE)),
    "as_stored": configuration(preprocessing=steps(NORMALISE), inferer=CONSTANT),
    "cropped": configuration(preprocessing=steps(ORIENTATION, CROP, SPACING, NORMALISE)),
    "activated_last": configuration(postprocessing={"_target_": "Compose", "transforms": [SOFTMAX[1], SOFTMAX[0]]}),
    "segresnet": configuration(network_def=SEGRESNET),
    "one_output": configuration(classes=1, postprocessing={"_target_": "Compose", "transforms": ONE_OUTPUT}),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """A turned volume with a rim of zeros."""
    values = np.random.default_rng(1).normal(60, 60, (1, 30, 26, 34)).astype(np.float32)
    values[:, :6] = values[:, :, -5:] = 0
    path = tmp_path_factory.mktemp("image") / "case.nii.gz"
    write_image(path, values, Geometry((34, 26, 30), (1.0, 1.6, 1.1), (-20.0, 3.0, 9.0), TURNED))
    return path


def as_monai_does(bundle: Path, image: Path) -> np.ndarray:
    """(K, k, j, i) probabilities on the image's grid: the bundle's parts, put together by MONAI and run."""
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    config["postprocessing"]["transforms"] = config["postprocessing"]["transforms"][:2]  # probabilities, no label
    parser = ConfigParser(config)
    parser.parse(True)
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    data = parser.get_parsed_content("preprocessing")({"image": str(image)})
    with torch.no_grad():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
    after: Compose = parser.get_parsed_content("postprocessing")
    return np.transpose(np.moveaxis(np.asarray(after(data)["pred"]), 0, -1))


def as_we_do(model: Path, image: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and label."""
    asked = {"model": str(model), "cases": {"items": [{"name": "case", "images": [str(image)]}]}, "out": str(out)}
    item = predict.run({**asked, "probabilities": True, "device": "cpu"}, Progress())["items"][0]
    return read_image(item["probabilities"])[0], read_image(item["segmentation"])[0][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLES)
def test_predictions_are_those_of_monai(name, image, tmp_path):
    bundle = write_bundle(tmp_path / name, copy.deepcopy(BUNDLES[name]))
    theirs = as_monai_does(bundle, image)
    ours, label = as_we_do(bundle, image, tmp_path / "out")
    if len(theirs) == 1:
        ours, decided = ours[1:], theirs[0] > 0.5
    else:
        decided = theirs.argmax(0)
        inside = theirs.sum(0) > 0.5  # nothing is predicted outside of what was cropped
        theirs[0][~inside] = 1
    assert np.ptp(theirs[-1]) > 0.1
    assert np.abs(ours - theirs).max() <= 1e-3
    assert 2 * np.count_nonzero((label == decided) & (label > 0)) >= 0.9999 * ((label > 0).sum() + (decided > 0).sum())


def test_classes_have_the_names_of_the_metadata(tmp_path):
    _, plan = open_model(write_bundle(tmp_path / "spleen", configuration()), CPU)
    assert plan.class_names == {1: "spleen", 2: "liver"}
    assert plan.class_values == [0, 1, 2]


def test_yaml_is_read_as_well(tmp_path):
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed; pip install pyyaml")
    bundle = write_bundle(tmp_path / "spleen", configuration())
    (bundle / "configs" / "inference.json").unlink()
    (bundle / "configs" / "inference.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(configuration()))))
    _, plan = open_model(bundle, CPU)
    assert plan.network == "UNet"
    assert bundle / "configs" / "inference.yaml" in files_of(bundle)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preprocessing": steps({"_target_": "RandGaussianNoised", "keys": "image"})}, "RandGaussianNoised"),
        ({"preprocessing": steps({**WINDOW, "a_min": "$0.5 * 3"})}, "expression"),
        ({"inferer": {"_target_": "SimpleInferer"}}, "SimpleInferer"),
        ({"network_def": {**SEGRESNET, "_target_": "FlexibleUNet"}}, "FlexibleUNet"),
        ({"postprocessing": {"_target_": "Compose", "transforms": ONE_OUTPUT}}, "may overlap"),
        ({"postprocessing": {"_target_": "Compose", "transforms": [THRESHOLD]}}, "threshold 0.3"),
    ],
)
def test_what_is_not_known_is_named(changes, words, tmp_path):
    bundle = write_bundle(tmp_path / "spleen", configuration(), weights={})
    (bundle / "configs" / "inference.json").write_text(json.dumps(configuration(**changes)))
    with pytest.raises(EngineError, match=words) as refused:
        open_model(bundle, CPU)
    assert refused.value.code == "foreign-model"
    assert "review --probabilities" in refused.value.sentence


@pytest.mark.parametrize("pixdim", [[1e-9, 1e-9, 1e-9], 0.001])
def test_voxels_too_fine_for_the_memory_are_refused(pixdim, image, tmp_path):
    config = configuration(preprocessing=steps({**SPACING, "pixdim": pixdim}))
    with pytest.raises(EngineError, match="GB of memory at the voxel size of the model") as refused:
        as_we_do(write_bundle(tmp_path / "spleen", config), image, tmp_path / "out")
    assert refused.value.code == "file-too-large"


@pytest.mark.slow
def test_a_fine_tune_goes_back_into_monai(image, tmp_path):
    source = write_bundle(tmp_path / "spleen", configuration())
    values, geometry = read_image(image)
    label = (values[0] > 100).astype(np.uint8)
    write_image(tmp_path / "label.nii.gz", label, geometry)
    write_image(tmp_path / "trusted.nii.gz", np.ones_like(label), geometry)
    item = {"name": "case", "images": [str(image)], "label": str(tmp_path / "label.nii.gz")}
    item["trusted"] = str(tmp_path / "trusted.nii.gz")
    asked = {"model": str(source), "cases": {"items": [item]}, "out": str(tmp_path / "tuned"), "device": "cpu"}
    told = finetune.run({**asked, "epochs": 2, "steps_per_epoch": 5}, Progress())
    ours, _ = as_we_do(tmp_path / "tuned", image, tmp_path / "out")
    untuned, _ = as_we_do(source, image, tmp_path / "untuned")
    theirs = as_monai_does(Path(told["written_back"]), image)
    assert np.abs(ours - theirs).max() <= 1e-3
    assert np.abs(untuned - theirs).max() > 0.01


def test_a_model_that_is_not_trained_answers_no_corrected_region(image, tmp_path):
    bundle = write_bundle(tmp_path / "one", copy.deepcopy(BUNDLES["one_output"]))
    values, geometry = read_image(image)
    for name in ("label", "trusted"):
        write_image(tmp_path / f"{name}.nii.gz", (values[0] > 100).astype(np.uint8), geometry)
    item = {"name": "case", "images": [str(image)]} | {k: str(tmp_path / f"{k}.nii.gz") for k in ("label", "trusted")}
    box = {"case": "case", "first_voxel": [4, 4, 4], "last_voxel": [9, 9, 9]}
    asked = {"model": str(bundle), "cases": {"items": [item]}, "out": str(tmp_path / "out"), "device": "cpu"}
    told: list = []
    progress = Progress(told.append)
    with pytest.raises(EngineError, match="is not trained here"):
        refresh.run({**asked, "region": box}, progress)
    progress.close()
    assert not [report for report in told if "region" in json.dumps(report, default=vars)]
