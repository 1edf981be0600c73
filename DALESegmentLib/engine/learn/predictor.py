"""A model's answer for a whole image: probabilities or labels, on the prepared grid or on the image's own."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from ..cases.case import Case
from ..cases.geometry import Geometry
from ..errors import EngineError
from ..process.progress import Progress
from .foreground import foreground_windows
from .kept_rows import KeptRows
from .layout import from_canonical
from .plan import Plan
from .prepare import prepare_image
from .sweep import Sweep
from .windows import padded, windows_of

Mode = Literal["exact", "foreground"]
Grid = tuple[Tensor, Geometry]


class Predictor:
    """A network ready to be run over images of any size.

    Overlapping windows are blended as MONAI's sliding window does it, but only in a slab that moves along the image,
    so that memory is bounded by the slab, not by the image times its classes. Mode "foreground" looks at the whole
    image at a low resolution first and runs only the windows where something may be; all else is background.
    """

    def __init__(self, network: nn.Module, plan: Plan, device: torch.device) -> None:
        self.network = network
        self.plan = plan
        self.device = device
        self.sweep = Sweep(network, plan, device)

    def prepared_probabilities(self, image: Tensor, progress: Progress) -> Tensor:
        """image: (C, x, y, z) prepared; returns (K, x, y, z) float32 on the CPU, summing to 1 over K."""
        return self._run(image, progress, decide=False)

    def prepared_classes(self, image: Tensor, progress: Progress, mode: Mode = "exact") -> Tensor:
        """The most probable class, whole numbers (x, y, z) on the CPU; image: (C, x, y, z) prepared."""
        return self._run(image, progress, mode, decide=True)

    def probabilities(
        self,
        case: Case,
        progress: Progress,
        mode: Mode = "exact",
        image: MetaTensor | None = None,
        message: str = "",
    ) -> np.ndarray:
        """(K, *geometry.array_shape) float32 on the case's own grid.

        image: the case's, if prepared already; message: how far it is, is reported with it.
        """
        return self._on_own_grid(case, progress, mode, image, message, decide=False)

    def label(self, case: Case, progress: Progress, mode: Mode = "exact", message: str = "") -> np.ndarray:
        """Label values on the case's own grid; what `segmentation` makes of the probabilities, in a slab's memory."""
        return as_label_values(self._on_own_grid(case, progress, mode, None, message, decide=True)[0], self.plan)

    def segmentation(self, probabilities: np.ndarray) -> np.ndarray:
        """(K, *grid) to label values (*grid); see `label_values`."""
        return label_values(probabilities, self.plan)

    def prepare(self, case: Case, progress: Progress) -> MetaTensor:
        """(C, x, y, z). Raises EngineError("wrong-channels")."""
        check_channels(case, self.plan)
        return prepare_image(case, self.plan)

    def _on_own_grid(
        self, case: Case, progress: Progress, mode: Mode, image: MetaTensor | None, message: str, *, decide: bool
    ) -> np.ndarray:
        image = self.prepare(case, progress) if image is None else image
        grid = (image.affine, case.geometry)
        values = self._run(image.as_tensor(), progress, mode, message, decide=decide, grid=grid)
        progress.check()
        return from_canonical((values.unsqueeze(0) if decide else values).numpy(), case.geometry)

    def _run(
        self,
        image: Tensor,
        progress: Progress,
        mode: Mode = "exact",
        message: str = "",
        *,
        decide: bool,
        grid: Grid | None = None,
    ) -> Tensor:
        full, where = padded(image, self.plan.patch_size)
        every = windows_of(tuple(full.shape[1:]), self.plan.patch_size)
        windows = foreground_windows(full, every, self.sweep, self.plan, progress) if mode == "foreground" else every

        def keep() -> KeptRows:
            return KeptRows(where, every.axis, self.plan.classes, grid, decide=decide)

        return self.sweep.run(full, windows, keep, progress, message, partial=len(windows) < len(every))


def check_channels(case: Case, plan: Plan) -> None:
    """Raises EngineError("wrong-channels")."""
    if case.channels != plan.channels:
        raise EngineError(
            "wrong-channels",
            f"{case.name} has {case.channels} channel(s), but the model was trained on "
            f"{plan.channels}; give the same kinds of images in the same order.",
        )


def label_values(probabilities: np.ndarray, plan: Plan) -> np.ndarray:
    """The most probable class's label value, (K, *grid) to (*grid), in the smallest type that holds them all."""
    return as_label_values(probabilities.argmax(0), plan)


def as_label_values(classes: np.ndarray, plan: Plan) -> np.ndarray:
    """Network classes (*grid) to label values (*grid)."""
    values = np.array(plan.class_values)
    kind = np.uint8 if values.max() < 256 else np.int32
    return values.astype(kind)[classes]
