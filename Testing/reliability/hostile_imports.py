"""Models of other programs made to run something, to read something else, or to fill the memory.

Each is a good result folder of nnU-Net or a good bundle of MONAI with one part changed. `mark` is a file that exists if
anything was run.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reliability.hostile_models import Touch
from Testing.monai_bundles import WINDOW, configuration, write_bundle

KEPT = Path(__file__).parents[1] / "kept" / "nnunet" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
CHECKPOINT = Path("fold_0") / "checkpoint_final.pth"
Attack = Callable[[Path], object]


class Call:
    """What a pickle can do with two arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def good_nnunet(folder: Path) -> Path:
    """A copy of the one that is kept."""
    return Path(shutil.copytree(KEPT, folder / KEPT.name))


def good_monai(folder: Path) -> Path:
    """With random weights."""
    return write_bundle(folder / "spleen", configuration())


def on_nnunet(mark: Path) -> dict[str, Attack]:
    """By name, what is done to the result folder."""
    code = f"open({str(mark)!r}, 'w')"
    return {
        "pickle for a checkpoint": lambda m: (m / CHECKPOINT).write_bytes(pickle.dumps(Touch(mark))),
        "pickle for the weights": lambda m: _checkpoint(m, network_weights=Touch(mark)),
        "pickle beside the weights": lambda m: _checkpoint(m, logging=Touch(mark)),
        "pickle in the arguments": lambda m: _checkpoint(m, init_args={"configuration": Touch(mark)}),
        "eval beside the weights": lambda m: _checkpoint(m, logging=Call(eval, code)),
        "os.system beside the weights": lambda m: _checkpoint(m, logging=Call(os.system, f"touch {mark}")),
        "a numpy array of objects": lambda m: _checkpoint(m, logging=np.array([Touch(mark)], object)),
        "old pickle format": lambda m: torch.save(
            {"network_weights": Touch(mark)}, m / CHECKPOINT, _use_new_zipfile_serialization=False
        ),
        "a packed checkpoint": _packed,
        "a truncated checkpoint": lambda m: (m / CHECKPOINT).write_bytes((m / CHECKPOINT).read_bytes()[:5000]),
        "an empty checkpoint": lambda m: (m / CHECKPOINT).write_bytes(b""),
        "weights that claim a terabyte": lambda m: _checkpoint(
            m, network_weights={"x": torch.zeros(1).expand(1 << 38)}
        ),
        "weights under other keys": lambda m: _checkpoint(m, network_weights={"x": torch.ones(3)}),
        "no weights": lambda m: torch.save({"epoch": 1}, m / CHECKPOINT),
        "a checkpoint that is a link": lambda m: _link(m, CHECKPOINT),
        "plans that are a link": lambda m: _link(m, Path("plans.json")),
        "a configuration of another folder": lambda m: _checkpoint(m, init_args={"configuration": "../../etc/passwd"}),
        "os.system as the network": lambda m: _architecture(m, network_class_name="os.system"),
        "a layer of another package": lambda m: _arguments(m, nonlin="os.system"),
        "a layer with a path": lambda m: _arguments(m, conv_op="../../evil.Conv3d"),
        "a million features": lambda m: _arguments(m, features_per_stage=[10**6] * 3),
        "a million convolutions": lambda m: _arguments(m, n_conv_per_stage=[10**6] * 3),
        "a million stages": lambda m: _arguments(m, n_stages=10**6),
        "a patch of 10^15 voxels": lambda m: _configuration(m, patch_size=[10**5] * 3),
        "a spacing of 0": lambda m: _configuration(m, spacing=[0.0, 1.0, 1.0]),
        "a spacing of 1e-9": lambda m: _configuration(m, spacing=[1e-9, 1.0, 1.0]),
        "infinite intensities": lambda m: _plans(
            m,
            foreground_intensity_properties_per_channel={
                "0": dict.fromkeys(("mean", "std", "percentile_00_5", "percentile_99_5"), 1e400)
            },
        ),
        "plans that inherit from themselves": lambda m: _configuration(m, inherits_from="3d_fullres"),
        "axes that are none": lambda m: _plans(m, transpose_forward=[0, 0, 7]),
        "flips of no axis": lambda m: _checkpoint(m, inference_allowed_mirroring_axes=(0, 1, 99)),
        "a thousand flips": lambda m: _checkpoint(m, inference_allowed_mirroring_axes=tuple([0] * 64)),
        "no JSON": lambda m: (m / "plans.json").write_bytes(pickle.dumps(Touch(mark))),
        "deep JSON": lambda m: (m / "plans.json").write_text("[" * 10**6),
        "a label of 10^15": lambda m: _dataset(m, labels={"background": 0, "a": 10**15}),
    }


