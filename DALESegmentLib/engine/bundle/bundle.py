"""A model as a MONAI bundle: written so that `monai.bundle` can load and run it, read without executing anything.

Our own loader takes the plan from metadata.json, the network's class from our own list, and the weights with
`weights_only=True`. The configurations are for MONAI; we never evaluate them.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from .. import __version__
from ..core.errors import EngineError
from ..core.files import read_json, replace, write_atomically, write_json
from ..planning.networks import DYNAMIC_NETWORKS, MONAI_NETWORKS, NETWORKS, build
from ..planning.plan import Plan
from .config import inference_config
from .run_folder import BUNDLE_FOLDER, HELD_OUT_FILE, find_bundle
from .validate import check_plan, inside, read_weights

WEIGHTS = Path("models") / "model.pt"
METADATA = Path("configs") / "metadata.json"


def save_bundle(run_folder: Path, network: nn.Module, plan: Plan, training: dict[str, Any]) -> Path:
    """Write or refresh the bundle of a run.

    The first time, a whole folder is moved into place; later only the weights are replaced, in one move, since all
    else depends on the plan alone. `training` (JSON values) is for people, in docs/training.json.
    """
    bundle = run_folder / BUNDLE_FOLDER
    buffer = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in network.state_dict().items()}, buffer)
    if bundle.exists():
        write_atomically(bundle / WEIGHTS, buffer.getvalue())
        write_json(bundle / "docs" / "training.json", training)
        return bundle
    fresh = Path(tempfile.mkdtemp(dir=run_folder, prefix=".bundle."))
    try:
        write_json(fresh / METADATA, _metadata(plan))
        if plan.imported is None:  # else its own program runs what is written back for it, see `open_model`
            write_json(fresh / "configs" / "inference.json", inference_config(plan))
        write_json(fresh / "docs" / "training.json", training)
        held_out = run_folder / HELD_OUT_FILE
        if held_out.is_file():  # so that it is known wherever the model goes
            write_atomically(fresh / "docs" / HELD_OUT_FILE, held_out.read_bytes())
        write_atomically(fresh / "LICENSE", _LICENCE.encode())
        write_atomically(fresh / WEIGHTS, buffer.getvalue())
        with suppress(OSError):  # network disks and memory cards may know no modes
            fresh.chmod(0o755)
        replace(fresh, bundle)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return bundle


def load_bundle(model: Path, device: torch.device) -> tuple[nn.Module, Plan]:
    """Network in evaluation mode, and its plan. Raises EngineError for a foreign or damaged bundle."""
    bundle = find_bundle(model)
    plan = load_plan(bundle)
    name = bundle.parent.name
    weights = read_weights(inside(bundle, WEIGHTS), plan, name)
    try:
        network = build(plan.network, plan.network_arguments)
        network.load_state_dict(weights)
    except EngineError:
        raise
    except Exception as error:  # MONAI checks few of its arguments, and raises whatever comes of them
        raise EngineError(
            "model-unusable",
            f"The model {name} cannot be used: its weights do not fit its network; nothing was loaded.",
        ) from error
    return network.to(device).eval(), plan


def load_plan(bundle: Path) -> Plan:
    metadata = read_json(inside(bundle, METADATA))
    try:
        plan = Plan.model_validate(metadata["dalesegment"]["plan"])
    except (KeyError, TypeError, ValidationError) as error:
        raise EngineError(
            "foreign-model", f"{bundle.name} is not a model made by DALESegment; choose one that is."
        ) from error
    known = NETWORKS if plan.imported is None else (*MONAI_NETWORKS, *DYNAMIC_NETWORKS)
    if plan.network not in known:
        raise EngineError(
            "foreign-model",
            f"{bundle.name} uses the network {plan.network[:40]!r}, which is not known; choose another model.",
        )
    check_plan(plan, bundle.parent.name)
    return plan


def _image_names(plan: Plan) -> Sequence[str]:
    """One a channel."""
    if len(plan.image_names) == plan.channels:
        return plan.image_names
    return [f"image {c + 1}" for c in range(plan.channels)]


def _metadata(plan: Plan) -> dict[str, Any]:
    channels = {str(i): plan.class_names.get(v, "background") for i, v in enumerate(plan.class_values)}
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "trained with DALESegment"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"nibabel": "4.0.0"},
        "task": "segmentation",
        "description": f"{plan.network} for {', '.join(plan.class_names.values())}, trained with DALESegment",
        "authors": "not stated",
        "copyright": "not stated",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "intensity",
                    "num_channels": plan.channels,
                    "spatial_shape": list(plan.network_patch),
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {str(c): name for c, name in enumerate(_image_names(plan))},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": plan.classes,
                    "spatial_shape": list(plan.network_patch),
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": channels,
                }
            },
        },
        "dalesegment": {"version": __version__, "plan": plan.model_dump(mode="json")},
    }


_LICENCE = "The weights belong to whoever trained them; no licence is stated.\n"
