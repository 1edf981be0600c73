"""Models to measure with: trained by the engine once, and kept in the work folder."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import nn

from DALESegmentLib.engine.bundle.bundle import load_bundle, save_bundle
from DALESegmentLib.engine.bundle.run_folder import BUNDLE_FOLDER
from DALESegmentLib.engine.commands import train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.planning.networks import build, design
from DALESegmentLib.engine.planning.plan import CaseFingerprint, Plan, make_plan
from DALESegmentLib.engine.planning.preprocessing import PreparedCase, prepare_case

STS = {"image": "mr_t1", "label": "mr_t1_label"}
SECONDS = 150.0
AIR = (8, 32, 32)
"""Voxels (k, j, i) on each side."""
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def sarcoma_model(folder: Path, work: Path, *, quick: bool) -> Path:
    """A 3D SegResNet, planned and trained by the engine on the training part, so long that it finds tumours. The cases
    are cropped around the tumour; with air around them the network learns that there is nothing in it."""
    items = []
    for source in find_cases(folder=folder, split="train", **STS):
        case, there = read_case(source), work / "in-air" / source.name
        size = tuple(n + 2 * margin for n, margin in zip(case.image.shape[1:], AIR, strict=True))
        geometry = Geometry(size[::-1], case.geometry.spacing, (0.0, 0.0, 0.0), IDENTITY)
        label = np.pad(case.label, [(margin, margin) for margin in AIR])
        save_array_case(replace(case, image=in_air(case.image, size), label=label, geometry=geometry), there)
        items.append({"name": source.name, "arrays": str(there)})
    return _trained(
        work / ("sarcoma-quick" if quick else "sarcoma"),
        {
            "cases": {"items": items},
            "network": "SegResNet",
            "dims": 3,
            "seconds": 10.0 if quick else SECONDS,
            "device": "cpu",
        },
    )


def in_air(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(C, *size): the image in the middle of a larger field of view, as much of it as fits; around it noise as dark as
    air."""
    random = np.random.default_rng(0)
    dark, spread = float(np.percentile(image, 1)), 0.02 * float(image.std())
    out = dark + spread * np.abs(random.standard_normal((len(image), *size), np.float32))
    fits = [min(n, m) for n, m in zip(image.shape[1:], size, strict=True)]
    there = tuple(slice((m - f) // 2, (m - f) // 2 + f) for m, f in zip(size, fits, strict=True))
    here = tuple(slice((n - f) // 2, (n - f) // 2 + f) for n, f in zip(image.shape[1:], fits, strict=True))
    out[np.index_exp[:] + there] = image[np.index_exp[:] + here]
    return out


def ball_model(work: Path) -> Path:
    """The default 3D network, trained for seconds on bright balls in noise, 1 mm voxels."""
    items = []
    for n in range(4):
        case = ball(f"ball{n}", (48, 48, 48), 1, seed=n)
        save_array_case(case, work / "balls" / case.name)
        items.append({"name": case.name, "arrays": str(work / "balls" / case.name)})
    return _trained(work / "ball", {"cases": {"items": items}, "dims": 3, "seconds": 10.0, "device": "cpu"})


WINDOW = 96
LEARNT = (48, 48, 48)
"""Voxels of a patch that `window_model` learns from, so that it takes half a minute."""


def window_model(name: str, work: Path, *, quick: bool) -> tuple[Path, nn.Module, Plan]:
    """A network as it is planned for windows of 96x96x96 voxels, taught by a plain loop to find balls as `ball` has
    them; its bundle, the network and its plan."""
    run = work / (f"window-{name}" + ("-quick" if quick else ""))
    case = ball("learnt", (96, 96, 96), 6, seed=0)
    made = make_plan([CaseFingerprint.of(case)], network=name, dims=3, device="cpu")
    patch, arguments = design(name, np.full(3, WINDOW), np.ones(3), 1, made.classes, large=False)
    plan = made.model_copy(update={"network_arguments": arguments, "patch_size": patch})
    if not (run / BUNDLE_FOLDER).is_dir():
        seconds = 5.0 if quick else 30.0
        print(f"training {run.name}, {seconds:.0f} s, once", flush=True)
        torch.manual_seed(0)
        network = build(name, arguments)
        _teach(network, prepare_case(case, plan), seconds)
        run.mkdir(parents=True, exist_ok=True)
        save_bundle(run, network.eval(), plan, {})
    network, plan = load_bundle(run, torch.device("cpu"))
    return run / BUNDLE_FOLDER, network, plan


def _teach(network: nn.Module, case: PreparedCase, seconds: float) -> None:
    """Adam on random patches, Dice and cross-entropy."""
    loss, optimiser = DiceCELoss(softmax=True, to_onehot_y=True), torch.optim.Adam(network.parameters(), 2e-3)
    random, end = np.random.default_rng(0), time.monotonic() + seconds
    label = case.labels.target()
    while time.monotonic() < end:
        first = [int(random.integers(n - edge + 1)) for n, edge in zip(label.shape, LEARNT, strict=True)]
        box = tuple(slice(a, a + edge) for a, edge in zip(first, LEARNT, strict=True))
        optimiser.zero_grad()
        loss(network(case.image[np.index_exp[:] + box][None]), label[box][None, None].long()).backward()
        optimiser.step()


def ball(name: str, size: tuple[int, int, int], count: int, seed: int) -> Case:
    """Bright balls of 8 mm radius in noise, at random places."""
    geometry = Geometry(size, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY)
    random = np.random.default_rng(seed)
    image = random.standard_normal(geometry.array_shape, np.float32) * 30
    label = np.zeros(geometry.array_shape, np.uint8)
    k, j, i = np.ogrid[-8:9, -8:9, -8:9]
    inside = k**2 + j**2 + i**2 <= 64
    for _ in range(count):
        box = tuple(slice(c - 8, c + 9) for c in (int(random.integers(9, n - 9)) for n in geometry.array_shape))
        label[box] |= inside
    image += 200.0 * label
    return Case(name, image[None], geometry, label, class_names={1: "ball"})


def _trained(run: Path, asked: dict) -> Path:
    if not (run / BUNDLE_FOLDER).is_dir():
        print(f"training {run.name}, {asked['seconds']:.0f} s, once", flush=True)
        shutil.rmtree(run, ignore_errors=True)
        unending = {"epochs": 10_000, "method": "plain", "validation": 0.0}
        train.run({**asked, **unending, "out": str(run)}, Progress())
    return run / BUNDLE_FOLDER
