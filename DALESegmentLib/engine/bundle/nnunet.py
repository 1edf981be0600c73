"""A result folder of nnU-Net v2 as a model, read without nnU-Net, nothing in it run; and a training written as one.

Known are its default preprocessing, networks of dynamic-network-architectures, softmax and regions. Weights of several
folds are averaged over their predictions, as nnU-Net does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import EngineError
from ..core.files import read_json, replacing, write_json
from ..planning.networks import DYNAMIC_NETWORKS
from ..planning.plan import Plan
from ..planning.preparation import Intensities, NnunetPreparation, Tiling
from .validate import check_plan, inside, load_plain, read_tensors, unusable

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
SCHEMES: dict[str, str] = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
}
RESAMPLING = "resample_data_or_seg_to_shape"
OVERLAP = 0.5
MOST_FOLDS = 20
_KEPT = ("network_weights", "trainer_name", "init_args", "inference_allowed_mirroring_axes")
"""Of a checkpoint; the state of its optimizer is as large as its weights."""
HALF = True
"""Whether windows are summed in half precision: that is what nnU-Net does."""


def checkpoints_of(folder: Path, fold: str = "") -> list[Path]:
    """The weights of each fold, or of the one named; the final ones where they are there.

    Raises EngineError("no-model").
    """
    folds = [folder / fold] if fold else sorted(path for path in folder.glob("fold_*") if path.is_dir())
    found = [next((f / n for n in CHECKPOINTS if (f / n).is_file()), None) for f in folds[:MOST_FOLDS]]
    known = [inside(folder, path.relative_to(folder)) for path in found if path is not None]
    if not known:
        raise EngineError(
            "no-model",
            f"{folder.name[:100]} holds no fold with {' or '.join(CHECKPOINTS)}; name a finished training of nnU-Net.",
        )
    return known


def read_model(folder: Path, fold: str = "") -> tuple[Plan, list[dict[str, Tensor]]]:
    """The plan, and the weights of each fold in its axes.

    Raises EngineError("foreign-model", "model-unusable", "model-leads-out", "no-model").
    """
    name = folder.name
    files = checkpoints_of(folder, fold)
    checkpoints = [_checkpoint(path, name) for path in files]
    plans, dataset = (read_json(inside(folder, Path(part))) for part in (PLANS, DATASET))
    try:
        configuration = _configuration(plans, _configuration_name(checkpoints[0], name))
        plan = _plan(plans, dataset, configuration, checkpoints[0], name)
    except EngineError:
        raise
    except Exception as error:  # whatever the files hold instead of what they should
        raise unusable(name, f"its {PLANS} or {DATASET} makes no sense") from error
    check_plan(plan, name)
    order = _order(cast(NnunetPreparation, plan.imported), plan.dims)
    weights = [read_tensors(checkpoint["network_weights"], plan, name) for checkpoint in checkpoints]
    return plan, [turned(each, order) for each in weights]


def write_model(source: Path, folder: Path, network: nn.Module, plan: Plan) -> Path:
    """A training that started from `source` as a result folder with one fold, which nnU-Net's predictor loads.

    source: the result folder it came from. Returns the folder.
    """
    how = cast(NnunetPreparation, plan.imported)
    back = list(np.argsort(_order(how, plan.dims)))
    stored = _checkpoint(checkpoints_of(source)[0], source.name)
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    plain = {
        "network_weights": turned(weights, back),
        "trainer_name": str(stored.get("trainer_name", "nnUNetTrainer")),
        "init_args": {"configuration": _configuration_name(stored, source.name), "fold": 0},
        "inference_allowed_mirroring_axes": _mirrored(stored),
        "current_epoch": 0,
        "_best_ema": None,
        "logging": {},
        "grad_scaler_state": None,
        "optimizer_state": {},
    }
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    write_json(folder / PLANS, read_json(inside(source, Path(PLANS))))
    dataset = read_json(inside(source, Path(DATASET)))
    write_json(folder / DATASET, {**dataset, "labels": _with_new_classes(dataset["labels"], plan)})
    with replacing(folder / "fold_0" / CHECKPOINTS[0]) as temporary:
        torch.save(plain, temporary)
    return folder


def _with_new_classes(labels: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """nnU-Net numbers classes by their outputs; the value of "ignore" comes after all of them."""
    known = {key: value for key, value in labels.items() if key != "ignore"}
    if plan.classes <= len(known) or plan.outputs != plan.classes:
        return dict(labels)
    named = {plan.class_names[value]: n for n, value in enumerate(plan.class_values) if n >= len(known)}
    return {**known, **named, **({"ignore": plan.classes} if "ignore" in labels else {})}


def turned(weights: Mapping[str, Tensor], order: Sequence[int]) -> dict[str, Tensor]:
    """Kernels with their axes in another order: (out, in, *kernel)."""
    dims = len(order)
    axes = [0, 1, *(2 + axis for axis in order)]
    return {k: v.permute(axes).contiguous() if v.ndim == dims + 2 else v for k, v in weights.items()}


def _harmless() -> list[Any]:
    """What nnU-Net's checkpoints hold beside tensors: the device, and numbers of its log as numpy's scalars."""
    try:
        from numpy._core.multiarray import scalar
    except ImportError:  # before numpy 2
        from numpy.core.multiarray import scalar  # type: ignore[no-redef,attr-defined]
    kinds = {type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u8", "?")}
    both = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [torch.device, np.dtype, *kinds, *both]


def _checkpoint(path: Path, name: str) -> dict[str, Any]:
    stored = load_plain(path, name, _harmless())
    if not isinstance(stored, Mapping) or not isinstance(stored.get("network_weights"), Mapping):
        raise unusable(name, f"its {path.name} holds no weights of nnU-Net")
    return {key: stored[key] for key in _KEPT if key in stored}


def _configuration_name(checkpoint: Mapping[str, Any], folder: str) -> str:
    arguments = checkpoint.get("init_args")
    name = arguments.get("configuration") if isinstance(arguments, Mapping) else folder.rpartition("__")[2]
    return str(name)


def _configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """With what it inherits."""
    known, asked = plans["configurations"], name
    found: dict[str, Any] = {}
    for _ in range(len(known)):
        if asked not in known:
            raise KeyError(asked)
        found = {**known[asked], **found}
        asked = known[asked].get("inherits_from")
        if asked is None:
            return found
    raise ValueError("inherits from itself")


def _plan(
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    configuration: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    name: str,
) -> Plan:
    _check_known(plans, configuration, name)
    values, names, regions = _classes(dataset, name)
    channels = len(dataset.get("channel_names") or dataset["modality"])
    dims = len(configuration["patch_size"])
    axes = tuple(2 - int(axis) for axis in plans["transpose_forward"])
    if sorted(axes) != [0, 1, 2] or dims not in (2, 3):
        raise unusable(name, "its axes make no sense")
    preparation = NnunetPreparation(
        activation="regions" if regions else "softmax",
        tiling=Tiling(
            overlap=OVERLAP, even=True, weights="nnunet", half=HALF, order=cast(Any, axes), padding="constant"
        ),
        axes=cast(Any, axes),
        spacing=tuple(float(s) for s in configuration["spacing"]),
        channels=_channels(plans, configuration, channels, name),
        image_order=_order_of(configuration, "data", 3, name),
        output_order=_order_of(configuration, "probabilities", 1, name),
        separate=configuration["resampling_fn_data_kwargs"].get("force_separate_z"),
    )
    order = _order(preparation, dims)
    mirrored = tuple(sorted(order.index(axis) for axis in _mirrored(checkpoint) or ()))
    preparation = NnunetPreparation.model_validate({**preparation.model_dump(), "mirrored": mirrored})
    patch = [1, 1, 1]
    for axis, n in zip(axes[3 - dims :], configuration["patch_size"], strict=True):
        patch[axis] = int(n)
    network, arguments = _network(configuration, order, channels, len(values) - bool(regions))
    return Plan(
        network=network,
        network_arguments=arguments,
        dims=cast(Any, dims),
        planar=plans.get("image_reader_writer") == "NaturalImage2DIO",
        slice_axis=axes[0] if dims == 2 else 2,
        patch_size=cast(Any, tuple(patch)),
        spacing=None,
        channels=channels,
        class_values=values,
        class_names=names,
        normalise="ct" if all(c.kind == "ct" for c in preparation.channels) else "case",
        ct_window=None,
        batch_size=max(2, min(int(configuration.get("batch_size", 2)), 32)),
        imported=preparation,
    )


def _check_known(plans: Mapping[str, Any], configuration: Mapping[str, Any], name: str) -> None:
    """Raises EngineError("foreign-model") naming what is not known."""
    unknown = [
        (configuration.get("preprocessor_name", "DefaultPreprocessor"), ("DefaultPreprocessor",), "preprocessor"),
        (plans.get("label_manager", "LabelManager"), ("LabelManager",), "label manager"),
        (
            plans.get("image_reader_writer", "SimpleITKIO"),
            ("SimpleITKIO", "NibabelIO", "NaturalImage2DIO", "Tiff3DIO"),
            "image reader",
        ),
        (configuration.get("resampling_fn_data", RESAMPLING), (RESAMPLING,), "resampling"),
        (configuration.get("resampling_fn_probabilities", RESAMPLING), (RESAMPLING,), "resampling"),
    ]
    for found, known, what in unknown:
        if found not in known:
            raise _not_known(name, f"the {what} {str(found)[:60]!r}")
    if configuration.get("previous_stage") is not None:
        raise _not_known(name, "a cascade, whose second network needs the first one's answer")


def _not_known(name: str, what: str) -> EngineError:
    return EngineError(
        "foreign-model",
        f"{name[:100]} uses {what}, which is not known here; predict with nnU-Net, and give its probabilities to "
        "review --probabilities.",
    )


def _classes(dataset: Mapping[str, Any], name: str) -> tuple[list[int], dict[int, str], bool]:
    """Label values, 0 first; their names; whether the outputs are regions."""
    labels = {str(key): value for key, value in dataset["labels"].items() if key != "ignore"}
    order = dataset.get("regions_class_order")
    if order is None or not any(isinstance(value, (list, tuple)) for value in labels.values()):
        names = {int(value): key for key, value in labels.items() if int(value)}
        values = [0, *sorted(names)]
        if values != list(range(len(values))):
            raise unusable(name, "its label values are not 0, 1, 2, ...")
        return values, names, False
    found = {key: {int(v) for v in (value if isinstance(value, list) else [value])} for key, value in labels.items()}
    regions = {key: value for key, value in found.items() if value != {0}}
    sets = list(regions.values())
    if len(sets) != len(order):
        raise unusable(name, "its regions and their order do not fit")
    if any(not inner < outer for outer, inner in pairwise(sets)):
        raise _not_known(name, "regions of which one does not hold the next")
    return [0, *(int(v) for v in order)], dict(zip(map(int, order), regions, strict=True)), True


def _channels(
    plans: Mapping[str, Any], configuration: Mapping[str, Any], count: int, name: str
) -> tuple[Intensities, ...]:
    known = plans.get("foreground_intensity_properties_per_channel") or {}
    schemes, masks = configuration["normalization_schemes"], configuration["use_mask_for_norm"]
    if not len(schemes) == len(masks) == count:
        raise unusable(name, "it has not one normalisation for each channel")
    made = []
    for channel, (scheme, masked) in enumerate(zip(schemes, masks, strict=True)):
        if scheme not in SCHEMES:
            raise _not_known(name, f"the normalisation {str(scheme)[:60]!r}")
        numbers = None
        if SCHEMES[scheme] == "ct":
            about = known[str(channel)]
            numbers = tuple(float(about[key]) for key in ("mean", "std", "percentile_00_5", "percentile_99_5"))
            if not all(np.isfinite(numbers)):
                raise unusable(name, "the intensities of its plan make no sense")
        made.append(Intensities(kind=cast(Any, SCHEMES[scheme]), masked=bool(masked), numbers=cast(Any, numbers)))
    return tuple(made)


def _order_of(configuration: Mapping[str, Any], what: str, usual: int, name: str) -> int:
    arguments = configuration.get(f"resampling_fn_{what}_kwargs", {})
    if arguments.get("order_z", 0) != 0 or arguments.get("is_seg"):
        raise _not_known(name, "a resampling with its own settings")
    return int(arguments.get("order", usual))


def _order(how: NnunetPreparation, dims: int) -> list[int]:
    """For each axis of our network, which of nnU-Net's network axes it is."""
    in_network = how.axes[3 - dims :]
    return [in_network.index(axis) for axis in sorted(in_network)]


