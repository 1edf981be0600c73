"""Probabilities of a whole image by MONAI's sliding window, on the prepared grid or on the image's own."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer
from torch import Tensor, nn

from ..cases.case import Case
from ..errors import EngineError
from ..process.progress import Progress
from .plan import Plan
from .prepare import prepare_image, to_native

OVERLAP = 0.25
PADDING = "replicate"
"""How an image smaller than a patch is filled up, in training as in prediction."""


class Predictor:
    """A network ready to be run over images of any size. Checks for a cancel before every window."""

    def __init__(self, network: nn.Module, plan: Plan, device: torch.device) -> None:
        self.network = network
        self.plan = plan
        self.device = device
        self.inferer = make_inferer(plan)

    def prepared_probabilities(self, image: Tensor, progress: Progress) -> Tensor:
        """image: (C, x, y, z) prepared; returns (K, x, y, z) float32 on the CPU, summing to 1 over K."""

        def windows(batch: Tensor) -> Tensor:
            progress.check()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                return self.network(batch).float()

        was_training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode():
                logits = self.inferer(image.unsqueeze(0).to(self.device), windows)
                progress.check()
                return torch.as_tensor(logits)[0].softmax(0).cpu()
        finally:
            self.network.train(was_training)

    def probabilities(self, case: Case, progress: Progress) -> np.ndarray:
        """(K, *geometry.array_shape) float32 on the case's own grid."""
        if case.channels != self.plan.channels:
            raise EngineError(
                "wrong-channels",
                f"{case.name} has {case.channels} channel(s), but the model was trained on "
                f"{self.plan.channels}; give the same kinds of images in the same order.",
            )
        image = prepare_image(case, self.plan, progress.check)
        values = self.prepared_probabilities(image.as_tensor(), progress)
        progress.check()
        return to_native(values, image.affine, case.geometry)

    def segmentation(self, probabilities: np.ndarray) -> np.ndarray:
        """(K, *grid) to label values (*grid); see `label_values`."""
        return label_values(probabilities, self.plan)


def label_values(probabilities: np.ndarray, plan: Plan) -> np.ndarray:
    """The most probable class's label value, (K, *grid) to (*grid), in the smallest type that holds them all."""
    values = np.array(plan.class_values)
    kind = np.uint8 if values.max() < 256 else np.int32
    return values.astype(kind)[probabilities.argmax(0)]


def make_inferer(plan: Plan) -> Inferer:
    patch = plan.network_patch
    if plan.dims == 2:
        return SliceInferer(
            spatial_dim=plan.slice_axis,
            roi_size=patch,
            sw_batch_size=8,
            overlap=OVERLAP,
            mode="gaussian",
            padding_mode=PADDING,
        )
    return SlidingWindowInferer(roi_size=patch, sw_batch_size=2, overlap=OVERLAP, mode="gaussian", padding_mode=PADDING)
