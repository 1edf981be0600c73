"""Plain training by the engine against a straightforward MONAI loop: the same cases, network, loss, batch and patch.

MONAI's side is what its tutorials do: a CacheDataset of whole cases, random crops by positive and negative voxels, the
same flips, quarter turns and changes of brightness, a DataLoader, DiceCELoss. Its number of workers is the better one
of none and one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from monai.data import CacheDataset, DataLoader, get_track_meta, set_track_meta
from monai.losses import DiceCELoss
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoised,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
    SpatialPadd,
    SqueezeDimd,
)

from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.training.trainer import Trainer

from ..cell import Cell
from ..data_set import data_set
from ..training import make_trainer
from .rows import Given, Measured, Measurements
from .timing import middle, spread, taken_in_turns

SET = "msd_hippocampus"
STEPS, TURNS = 20, 5
BOTH = ("image", "label")


def measure(given: Given) -> Measurements:
    if given.set_folder(SET) is None or given.data is None:
        return {}
    cell = Cell(data=data_set(SET, "quick"), noise="none", level=0.0, network="UNet", method="plain", trusted=0, draw=0)
    trainer, _, _ = make_trainer(cell, given.data, str(given.device))
    trainer.sampler.seed(0, 0)
    trainer.network.train()
    was = get_track_meta()
    set_track_meta(False)  # which costs MONAI time, and is of no use here
    try:
        return _compared(trainer, given)
    finally:
        set_track_meta(was)


def _compared(trainer: Trainer, given: Given) -> Measurements:
    steps = 3 if given.quick else STEPS
    takes = [_engine(trainer, steps), *(_monai(trainer, steps, workers) for workers in (0, 1))]
    ours, *theirs = taken_in_turns(takes, 1 if given.quick else TURNS)
    best = min(theirs, key=middle)
    ratio = middle(best) / middle(ours)
    size = trainer.plan.batch_size
    workers = theirs.index(best)
    reference = f"{SET}, {steps} steps of {size} patches: {spread(ours)}; MONAI, {workers} workers: {spread(best)}"
    key, goal = ("throughput_gpu", 1.5) if given.device.type == "cuda" else ("throughput_cpu", 1.0)
    return {key: Measured(ratio, ratio >= goal, reference)}


def _timed(steps: int, step: Callable[[int], object], device: torch.device) -> float:
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    for n in range(steps):
        step(n)
    wait()
    return time.perf_counter() - started


def _engine(trainer: Trainer, steps: int) -> Callable[[], float]:
    return lambda: _timed(
        steps, lambda _: trainer.train_step(trainer.sampler.draw(trainer.device), 0.1), trainer.device
    )


def _monai(trainer: Trainer, steps: int, workers: int) -> Callable[[], float]:
    device = trainer.device
    network = build(trainer.plan.network, trainer.plan.network_arguments).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-5, fused=True)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    batches = _endless(_loader(trainer, workers))

    def step(_n: int) -> None:
        batch = next(batches)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = network(batch["image"].to(device))
        value = loss(logits.float(), batch["label"].to(device))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        optimizer.step()
        value.item()  # the engine reports its loss at every step, too

    return lambda: _timed(steps, step, device)


def _loader(trainer: Trainer, workers: int) -> DataLoader:
    """One patch a case, as the engine draws them."""
    plan = trainer.plan
    data = [{"image": case.image, "label": case.labels.target()[None].clamp_min(0).float()} for case in trainer.cases]
    data *= -(-plan.batch_size // len(data))
    random = [
        RandCropByPosNegLabeld(BOTH, "label", plan.patch_size, num_samples=1),
        *(RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in range(3) if plan.patch_size[axis] > 1),
        *([RandRotate90d(BOTH, 0.75, spatial_axes=trainer.sampler.turn_axes)] if trainer.sampler.may_turn else []),
        RandScaleIntensityd("image", factors=0.2, prob=0.3),
        RandShiftIntensityd("image", offsets=0.2, prob=0.3),
        RandGaussianNoised("image", prob=0.2, std=0.1),
        RandAdjustContrastd("image", prob=0.2, gamma=(0.7, 1.5)),
        *([SqueezeDimd(BOTH, dim=plan.slice_axis + 1)] if plan.dims == 2 else []),
    ]
    cached = CacheDataset(data, Compose([SpatialPadd(BOTH, plan.patch_size), *random]), progress=False)
    loading = {"num_workers": workers, "persistent_workers": workers > 0}
    return DataLoader(cached, batch_size=plan.batch_size, shuffle=True, drop_last=True, **loading)


def _endless(loader: DataLoader) -> Iterator[dict]:
    while True:
        yield from loader
