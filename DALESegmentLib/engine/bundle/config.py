"""inference.json of an exported bundle: our preparation and sliding window, said in MONAI's own transforms."""

from __future__ import annotations

from typing import Any

from ..planning.plan import Plan
from ..planning.windows import OVERLAP, PADDING


def inference_config(plan: Plan) -> dict[str, Any]:
    """`python -m monai.bundle run --config_file configs/inference.json --dataset_dir FOLDER` segments every image
    of the folder into output_dir. Needs pytorch-ignite, as every MONAI bundle with an evaluator does."""
    return {
        "imports": ["$import glob", "$import os", "$import numpy as np", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/output'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        # one image a channel: name the files of a case <case>_0000, <case>_0001, ... to give several
        "channels": plan.channels,
        "files": "$sorted(f for f in glob.glob(os.path.join(@dataset_dir, '*')) if os.path.isfile(f))",
        "datalist": _datalist(plan),
        "network_def": {"_target_": plan.network, **plan.network_arguments},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan)},
        "dataset": {"_target_": "Dataset", "data": "$@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": _inferer(plan),
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(plan)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$monai.utils.set_determinism(seed=0)"],
        "run": ["$@evaluator.run()"],
    }


def _datalist(plan: Plan) -> str:
    if plan.channels == 1 or plan.planar:
        return "$[{'image': f} for f in @files]"
    return "$[{'image': list(g)} for g in zip(*[iter(@files)] * @channels)]"


def _preprocessing(plan: Plan) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
    ]
    if not plan.planar:
        steps.append({"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None})
    if plan.spacing is not None:
        spacing = {"_target_": "Spacingd", "keys": "image", "pixdim": list(plan.spacing), "mode": "bilinear"}
        steps.append({**spacing, "padding_mode": "border"})
    if plan.normalise == "ct" and plan.ct_window is not None:
        low, high = plan.ct_window
        window = {"a_min": low, "a_max": high, "b_min": -1.0, "b_max": 1.0, "clip": True}
        steps.append({"_target_": "ScaleIntensityRanged", "keys": "image", **window})
    elif plan.normalise == "slice" and not plan.planar:
        axes = [axis + 1 for axis in range(3) if axis != plan.slice_axis]
        by_slice = f"$lambda x: (x - x.mean({axes}, keepdim=True)) / x.std({axes}, keepdim=True).clamp_min(1e-6)"
        steps.append({"_target_": "Lambdad", "keys": "image", "func": by_slice})
    else:
        steps.append({"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True})
    return [*steps, {"_target_": "EnsureTyped", "keys": "image"}]


def _inferer(plan: Plan) -> dict[str, Any]:
    common = {
        "roi_size": list(plan.network_patch),
        "overlap": OVERLAP,
        "mode": "gaussian",
        "padding_mode": PADDING,
    }
    if plan.dims == 2 and not plan.planar:
        return {"_target_": "SliceInferer", "spatial_dim": plan.slice_axis, "sw_batch_size": 8, **common}
    return {"_target_": "SlidingWindowInferer", "sw_batch_size": 2, **common}


def _postprocessing(plan: Plan) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"_target_": "Activationsd", "keys": "pred", "softmax": True}]
    if not plan.planar:  # a plain picture keeps its grid all the way
        back = {"transform": "@preprocessing", "orig_keys": "image", "nearest_interp": False, "to_tensor": True}
        steps.append({"_target_": "Invertd", "keys": "pred", **back})
    steps.append({"_target_": "AsDiscreted", "keys": "pred", "argmax": True})
    if plan.class_values != list(range(plan.classes)):
        values = {"orig_labels": list(range(plan.classes)), "target_labels": plan.class_values}
        steps.append({"_target_": "MapLabelValued", "keys": "pred", **values})
    save: dict[str, Any] = {"output_dir": "@output_dir", "separate_folder": False}
    if plan.planar:
        save |= {"resample": False, **_picture_type(max(plan.class_values))}
    return [*steps, {"_target_": "SaveImaged", "keys": "pred", **save}]


def _picture_type(largest: int) -> dict[str, Any]:
    """Where a picture's label goes, so that its largest value fits."""
    if largest <= 255:
        return {"output_ext": ".png", "output_dtype": "$np.uint8"}
    if largest <= 65535:
        return {"output_ext": ".png", "output_dtype": "$np.uint16"}
    return {"output_ext": ".tiff", "output_dtype": "$np.int32"}
