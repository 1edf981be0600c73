"""A bundle of MONAI's model zoo as a model: its configuration is read as data, nothing in it is run.

`network_def` names a network of MONAI's and its plain arguments; a value that is an expression (`$...`) or an object
(`_target_`) is refused, a reference (`@...`) is followed where it leads to a plain value. The preprocessing, the
inferer and the postprocessing are read the same way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..core.errors import EngineError
from ..core.files import read_json, replacing, write_atomically
from ..planning.networks import MONAI_NETWORKS
from ..planning.plan import Plan
from ..planning.preparation import STEPS, MonaiPreparation, Tiling
from .validate import check_plan, inside, load_plain, read_tensors, unusable

METADATA = Path("configs") / "metadata.json"
INFERENCE = ("inference.json", "inference.yaml", "inference.yml")
WEIGHTS = Path("models") / "model.pt"
READING = ("LoadImage", "EnsureChannelFirst", "EnsureType", "CastToType", "AddChannel")
"""Steps that our own reading of images has done."""
IGNORED = ("keys", "allow_missing_keys", "source_key", "_disabled_", "_desc_", "_mode_", "device", "track_meta", "lazy")
MOST_BYTES = 4 << 20
DEEPEST = 12


def inference_file(bundle: Path) -> Path | None:
    return next((bundle / "configs" / n for n in INFERENCE if (bundle / "configs" / n).is_file()), None)


def read_model(bundle: Path) -> tuple[Plan, dict[str, Tensor]]:
    """Its plan and weights. Raises EngineError("foreign-model", "model-unusable", "model-leads-out")."""
    name = bundle.name
    metadata = read_json(inside(bundle, METADATA))
    config = _Config(_read_config(bundle), name)
    try:
        plan = _plan(metadata, config, name)
    except EngineError:
        raise
    except Exception as error:  # whatever the files hold instead of what they should
        raise unusable(name, "its configuration makes no sense") from error
    check_plan(plan, name)
    return plan, read_tensors(_weights(load_plain(inside(bundle, WEIGHTS), name), name), plan, name)


def write_model(source: Path, folder: Path, network: nn.Module) -> Path:
    """A training that started from the bundle `source` as a bundle of the same configuration, which MONAI runs."""
    config = inference_file(source)
    assert config is not None
    for part in (METADATA, config.relative_to(source)):
        write_atomically(folder / part, inside(source, part).read_bytes())
    (folder / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS) as temporary:
        torch.save({name: value.detach().cpu() for name, value in network.state_dict().items()}, temporary)
    return folder


def _read_config(bundle: Path) -> Mapping[str, Any]:
    path = inference_file(bundle)
    assert path is not None
    path = inside(bundle, path.relative_to(bundle))
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("larger than any configuration")
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else _yaml(text)
        if not isinstance(found, Mapping):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as error:
        raise unusable(bundle.name, f"its {path.name} is damaged") from error
    return found


def _yaml(text: str) -> Any:
    """Without tags, and without aliases, by which a few lines grow to gigabytes."""
    try:
        import yaml
    except ImportError as missing:
        raise EngineError(
            "package-missing", "A configuration in YAML needs the Python package pyyaml; type pip install pyyaml."
        ) from missing
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error


class _Config:
    """Plain values of a configuration, by id such as "network_def" or "inferer::roi_size"."""

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self._values = values
        self._name = name

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def plain(self, value: Any, what: str, depth: int = 0) -> Any:
        """With its references followed. Raises EngineError("foreign-model") for what would have to be run."""
        if depth > DEEPEST:
            raise unusable(self._name, f"its {what} refers to itself")
        if isinstance(value, str) and value.startswith(("$", "%")):
            raise self.refused(f"the expression {value[:60]!r} in its {what}", "expressions are not run")
        if isinstance(value, str) and value.startswith("@"):
            return self.plain(self._referred(value[1:], what), what, depth + 1)
        if isinstance(value, Mapping):
            if "_target_" in value and depth:
                raise self.refused(f"the object {str(value['_target_'])[:60]!r} in its {what}", "objects are not made")
            return {str(key): self.plain(each, what, depth + 1) for key, each in value.items()}
        if isinstance(value, list):
            return [self.plain(each, what, depth + 1) for each in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise unusable(self._name, f"its {what} makes no sense")
        return value

    def part(self, *names: str) -> Any:
        """The first of these that is there, as it stands, its reference followed; None where none is."""
        found = next((self._values[name] for name in names if name in self._values), None)
        for _ in range(DEEPEST):
            if not (isinstance(found, str) and found.startswith("@")):
                return found
            found = self._referred(found[1:], names[0])
        raise unusable(self._name, f"its {names[0]} refers to itself")

    def _referred(self, where: str, what: str) -> Any:
        found: Any = self._values
        for step in where.replace("#", "::").split("::"):
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                raise self.refused(f"the reference {'@' + where[:60]!r} in its {what}", "there is no such value")
        return found

    def refused(self, what: str, why: str) -> EngineError:
        """The error for what is not known or not done."""
        return EngineError(
            "foreign-model",
            f"{self._name[:100]} cannot be used because of {what}: {why}; predict with MONAI, and give its "
            "probabilities to review --probabilities.",
        )


def _target(value: Any, config: _Config, what: str) -> str:
    """The name of a class without its module, which has to be MONAI's own, and without the d of a dictionary's."""
    target = value.get("_target_") if isinstance(value, Mapping) else None
    if not isinstance(target, str):
        raise config.refused(f"its {what}", "it is not described by a _target_")
    module, _, name = target.rpartition(".")
    if module and not module.startswith("monai."):
        raise config.refused(f"{target[:60]!r} in its {what}", "it is not MONAI's own")
    return name


def _transforms(value: Any, config: _Config, what: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if _target(value, config, what) != "Compose":
        raise config.refused(f"its {what}", "it is no Compose of transforms")
    steps = value.get("transforms")
    steps = config._referred(steps[1:], what) if isinstance(steps, str) and steps.startswith("@") else steps
    if not isinstance(steps, list):
        raise config.refused(f"its {what}", "its transforms are no list")
    return [step for step in steps if not (isinstance(step, Mapping) and step.get("_disabled_") is True)]


def _undictionary(name: str) -> str:
    for ending in ("Dict", "D", "d"):
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


def _plan(metadata: Mapping[str, Any], config: _Config, name: str) -> Plan:
    described = config.part("network_def", "network")
    network = _target(described, config, "network_def")
    if network not in MONAI_NETWORKS:
        raise config.refused(f"the network {network[:60]!r}", f"known are {', '.join(MONAI_NETWORKS)}")
    arguments = {k: v for k, v in config.plain(described, "network_def").items() if not k.startswith("_")}
    steps, orientation = _steps(config)
    outputs = int(arguments.get("out_channels", 2 if network == "BasicUNet" else 1))
    activation, first = _activation(config, outputs)
    patch, tiling = _tiling(config)
    dims = int(arguments.get("spatial_dims", arguments.get("dimensions", 3)))
    if dims != 3 or len(patch) != 3:
        raise config.refused("its network", "it is not one of volumes")
    names = _class_names(metadata, outputs)
    preparation = MonaiPreparation(
        orientation=orientation, activation=cast(Any, activation), tiling=tiling, steps=steps, activated_first=first
    )
    values = list(range(2 if activation == "sigmoid" else outputs))
    return Plan(
        network=network,
        network_arguments=arguments,
        dims=3,
        planar=False,
        slice_axis=2,
        patch_size=cast(Any, tuple(patch)),
        spacing=None,
        channels=int(arguments.get("in_channels", 1)),
        class_values=values,
        class_names={value: names.get(value, f"class {value}") for value in values if value},
        normalise="ct" if any(step == "ScaleIntensityRange" for step, _ in steps) else "case",
        ct_window=None,
        batch_size=2,
        imported=preparation,
    )


def _steps(config: _Config) -> tuple[tuple[tuple[str, dict[str, Any]], ...], str]:
    """The transforms that are done to an image, and the orientation they turn it to."""
    found: list[tuple[str, dict[str, Any]]] = []
    orientation = "stored"
    for step in _transforms(config.part("preprocessing", "pre_transforms"), config, "preprocessing"):
        full = _target(step, config, "preprocessing")
        name = _undictionary(full)
        if name in READING:
            continue
        if name not in STEPS:
            raise config.refused(f"the transform {full[:60]!r}", f"known are {', '.join(STEPS)}")
        arguments = {}
        for key, value in step.items():
            if key == "_target_" or key in IGNORED:
                continue
            plain = config.plain(value, full[:60])
            if name == "Orientation" and key in ("labels", "as_closest_canonical") and not plain:
                continue
            if key == "dtype" and str(plain).rpartition(".")[2] in ("float32", "float64"):
                continue
            if name == "Spacing" and key in ("mode", "padding_mode") and isinstance(plain, list) and len(plain) == 1:
                plain = plain[0]
            if key not in STEPS[name]:
                raise config.refused(f"{key[:60]!r} of {full[:60]!r}", f"known are {', '.join(STEPS[name])}")
            arguments[key] = plain
        if name == "Orientation":
            orientation = str(arguments["axcodes"])
        found.append((name, arguments))
    return tuple(found), orientation


def _activation(config: _Config, outputs: int) -> tuple[str, bool]:
    """Of the outputs, and whether it comes before the way back to the image's grid."""
    names = []
    kind = "softmax" if outputs > 1 else "sigmoid"
    for step in _transforms(config.part("postprocessing", "post_transforms"), config, "postprocessing"):
        name = _undictionary(_target(step, config, "postprocessing"))
        names.append(name)
        threshold = config.plain(step.get("threshold"), "AsDiscrete") if name == "AsDiscrete" else None
        if threshold not in (None, 0.5):
            raise config.refused(f"the threshold {str(threshold)[:20]}", "the label is the most probable class")
        if name == "Activations":
            kind = "sigmoid" if config.plain(step.get("sigmoid"), "Activations") is True else "softmax"
    if kind == "sigmoid" and outputs > 1:
        raise config.refused(f"its {outputs} outputs with a sigmoid", "they may overlap")
    if kind == "softmax" and outputs < 2:
        raise config.refused("its single output with a softmax", "it would be 1 everywhere")
    inverted, activated = (names.index(n) if n in names else None for n in ("Invert", "Activations"))
    return kind, inverted is None or activated is None or activated < inverted


