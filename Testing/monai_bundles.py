"""Bundles in the form of MONAI's model zoo, with random weights, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from monai.networks import nets

UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": "@classes",
    "channels": [4, 8, 12],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}
SOFTMAX = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
        "to_tensor": True,
    },
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
]
ORIENTATION = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}
SPACING = {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.2, 2.0], "mode": "bilinear"}
WINDOW = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": -57,
    "a_max": 164,
    "b_min": 0,
    "b_max": 1,
    "clip": True,
}
READING = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
]


def configuration(**changes: Any) -> dict[str, Any]:
    """inference.json as those of the zoo are: with expressions in the parts that only running it takes."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$list(glob.glob('*.nii.gz'))",
        "classes": 3,
        "network_def": UNET,
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [*READING, ORIENTATION, SPACING, WINDOW, {"_target_": "EnsureTyped", "keys": "image"}],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [16, 16, 16],
            "sw_batch_size": 2,
            "overlap": 0.5,
            "mode": "gaussian",
        },
        "postprocessing": {"_target_": "Compose", "transforms": SOFTMAX},
    } | changes


def write_bundle(folder: Path, config: dict[str, Any], *, seed: int = 0, weights: Any = None) -> Path:
    """configs/ and models/model.pt with random weights, unless these are given."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    channels = {"0": "background", "1": "spleen", "2": "liver"}
    about = {"version": "0.1.0", "network_data_format": {"outputs": {"pred": {"channel_def": channels}}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(about))
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    torch.save(random_weights(config, seed) if weights is None else weights, folder / "models" / "model.pt")
    return folder


def random_weights(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Large enough for outputs that differ from place to place."""
    torch.manual_seed(seed)
    described = dict(config["network_def"])
    name = described.pop("_target_").rpartition(".")[2]
    arguments = {key: config["classes"] if value == "@classes" else value for key, value in described.items()}
    network = getattr(nets, name)(**arguments)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.02, 0.2)
    return network.state_dict()
