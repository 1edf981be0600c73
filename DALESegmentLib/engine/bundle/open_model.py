"""Open a model, whatever its kind: a bundle of ours, a result folder of nnU-Net, a bundle of MONAI's model zoo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core.errors import EngineError
from ..planning.networks import build
from ..planning.plan import Plan
from . import monai_bundle, nnunet
from .bundle import METADATA, WEIGHTS, load_bundle, load_plan
from .run_folder import find_bundle, fold_of, kind_of
from .validate import unusable


class FoldAverage(nn.Module):
    """The mean of the outputs of several networks, for inference."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *patch) to (B, K, *patch)."""
        total = self.networks[0](image)
        for network in self.networks[1:]:
            total = total + network(image)
        return total / len(self.networks)


def folds_of(network: nn.Module) -> list[nn.Module]:
    """The networks whose outputs are averaged, or the one."""
    return list(network.networks) if isinstance(network, FoldAverage) else [network]


class Mirrored(nn.Module):
    """The mean of the outputs over all flips of the patch along `axes` of the network, for inference."""

    def __init__(self, network: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.flips = [[a + 2 for i, a in enumerate(axes) if n >> i & 1] for n in range(2 ** len(axes))]

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *patch) to (B, K, *patch)."""
        total = self.network(image)
        for axes in self.flips[1:]:
            total = total + self.network(image.flip(axes)).flip(axes)
        return total / len(self.flips)


def open_model(model: Path, device: torch.device, *, to_train: bool = False) -> tuple[nn.Module, Plan]:
    """Network in evaluation mode, and its plan.

    to_train: one network; else also the mean of several folds and over flips, as its own program predicts.
    Raises EngineError for a model that is foreign, damaged or made to harm; nothing in it is run.
    """
    bundle = find_bundle(model)
    if kind_of(bundle) == "dalesegment":
        network, plan = load_bundle(bundle, device)
        networks = [network]
    else:
        plan, every = _read_foreign(bundle, fold_of(model))
        networks = [_loaded(plan, weights, bundle.name) for weights in (every[:1] if to_train else every)]
    if to_train:
        return networks[0].to(device).eval(), plan
    if plan.imported is not None and plan.imported.mirrored:
        networks = [Mirrored(network, plan.imported.mirrored) for network in networks]
    network = networks[0] if len(networks) == 1 else FoldAverage(networks)
    return network.to(device).eval(), plan


def open_plan(model: Path) -> Plan:
    """Raises what `open_model` does."""
    bundle = find_bundle(model)
    return load_plan(bundle) if kind_of(bundle) == "dalesegment" else _read_foreign(bundle, fold_of(model))[0]


def files_of(model: Path) -> list[Path]:
    """Those that tell whether a model changed."""
    bundle = find_bundle(model)
    if kind_of(bundle) == "nnunet":
        return [bundle / nnunet.PLANS, bundle / nnunet.DATASET, *nnunet.checkpoints_of(bundle, fold_of(model))]
    config = monai_bundle.inference_file(bundle)
    return [bundle / WEIGHTS, bundle / METADATA, *([] if config is None else [config])]


def files_of_folds(model: Path) -> list[Path]:
    """The weights that answer together: of several folds, unless the path names one."""
    bundle = find_bundle(model)
    return nnunet.checkpoints_of(bundle, fold_of(model)) if kind_of(bundle) == "nnunet" else [bundle / WEIGHTS]


def weights_of(bundle: Path) -> list[Path]:
    """The files of a bundle's or a result folder's weights."""
    return nnunet.checkpoints_of(bundle) if kind_of(bundle) == "nnunet" else [bundle / WEIGHTS]


def write_back(source: Path, folder: Path, network: nn.Module, plan: Plan) -> Path | None:
    """A training that started from a model of another program in that program's own form, in `folder`.

    source: the model it started from, or a run that has such a folder itself. None where it is our own, and where
    classes were added to a bundle of MONAI, whose configuration does not have them.
    """
    bundle = find_bundle(source)
    origin = next((f for f in (bundle, bundle.parent / folder.name) if kind_of(f) in ("nnunet", "monai")), None)
    if plan.imported is None or origin is None:
        return None
    if plan.imported.program == "nnU-Net":
        return nnunet.write_model(origin, folder, network, plan)
    if plan.classes != monai_bundle.read_model(origin)[0].classes:
        return None
    return monai_bundle.write_model(origin, folder, network)


def _read_foreign(bundle: Path, fold: str) -> tuple[Plan, list[dict[str, Tensor]]]:
    if kind_of(bundle) == "nnunet":
        return nnunet.read_model(bundle, fold)
    plan, weights = monai_bundle.read_model(bundle)
    return plan, [weights]


def _loaded(plan: Plan, weights: dict[str, Tensor], name: str) -> nn.Module:
    """The network with these weights. It is laid out without memory first, so that one which is larger than its weights
    is never made. Raises EngineError("model-unusable", "package-missing")."""
    try:
        with torch.device("meta"):
            empty = build(plan.network, plan.network_arguments).state_dict()
        if _shapes(empty) != _shapes(weights):
            raise ValueError("other shapes")
        network = build(plan.network, plan.network_arguments)
        network.load_state_dict(weights)
    except EngineError:
        raise
    except Exception as error:  # the packages check few of their arguments, and raise whatever comes of them
        raise unusable(name, "its weights do not fit its network") from error
    return network


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}