def _tiling(config: _Config) -> tuple[list[int], Tiling]:
    inferer = config.part("inferer")
    name = _target(inferer, config, "inferer")
    if name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        raise config.refused(f"the inferer {name[:60]!r}", "known is SlidingWindowInferer")
    said = {
        key: config.plain(inferer[key], "inferer")
        for key in ("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval")
        if key in inferer
    }
    patch = said["roi_size"]
    patch = [int(n) for n in patch] if isinstance(patch, list) else [int(patch)] * 3
    if said.get("cval", 0) != 0:
        raise config.refused("'cval' of its inferer", "it is not 0")
    tiling = Tiling(
        overlap=float(said.get("overlap", 0.25)),
        weights=said.get("mode", "constant"),
        sigma=float(said.get("sigma_scale", 0.125)),
        padding=said.get("padding_mode", "constant"),
    )
    return patch, tiling


def _class_names(metadata: Mapping[str, Any], outputs: int) -> dict[int, str]:
    """{output: name}; a single output is class 1."""
    try:
        said = next(iter(metadata["network_data_format"]["outputs"].values()))["channel_def"]
        named = {int(key): str(value)[:100] for key, value in said.items()}
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        return {}
    return {1: named.get(1, named.get(0, "class 1"))} if outputs == 1 else named


def _weights(stored: Any, name: str) -> Any:
    """Of a checkpoint, whatever it is wrapped in."""
    for key in ("state_dict", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            return stored[key]
    return stored
