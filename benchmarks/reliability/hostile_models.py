"""Models made to run something, to read something else, or to fill the memory: all refused, none run.

Each is a good bundle with one part changed. `mark` is a file that exists if anything was run.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle, save_bundle
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import Plan

PLAN = Plan(
    network="UNet",
    network_arguments={"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]},
    dims=2,
    planar=False,
    slice_axis=2,
    patch_size=(16, 16, 1),
    spacing=None,
    channels=1,
    class_values=[0, 1],
    class_names={1: "lesion"},
    normalise="case",
    ct_window=None,
    batch_size=2,
)


class Touch:
    """What a pickle can do: run any function."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def good_bundle(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    return save_bundle(folder, build(PLAN.network, PLAN.network_arguments), PLAN, {})


def attacks(mark: Path) -> dict[str, Callable[[Path], None]]:
    """By name, what is done to the bundle. After "harmless:" it stays usable, and nothing runs all the same."""
    touch = f"$__import__('pathlib').Path({str(mark)!r}).touch()"
    target = {"_target_": "pathlib.Path.touch", "self": str(mark)}
    return {
        "pickle for weights": lambda b: (b / "models/model.pt").write_bytes(pickle.dumps(Touch(mark))),
        "pickle within weights": lambda b: torch.save({"a": Touch(mark)}, b / "models/model.pt"),
        "pickle beside tensors": lambda b: torch.save([torch.ones(2), Touch(mark)], b / "models/model.pt"),
        "old pickle format": lambda b: torch.save(
            {"a": Touch(mark)}, b / "models/model.pt", _use_new_zipfile_serialization=False
        ),
        "whole network for weights": lambda b: torch.save(torch.nn.Linear(1, 1), b / "models/model.pt"),
        "scripted network for weights": _scripted,
        "weights that are packed": _packed,
        "weights that claim a terabyte": lambda b: torch.save(
            {"model.0": torch.zeros(1).expand(1 << 38)}, b / "models/model.pt"
        ),
        "weights of another network": lambda b: torch.save({"x": torch.ones(3)}, b / "models/model.pt"),
        "weights that are a link": lambda b: _link(b, "models/model.pt"),
        "a description that is a link": lambda b: _link(b, "configs/metadata.json"),
        "a folder that is a link": _link_folder,
        "harmless: $import in inference.json": lambda b: _config(b, {"imports": [touch], "run": [touch]}),
        "harmless: _target_ in inference.json": lambda b: _config(b, {"network_def": target, "evaluator": target}),
        "harmless: a script beside it": lambda b: (
            (b / "scripts").mkdir() or (b / "scripts/__init__.py").write_text(f"open({str(mark)!r}, 'w')")
        ),
        "_target_ as the network": lambda b: _plan(b, network="pathlib.Path.touch"),
        "$import as the network": lambda b: _plan(b, network=touch),
        "_target_ in the arguments": lambda b: _arguments(b, _target_="os.system", norm=target),
        "$import in the arguments": lambda b: _arguments(b, act=touch),
        "a dotted name in the arguments": lambda b: _arguments(b, norm="os.system"),
        "an unknown argument": lambda b: _arguments(b, code=touch),
        "a million channels": lambda b: _arguments(b, channels=[10**6, 10**6]),
        "a million levels": lambda b: _arguments(b, channels=[4] * 10**6, strides=[1] * (10**6 - 1)),
        "a patch of 10^15 voxels": lambda b: _plan(b, patch_size=[10**5, 10**5, 10**5]),
        "a class of 10^15": lambda b: _plan(b, class_values=[0, 10**15]),
        "no background": lambda b: _plan(b, class_values=[1, 2]),
        "a spacing of 0": lambda b: _plan(b, spacing=[0.0, 1.0, 1.0]),
        "an unknown part of the plan": lambda b: _plan(b, post_load="os.system"),
        "no JSON": lambda b: (b / "configs/metadata.json").write_bytes(pickle.dumps(Touch(mark))),
        "deep JSON": lambda b: (b / "configs/metadata.json").write_text("[" * 10**6),
    }


def tried(name: str, folder: Path) -> str | None:
    """What went wrong, or None: refused with a code, or loaded where it is harmless; and nothing was run."""
    mark = folder / "executed"
    bundle = good_bundle(folder / "run")
    attacks(mark)[name](bundle)
    try:
        load_bundle(bundle, torch.device("cpu"))
        wrong = None if name.startswith("harmless") else "was loaded"
    except EngineError as error:
        wrong = f"was refused: {error.sentence}" if name.startswith("harmless") else None
    return "was executed" if mark.exists() else wrong


def names() -> list[str]:
    return list(attacks(Path()))


def _scripted(bundle: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(bundle / "models/model.pt"))


def _packed(bundle: Path) -> None:
    """The same content, deflated: a few kilobytes could unpack to any size."""
    path = bundle / "models/model.pt"
    with zipfile.ZipFile(path) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def _link(bundle: Path, part: str) -> None:
    """Even to a good file: what lies elsewhere is not the model's."""
    elsewhere = bundle.parent.parent / "elsewhere"
    shutil.move(bundle / part, elsewhere)
    (bundle / part).symlink_to(os.path.relpath(elsewhere, (bundle / part).parent))


def _link_folder(bundle: Path) -> None:
    elsewhere = bundle.parent.parent / "elsewhere"
    shutil.move(bundle / "models", elsewhere)
    (bundle / "models").symlink_to(elsewhere)


def _config(bundle: Path, config: dict[str, Any]) -> None:
    (bundle / "configs/inference.json").write_text(json.dumps(config))


def _plan(bundle: Path, **changes: Any) -> None:
    path = bundle / "configs/metadata.json"
    metadata = json.loads(path.read_text())
    metadata["dalesegment"]["plan"].update(changes)
    path.write_text(json.dumps(metadata))


def _arguments(bundle: Path, **changes: Any) -> None:
    _plan(bundle, network_arguments={**PLAN.network_arguments, **changes})


def hostile_safetensors(path: Path) -> None:
    """A checkpoint whose header claims more than there is."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
