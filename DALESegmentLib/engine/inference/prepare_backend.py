"""At the end of a long training: the graph of its network, and whether half precision keeps its labels.

So the first image that the model segments waits for neither. A short training is not made longer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from ..bundle.bundle import load_bundle
from ..core.progress import Progress
from ..metrics.segmentation import mean_dice
from ..planning.plan import Plan
from ..planning.preprocessing import PreparedCase
from .backend import BackendNetwork, is_installed
from .graph import Precision, has_half_precision
from .predictor import Predictor
from .torch_network import optimize_for_inference

CPU = torch.device("cpu")
LONG_ENOUGH = 60.0
"""Seconds of training, of which the export takes a small part."""
SHARE = 0.05
"""Of the training's seconds, for the comparison of labels."""
MOST_CASES = 3
PRECISIONS: tuple[Precision, ...] = ("f32", "bf16")


def prepare_backend(bundle: Path, validation: Sequence[PreparedCase], seconds: float, progress: Progress) -> None:
    """Export the network of a bundle and measure it on this processor, see `backend`. validation: cases that were not
    learned from; seconds: that the training took."""
    if seconds < LONG_ENOUGH or not is_installed():
        return
    network, plan = load_bundle(bundle, CPU)
    faster = BackendNetwork(optimize_for_inference(network, plan, CPU), plan, wanted=False)
    progress.report(100, "validating", "Getting the model ready for this processor")
    faster.prepare()
    if faster.backend == "openvino" and has_half_precision():
        compare_half_precision(faster, plan, validation, SHARE * seconds, progress)


def compare_half_precision(
    network: BackendNetwork, plan: Plan, validation: Sequence[PreparedCase], seconds: float, progress: Progress
) -> None:
    """Keep the least Dice of labels in half and in single precision. It is not begun where it takes longer than
    `seconds`, and half precision is left alone where it is not faster."""
    predictor = Predictor(network, plan, CPU)
    least, until = 1.0, time.monotonic() + seconds
    spent = dict.fromkeys(PRECISIONS, 0.0)
    cases = sorted(validation, key=lambda case: case.image.numel())[:MOST_CASES]
    if not cases:
        return
    for case in cases:
        labels = []
        for precision in PRECISIONS:
            network.compile(precision)
            started = time.perf_counter()
            labels.append(predictor.prepared_classes(case.image, progress).numpy())
            spent[precision] += time.perf_counter() - started
        least = min(least, 1.0 if (labels[0] == labels[1]).all() else mean_dice(labels[0], labels[1]) or 0.0)
        if time.monotonic() > until:
            break
    network.compile("f32")
    network.keep_half_precision_dice(least if spent["bf16"] < spent["f32"] else 0.0)