def _mirrored(checkpoint: Mapping[str, Any]) -> list[int] | None:
    found = checkpoint.get("inference_allowed_mirroring_axes")
    return None if found is None else [int(axis) for axis in found]


def _network(
    configuration: Mapping[str, Any], order: Sequence[int], channels: int, outputs: int
) -> tuple[str, dict[str, Any]]:
    """Its name and its plain arguments, kernels and strides along our axes."""
    if "architecture" in configuration:
        package, _, name = str(configuration["architecture"]["network_class_name"]).rpartition(".")
        if package.partition(".")[0] != "dynamic_network_architectures":
            raise _not_known("This model", f"the network {package[:60]}.{name[:60]}")
        arguments = dict(configuration["architecture"]["arch_kwargs"])
    else:
        name, arguments = _earlier_network(configuration)
    if name not in DYNAMIC_NETWORKS:
        raise _not_known("This model", f"the network {name[:60]!r}")
    for key in ("kernel_sizes", "strides"):
        arguments[key] = [[int(e[a]) for a in order] if isinstance(e, list) else int(e) for e in arguments[key]]
    for key in ("conv_op", "norm_op", "nonlin", "dropout_op"):
        package, _, layer = str(arguments.get(key) or "").rpartition(".")
        if package and package != "torch.nn" and not package.startswith("torch.nn.modules."):
            raise _not_known("This model", f"the layer {package[:60]}.{layer[:60]}")
        arguments[key] = layer or None
    arguments.pop("deep_supervision", None)
    return name, {"input_channels": channels, "num_classes": outputs, **arguments}


def _earlier_network(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Of plans before nnU-Net 2.4."""
    name = str(configuration["UNet_class_name"])
    convolutions = configuration["n_conv_per_stage_encoder"]
    base, most = int(configuration["UNet_base_num_features"]), int(configuration["unet_max_num_features"])
    dims = len(configuration["patch_size"])
    return name, {
        "n_stages": len(convolutions),
        "features_per_stage": [min(base * 2**i, most) for i in range(len(convolutions))],
        "conv_op": f"Conv{dims}d",
        "kernel_sizes": configuration["conv_kernel_sizes"],
        "strides": configuration["pool_op_kernel_sizes"],
        "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": convolutions,
        "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": f"InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