def on_monai(mark: Path) -> dict[str, Attack]:
    """By name, what is done to the bundle."""
    touch = f"$__import__('pathlib').Path({str(mark)!r}).touch()"
    target = {"_target_": "pathlib.Path.touch", "self": str(mark)}
    unet = configuration()["network_def"]
    compose = configuration()["preprocessing"]
    return {
        "pickle for weights": lambda m: (m / "models/model.pt").write_bytes(pickle.dumps(Touch(mark))),
        "pickle within weights": lambda m: torch.save({"model": {"a": Touch(mark)}}, m / "models/model.pt"),
        "whole network for weights": lambda m: torch.save(torch.nn.Linear(1, 1), m / "models/model.pt"),
        "scripted network for weights": lambda m: torch.jit.script(torch.nn.Linear(1, 1)).save(m / "models/model.pt"),
        "weights of another network": lambda m: torch.save({"x": torch.ones(3)}, m / "models/model.pt"),
        "weights that are a link": lambda m: _link(m, Path("models/model.pt")),
        "a configuration that is a link": lambda m: _link(m, Path("configs/inference.json")),
        "$import as the network": lambda m: _config(m, network_def=touch),
        "_target_ of os.system as the network": lambda m: _config(
            m, network_def={"_target_": "os.system", "command": f"touch {mark}"}
        ),
        "_target_ of a file beside it": lambda m: _config(m, network_def={**unet, "_target_": "scripts.evil.UNet"}),
        "_target_ with MONAI's name elsewhere": lambda m: _config(m, network_def={**unet, "_target_": "evil.UNet"}),
        "$ in the arguments": lambda m: _config(m, network_def={**unet, "act": touch}),
        "_target_ in the arguments": lambda m: _config(m, network_def={**unet, "act": target}),
        "$ behind a reference": lambda m: _config(m, classes=touch),
        "% of another file": lambda m: _config(m, network_def={**unet, "act": "%/etc/passwd::x"}),
        "a reference to itself": lambda m: _config(m, classes="@classes"),
        "a reference to nothing": lambda m: _config(m, classes="@network_def::__class__"),
        "$ in a transform": lambda m: _config(m, preprocessing={**compose, "transforms": [{**WINDOW, "a_min": touch}]}),
        "os.system as a transform": lambda m: _config(
            m, preprocessing={**compose, "transforms": [{"_target_": "os.system", "command": f"touch {mark}"}]}
        ),
        "Lambda as a transform": lambda m: _config(
            m, preprocessing={**compose, "transforms": [{"_target_": "Lambdad", "keys": "image", "func": touch}]}
        ),
        "a million channels": lambda m: _config(m, network_def={**unet, "channels": [10**6] * 3}),
        "a million levels": lambda m: _config(
            m, network_def={**unet, "channels": [4] * 10**5, "strides": [1] * (10**5 - 1)}
        ),
        "a patch of 10^15 voxels": lambda m: _config(
            m, inferer={"_target_": "SlidingWindowInferer", "roi_size": [10**5] * 3}
        ),
        "an overlap of 1": lambda m: _config(
            m, inferer={"_target_": "SlidingWindowInferer", "roi_size": [16] * 3, "overlap": 1}
        ),
        "deep JSON": lambda m: (m / "configs/inference.json").write_text("[" * 10**6),
        "a YAML that runs": lambda m: _yaml(m, f"network_def: !!python/object/apply:os.system ['touch {mark}']"),
        "a YAML of a billion": lambda m: _yaml(m, "a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\nnetwork_def: *b"),
    }


def _checkpoint(model: Path, **changes: Any) -> None:
    stored = torch.load(KEPT / CHECKPOINT, weights_only=False)
    torch.save({**stored, **changes}, model / CHECKPOINT)


def _json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads(path.read_text(encoding="utf-8"))
    change(stored)
    path.write_text(json.dumps(stored), encoding="utf-8")


def _plans(model: Path, **changes: Any) -> None:
    _json(model / "plans.json", lambda stored: stored.update(changes))


def _dataset(model: Path, **changes: Any) -> None:
    _json(model / "dataset.json", lambda stored: stored.update(changes))


def _configuration(model: Path, **changes: Any) -> None:
    _json(model / "plans.json", lambda stored: stored["configurations"]["3d_fullres"].update(changes))


def _architecture(model: Path, **changes: Any) -> None:
    _json(model / "plans.json", lambda s: s["configurations"]["3d_fullres"]["architecture"].update(changes))


def _arguments(model: Path, **changes: Any) -> None:
    _json(
        model / "plans.json",
        lambda s: s["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes),
    )


def _packed(model: Path) -> None:
    with zipfile.ZipFile(model / CHECKPOINT) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(model / CHECKPOINT, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def _link(model: Path, part: Path) -> None:
    elsewhere = model.parent / "elsewhere"
    shutil.move(model / part, elsewhere)
    (model / part).symlink_to(elsewhere)


def _config(model: Path, **changes: Any) -> None:
    _json(model / "configs/inference.json", lambda stored: stored.update(changes))


def _yaml(model: Path, text: str) -> None:
    (model / "configs/inference.json").unlink()
    (model / "configs/inference.yaml").write_text(text)
