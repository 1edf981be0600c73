"""Predictions of a model: of a whole image or of one box, as probabilities or labels, on either grid.

In the mode "foreground" a first prediction at half the resolution selects the windows that may hold a structure. For a
box, only the windows that intersect it are run.

The last used model is kept loaded, on a CPU with a network that is faster for inference: the same weights, in other
routines and another order in memory.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor, nn

from ..bundle.open_model import files_of, folds_of, open_model
from ..bundle.run_folder import find_bundle
from ..core.errors import EngineError
from ..core.progress import Progress
from ..geometry.grid import Geometry
from ..geometry.orientation import from_canonical
from ..io.case import Case
from ..planning import monai_preparation, nnunet_preparation
from ..planning.plan import Plan
from ..planning.preparation import MonaiPreparation, in_own_orientation
from ..planning.preprocessing import prepare_image, to_native
from ..planning.windows import Windows, padded, windows_of
from .backend import BackendName, check_backend, with_backend
from .slab import OutputWriter, SlabWriter
from .sliding_window import SlidingWindowRunner
from .torch_network import optimize_for_inference

Mode = Literal["exact", "foreground"]
Grid = tuple[Tensor, Geometry]


class Predictor:
    """A network ready to be run over images of any size.

    Overlapping windows are blended as MONAI's sliding window does it, but only in a slab that moves along the image,
    so that memory is bounded by the slab, not by the image times its classes. Mode "foreground" predicts the whole
    image at a low resolution first and runs only the windows where something may be; all else is background.
    """

    def __init__(self, network: nn.Module, plan: Plan, device: torch.device) -> None:
        self.network = network
        self.plan = plan
        self.device = device
        self.sweep = SlidingWindowRunner(network, plan, device)
        self._folds = [SlidingWindowRunner(each, plan, device) for each in folds_of(network)]

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
        """(C, x, y, z). Raises the errors of `check_channels`."""
        check_channels(case, self.plan)
        return prepare_image(case, self.plan)

    def _on_own_grid(
        self, case: Case, progress: Progress, mode: Mode, image: MetaTensor | None, message: str, *, decide: bool
    ) -> np.ndarray:
        image = self.prepare(case, progress) if image is None else image
        if self.plan.imported is not None:
            found = self._as_its_program(case, progress, mode, image, message)
            return self.decided(found)[None] if decide else found
        grid = (image.affine, case.geometry)
        values = self._run(image.as_tensor(), progress, mode, message, decide=decide, grid=grid)
        progress.check()
        return from_canonical((values.unsqueeze(0) if decide else values).numpy(), case.geometry)

    def _as_its_program(
        self, case: Case, progress: Progress, mode: Mode, image: MetaTensor, message: str
    ) -> np.ndarray:
        """(K, *geometry.array_shape) probabilities, as the program that trained the network computes them.

        Raises EngineError("wrong-mode"): its windows are all run.
        """
        how = self.plan.imported
        if mode != "exact":
            raise EngineError("wrong-mode", "A model of another program is run over every window; leave --mode out.")
        full, where = padded(image.as_tensor(), self.plan.patch_size, self.plan.tiling)
        windows = windows_of(tuple(full.shape[1:]), self.plan.patch_size, tiling=self.plan.tiling)
        keep = partial(OutputWriter, where, windows.axis, self.plan.outputs)
        outputs = None
        for sweep in self._folds:
            of_fold = sweep.run(full, windows, keep, progress, message, partial=False)
            of_fold = of_fold.half() if self.plan.tiling.half else of_fold
            outputs = of_fold if outputs is None else outputs + of_fold
        assert outputs is not None
        outputs = outputs / len(self._folds)
        progress.check()
        grid = in_own_orientation(case.geometry, how)
        if isinstance(how, MonaiPreparation):
            return monai_preparation.finish(outputs, image, grid, how)
        assert how is not None
        return from_canonical(nnunet_preparation.finish(outputs.numpy(), case.image, grid, how), grid)

    def decided(self, probabilities: np.ndarray) -> np.ndarray:
        """(K, *grid) to network classes (*grid)."""
        return decide(probabilities, self.plan)

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
        full, where = padded(image, self.plan.patch_size, self.plan.tiling)
        every = windows_of(tuple(full.shape[1:]), self.plan.patch_size, tiling=self.plan.tiling)
        windows = foreground_windows(full, every, self.sweep, self.plan, progress) if mode == "foreground" else every

        def keep() -> SlabWriter:
            return SlabWriter(where, every.axis, self.plan.classes, grid, decide=decide)

        return self.sweep.run(full, windows, keep, progress, message, partial=len(windows) < len(every))


def check_channels(case: Case, plan: Plan) -> None:
    """Raises EngineError("wrong-channels"), and ("wrong-dimensions") for a picture where the model was trained on
    volumes, or the other way round; a volume of one slice, which pictures become in Slicer, is a picture, too."""
    flat = case.geometry.dims == 2 or (plan.planar and case.geometry.size[2] == 1)
    if flat != plan.planar:
        own, models = ("volume", "2D pictures") if plan.planar else ("2D picture", "volumes")
        raise EngineError(
            "wrong-dimensions",
            f"{case.name} is a {own}, but the model was trained on {models}; choose images of that kind, or train a "
            "model for these.",
        )
    if case.channels != plan.channels:
        raise EngineError(
            "wrong-channels",
            f"{case.name} has {case.channels} channel(s), but the model was trained on "
            f"{plan.channels}; give the same kinds of images in the same order.",
        )


def label_values(probabilities: np.ndarray, plan: Plan) -> np.ndarray:
    """The most probable class's label value, (K, *grid) to (*grid), in the smallest type that holds them all."""
    return as_label_values(decide(probabilities, plan), plan)


