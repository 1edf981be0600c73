"""MONAI's networks by name, sized for a patch; anisotropic ones pool less along the coarse axis."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.networks import nets
from torch import Tensor, nn

from ..core.errors import EngineError

NETWORKS = ("UNet", "AttentionUnet", "SegResNet", "DynUNet", "SwinUNETR")
DYNAMIC_NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
"""nnU-Net's, of the package dynamic-network-architectures."""
LAYERS = (
    *(f"{kind}{dims}d" for kind in ("Conv", "InstanceNorm", "BatchNorm", "Dropout") for dims in (2, 3)),
    *("LeakyReLU", "ReLU", "GELU", "ELU", "SiLU", "PReLU"),
)
MONAI_NETWORKS = (*NETWORKS, "BasicUNet", "UNETR", "VNet", "HighResNet")
"""That a bundle of MONAI may name."""
LEARNING_RATES = {"SwinUNETR": 5e-4}
LEARNING_RATE = 3e-3
_DEEPEST = 5
_COARSE = 2.0
"""An axis this many times coarser than the finest is not pooled (after Isensee et al., nnU-Net, 2021)."""


_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def design(
    name: str, patch: np.ndarray, spacing: np.ndarray, channels: int, classes: int, *, large: bool
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The patch size the network can take, nearest to the wanted one, and the network's arguments.

    patch: voxels wanted; spacing: mm; both along the network's axes. Returns plain JSON values.
    """
    common: dict[str, Any] = {"spatial_dims": len(patch), "in_channels": channels, "out_channels": classes}
    if name == "SwinUNETR":
        fitted = _fit(patch, np.full(len(patch), 32))
        if max(fitted) == 32:  # its deepest level would be a single voxel, which cannot be normalised
            fitted = (64, *fitted[1:])
        if "img_size" in inspect.signature(nets.SwinUNETR.__init__).parameters:
            common["img_size"] = list(fitted)
        return fitted, {**common, "feature_size": 24 if large else 12}
    strides, kernels = _pooling(patch, spacing)
    width = 32 if large else 16
    if name == "SegResNet":
        levels = min(4, 1 + int(np.log2(max(patch.max() // 8, 1))))
        blocks = {1: [1], 2: [1, 2], 3: [1, 2, 2], 4: [1, 2, 2, 4]}[max(levels, 1)]
        arguments = {
            **common,
            "init_filters": width,
            "blocks_down": blocks,
            "blocks_up": [1] * (len(blocks) - 1),
        }
        return _fit(patch, np.full(len(patch), 2 ** (len(blocks) - 1))), arguments
    fitted = _fit(patch, np.prod(strides, axis=0))
    widths = [min(width * 2**level, 320) for level in range(len(strides) + 1)]
    if name == "DynUNet":
        return fitted, {
            **common,
            "kernel_size": [*kernels, kernels[-1]],
            "strides": [[1] * len(patch), *strides],
            "upsample_kernel_size": strides,
            "filters": widths,
            "res_block": True,
        }
    arguments = {**common, "channels": widths, "strides": strides}
    units = {"num_res_units": 2 if large else 1, "norm": "INSTANCE"}
    return fitted, arguments | (units if name == "UNet" else {})


def build(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Raises EngineError("package-missing"), and whatever comes of arguments that make no sense."""
    if name in DYNAMIC_NETWORKS:
        return _build_dynamic(name, arguments)
    return getattr(nets, name)(**arguments)


def _build_dynamic(name: str, arguments: dict[str, Any]) -> nn.Module:
    """A network of nnU-Net, with one output in training, too. Layers are named; only those below are known."""
    try:
        from dynamic_network_architectures.architectures import unet
    except ImportError as missing:
        raise EngineError(
            "package-missing",
            "A network of nnU-Net needs the Python package dynamic-network-architectures; install it with "
            "pip install --no-deps dynamic-network-architectures.",
        ) from missing
    layers = {
        key: None if arguments.get(key) is None else getattr(nn, _known_layer(arguments[key]))
        for key in ("conv_op", "norm_op", "nonlin", "dropout_op")
    }
    network: nn.Module = getattr(unet, name)(**{**arguments, **layers, "deep_supervision": False})
    return network


def _known_layer(name: str) -> str:
    if name not in LAYERS:
        raise ValueError("no layer of nnU-Net's networks")
    return name


def widened(network: nn.Module, name: str, arguments: dict[str, Any]) -> nn.Module:
    """A network with more outputs than `network` has, which comes after its own: these stay what they are, the weights
    of new ones are fresh.

    name, arguments: of the wider network, see `build`. Raises EngineError("not-widened") where its outputs are mixed in
    a way that is not known.
    """
    wide, before = build(name, arguments), network.state_dict()
    outputs = {key: value.shape for key, value in before.items()}
    state = wide.state_dict()
    if state.keys() != before.keys():
        raise _not_widened(name)
    transposed = {
        f"{path}.weight" for path, m in wide.named_modules() if isinstance(m, nn.modules.conv._ConvTransposeNd)
    }
    for key, value in state.items():
        was = outputs[key]
        if value.ndim != len(was) or any(now < then for now, then in zip(value.shape, was, strict=True)):
            raise _not_widened(name)
        if value.shape != was and value.ndim > 1:  # what is new must not reach the old outputs
            out = 1 if key in transposed else 0
            value.narrow(out, 0, was[out]).zero_()
        value[tuple(slice(n) for n in was)].copy_(before[key])
    wide.load_state_dict(state)
    return wide


def check_widened(network: nn.Module, wide: nn.Module, patch: Tensor) -> None:
    """Raises EngineError("not-widened") unless the first outputs of both are the same. patch: (1, C, *patch)."""
    with torch.no_grad():
        before, now = network.eval()(patch), wide.eval()(patch)
    if not torch.allclose(before, now[:, : before.shape[1]], atol=1e-4, rtol=1e-4):
        raise _not_widened(type(network).__name__)


def _not_widened(name: str) -> EngineError:
    return EngineError(
        "not-widened",
        f"The network {name} of this model cannot be given more classes with its own ones kept; train a new model, or "
        "leave the new classes out.",
    )


def add_to_logits(network: nn.Module, offsets: Tensor, run: Callable[[], Tensor]) -> bool:
    """Add (K,) offsets to what the network gives, in the bias of its last layer. run: the network, which changes with
    nothing but its weights, on some patch. False, and the network as it was, where no bias does just that."""
    with torch.no_grad():
        before = run()
        wanted = before + offsets.view(1, -1, *[1] * (before.ndim - 2))
        for module in reversed([m for m in network.modules() if isinstance(m, _CONVOLUTIONS)]):
            if module.bias is None or module.bias.shape != offsets.shape:
                continue
            was = module.bias.detach().clone()
            module.bias += offsets
            if torch.allclose(run(), wanted, atol=1e-3, rtol=1e-3):
                return True
            module.bias.copy_(was)
    return False


class FeatureTap:
    """Remembers the penultimate features of a network: the input of the last convolution that has more input
    channels than there are classes. Found from the order in which the layers run."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        self.features: Tensor | None = None
        self._last: nn.Module | None = None
        self._network = network
        self._layers = [m for m in network.modules() if isinstance(m, _CONVOLUTIONS) and m.in_channels > classes]

    def find(self, run: Callable[[], Any]) -> None:
        """Run the network once by `run` and hook the layer found."""
        order: list[nn.Module] = []
        hooks = [m.register_forward_pre_hook(lambda m, _: order.append(m)) for m in self._layers]
        run()
        for hook in hooks:
            hook.remove()
        if order:
            self._last = order[-1]
            self._last.register_forward_pre_hook(self._keep)

    def _keep(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.features = inputs[0] if self._network.training else None


def _pooling(patch: np.ndarray, spacing: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:
    """Strides and kernels, level by level: pool an axis while 8 voxels are left and its spacing is not coarse."""
    size, step = np.array(patch, float), np.array(spacing, float)
    strides: list[list[int]] = []
    kernels: list[list[int]] = []
    while len(strides) < _DEEPEST - 1:
        fine = step < _COARSE * step.min()
        pool = fine & (size >= 8)
        if not pool.any():
            break
        kernels.append([3 if f else 1 for f in fine])
        strides.append([2 if p else 1 for p in pool])
        size, step = np.where(pool, size / 2, size), np.where(pool, step * 2, step)
    if not strides:
        return [[1] * len(patch)], [[3] * len(patch)]
    return strides, kernels


def _fit(patch: np.ndarray, divisor: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    """The multiples of the divisor next above the wanted size (a small excess is rounded down)."""
    return tuple(int(max(1, np.ceil(p / d - 0.25)) * d) for p, d in zip(patch, divisor, strict=True))
