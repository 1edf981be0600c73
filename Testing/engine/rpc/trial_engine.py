"""The real engine process with small jobs of its own, to see how it treats any job."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.rpc.job_registry import LateJob
from DALESegmentLib.engine.rpc.server import Server

HERE = "Testing.engine.rpc"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    image: str | list[str] | None = None


class StrictParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")
    out: Path
    epochs: int = Field(1, ge=1)
    cases: Inner = Inner()


def count(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Take `seconds`, in a hundred steps."""
    for i in range(100):
        progress.check()
        progress.report(i, "training" if i < 50 else "writing", f"Step {i}", step=i, loss=float("nan"))
        time.sleep(parameters.get("seconds", 0.3) / 100)
    return {"thread": threading.get_ident()}


def deaf(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """A long call that cannot be cancelled."""
    time.sleep(60)
    return {}


def noisy(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Print in all the ways a library can; read standard input, too."""
    print('{"id": "x", "event": "result", "result": "printed"}', flush=True)
    os.write(1, b"written to descriptor 1\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    for _ in range(2000):
        print("many lines on standard error " * 20, file=sys.stderr)
    return {"read": sys.stdin.read()}


def values(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    import numpy as np

    return {
        "nan": float("nan"),
        "path": Path("a") / "b",
        3: np.float32(1.5),
        "array": np.arange(3),
        "tuple": (1, 2),
    }


def strict(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    StrictParameters.model_validate(parameters)
    return {}


def fail(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    secret = "/ward/patient-7"
    kinds: dict[str, Any] = {
        "own": lambda: EngineError("geometry-mismatch", "The label does not fit the image."),
        "value": lambda: ValueError(f"{secret} is broken"),
        "exit": lambda: SystemExit(3),
        "memory": MemoryError,
        "torch-cpu": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        "thread": lambda: RuntimeError("can't start new thread"),
        "itk": lambda: RuntimeError("Exception thrown in SimpleITK ReadImage: Failed to allocate memory for image."),
        "disk": lambda: OSError(errno.ENOSPC, "No space left on device", f"{secret}/out.nii.gz"),
        "permission": lambda: PermissionError(errno.EACCES, "Permission denied", f"{secret}/out.nii.gz"),
        "module": lambda: ModuleNotFoundError("No module named 'monai'", name="monai"),
        "gpu": lambda: RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    }
    if parameters["kind"] == "no-json":
        return {"value": object()}
    if parameters["kind"] == "torch-gpu":
        import torch

        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if parameters["kind"] == "unread":
        raise EngineError("unreadable-file", "It is damaged.") from OSError(errno.ENOMEM, "Cannot allocate memory")
    raise kinds[parameters["kind"]]()


def imported_whole(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    return {"whole": getattr(sys.modules.get(f"{HERE}.slow_to_import"), "WHOLE", False)}


if __name__ == "__main__":
    here = {f.__name__: f for f in (count, deaf, noisy, values, strict, fail, imported_whole)}
    late = {name: LateJob(f"{HERE}.{name}") for name in ("slow_to_import", "not_importable")}
    Server(here | late, warm=()).serve()