def decide(probabilities: np.ndarray, plan: Plan) -> np.ndarray:
    """(K, *grid) to network classes (*grid): the most probable one; of regions as their program decides."""
    if plan.imported is not None and plan.imported.activation == "regions":
        return nnunet_preparation.decide_regions(probabilities)
    found: np.ndarray = probabilities.argmax(0)
    return found


def as_label_values(classes: np.ndarray, plan: Plan) -> np.ndarray:
    """Network classes (*grid) to label values (*grid)."""
    values = np.array(plan.class_values)
    kind = np.uint8 if values.max() < 256 else np.int32
    return values.astype(kind)[classes]


COARSER = 2
"""Voxels of the image per voxel of the low-resolution prediction, along every axis of the network."""
POSSIBLE = 0.1
"""Where at least so probable at the low resolution, a window is run."""
MARGIN = 2
"""Low-resolution voxels around it that are taken for possible, too."""
OVERLAP = 0.0


def foreground_windows(
    image: Tensor, windows: Windows, sweep: SlidingWindowRunner, plan: Plan, progress: Progress
) -> Windows:
    """Those that may hold anything but background; all of them, where the low-resolution prediction finds nothing.

    image: (C, *windows.size). A network knows objects of the size it was trained on; that it finds them at half of it
    is likely, and not sure.
    """
    small = _coarse(image, plan)
    full, where = padded(small, plan.patch_size)
    coarse = windows_of(tuple(full.shape[1:]), plan.patch_size, OVERLAP)
    keep = partial(SlabWriter, where, coarse.axis, plan.classes, None, decide=False)
    background = sweep.run(full, coarse, keep, progress, partial=False)[0].numpy()
    possible = background <= 1.0 - POSSIBLE
    if not possible.any():
        return windows
    possible = ndimage.binary_dilation(possible, iterations=MARGIN)
    factors = [round(n / m) for n, m in zip(image.shape[1:], small.shape[1:], strict=True)]
    wide = possible
    for axis, (factor, n) in enumerate(zip(factors, image.shape[1:], strict=True)):
        wide = np.take(wide, np.minimum(np.arange(n) // factor, wide.shape[axis] - 1), axis)
    return windows.containing(wide)


def _coarse(image: Tensor, plan: Plan) -> Tensor:
    factors = [
        1 if (plan.dims == 2 and axis == plan.slice_axis) or image.shape[axis + 1] < 2 * COARSER else COARSER
        for axis in range(3)
    ]
    return torch.nn.functional.avg_pool3d(image.unsqueeze(0), factors, ceil_mode=True)[0]


def predict_region(predictor: Predictor, image: MetaTensor, box: Geometry, progress: Progress) -> np.ndarray:
    """(K, *box.array_shape), what the answer for the whole image has there.

    image: (C, x, y, z) prepared, with its affine; box: a part of the image's own grid (`Geometry.part`).
    """
    plan = predictor.plan
    first, last = _prepared_box(in_own_orientation(box, plan.imported), image.affine.numpy(), image.shape[1:])
    box = in_own_orientation(box, plan.imported)
    full, where = padded(image.as_tensor(), plan.patch_size, plan.tiling)
    before = np.array([w.start for w in where])
    every = windows_of(tuple(full.shape[1:]), plan.patch_size, tiling=plan.tiling)
    windows = every.intersecting(first + before, last + before)
    start, size = windows.frame()
    frame = tuple(slice(int(s), int(s + n)) for s, n in zip(start, size, strict=True))
    low = np.maximum(before, start)
    high = np.minimum([w.stop for w in where], start + size)
    here = tuple(slice(int(a - s), int(b - s)) for a, b, s in zip(low, high, start, strict=True))
    keep = partial(SlabWriter, here, windows.axis, plan.classes, None, decide=False)
    values = predictor.sweep.run(
        full[np.index_exp[:] + frame], windows.relative_to(start, size), keep, progress, partial=True
    )
    affine = image.affine.clone()
    affine[:3, 3] += affine[:3, :3] @ torch.from_numpy(low - before).to(affine)
    return to_native(values, affine, box)


def _prepared_box(box: Geometry, affine: np.ndarray, size: torch.Size) -> tuple[np.ndarray, np.ndarray]:
    """First and last prepared voxel that the box's voxels are interpolated from."""
    ends = [(0, n - 1) for n in (*box.size, 1)[:3]]
    corners = np.array(np.meshgrid(*ends, [1.0], indexing="ij")).reshape(4, -1)
    where = (np.linalg.inv(affine) @ box.ijk_to_ras() @ corners)[:3]
    last = np.array(size) - 1
    # a hair's breadth is rounding, not another voxel
    low, high = np.floor(where.min(1) + 1e-4), np.ceil(where.max(1) - 1e-4)
    return np.clip(low, 0, last).astype(int), np.clip(high, 0, last).astype(int)


_kept: dict[tuple, Predictor] = {}
"""At most one."""


def cached_predictor(model: Path, device: torch.device, backend: BackendName = "auto") -> Predictor:
    """A predictor for inference only: a training loads its own network. Reloads the model if its files changed.

    Raises the errors of `open_model` and `check_backend`."""
    find_bundle(model)
    check_backend(backend, device)
    key = (model.resolve(), str(device), backend, *((path, _state(path)) for path in files_of(model)))
    if key not in _kept:
        _kept.clear()  # first: two models may not fit
        network, plan = open_model(model, device)
        network = with_backend(optimize_for_inference(network, plan, device), plan, device, backend)
        _kept[key] = Predictor(network, plan, device)
    return _kept[key]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # open_model says what is wrong
    return found.st_mtime_ns, found.st_size
