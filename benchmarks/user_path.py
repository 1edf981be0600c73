"""The user's path: the draw's cases as files in a folder, `dalesegment train` on it with its defaults, and the bundle.

Only the method, the length, the seed and the device are asked for; plan, patches, network, batch, learning rate and the
share of cases to validate on are the command's own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.commands.train import run as run_command
from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.files import read_json
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.inference.predictor import Predictor, cached_predictor
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.images import write_image

from .cell import Cell
from .loading import load
from .methods.registry import DALE, USABLE
from .training import noisy_cases

USER_NETWORK = "UNet"
"""What the command plans where no network is named."""


@dataclass(frozen=True)
class UserRun:
    """A training by the command. predictor: of the bundle it wrote; decision: what cross-fitting came to, if asked."""

    predictor: Predictor
    seconds: float
    cpu_seconds: float
    steps: int
    validation_cases: int
    decision: dict[str, Any] | None


def train_as_the_user(cell: Cell, data: Path, folder: Path, device: str = "auto") -> UserRun:
    """Train the cell by the command `train`.

    Args:
        cell: of the path "user"; its method is plain or DALE with or without parts of it.
        data: folder of the sets.
        folder: empty; files of the cases and the run are written there.
        device: as for the command.

    Raises:
        ValueError: where the method has no command, or the command planned another network than the cell names.
        EngineError: what the command raises.
    """
    if cell.trained_as not in USABLE or cell.trusted:
        raise ValueError(f"a user cannot train {cell.title}; leave out the path, or choose of {', '.join(USABLE)}")
    cases = noisy_cases(list(load(cell.data, data, "train", cell.draw)), cell)
    write_cases(cases, folder / "cases")
    started, cpu = time.monotonic(), time.process_time()
    result = run_command(asked_of_command(cell, folder, device), Progress())
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    predictor = cached_predictor(Path(result["model"]), choose_device(device))
    if predictor.plan.network != cell.network:
        raise ValueError(f"the command planned {predictor.plan.network}, not {cell.network}; name that with --networks")
    return UserRun(
        predictor,
        round(seconds, 2),
        round(cpu_seconds, 2),
        result["epochs"] * cell.data.steps_per_epoch,
        len(read_json(Path(result["run"]) / "run.json")["validation"]),
        result.get("decision"),
    )


def asked_of_command(cell: Cell, folder: Path, device: str) -> dict[str, Any]:
    """The parameters of the command `train`; what is not among them is its default."""
    method = cell.trained_as
    asked = {
        "cases": {"folder": str(folder / "cases")},
        "out": str(folder / "run"),
        "method": "dale" if method in DALE else "plain",
        "epochs": cell.length * cell.data.epochs,
        "steps_per_epoch": cell.data.steps_per_epoch,
        "seed": cell.seed,
        "device": device,
    }
    return asked | ({"dale": DALE[method]} if DALE.get(method) else {})


def write_cases(cases: list[Case], folder: Path) -> None:
    """images/NAME and masks/NAME: PNG for plain pictures, which have no place in the patient, else NIfTI."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for case in cases:
        image, label, geometry = case.image, np.asarray(case.label), case.geometry
        ending = "nii.gz"
        if geometry.dims == 2:
            ending, image = "png", np.rint(image).astype(np.int32)
            geometry = Geometry(geometry.size, (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
        write_image(folder / "images" / f"{case.name}.{ending}", image[0] if len(image) == 1 else image, geometry)
        write_image(folder / "masks" / f"{case.name}.{ending}", label, geometry)
