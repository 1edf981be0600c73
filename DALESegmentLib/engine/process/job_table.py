"""Which job answers which command. A job's module, and torch with it, is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .progress import Progress

Job = Callable[[dict[str, Any], Progress], dict[str, Any]]

COMMANDS = ("inspect", "plan", "train", "finetune", "predict", "confidence", "review", "evaluate", "simulate")
INTERACTIVE = ("refresh",)
"""Asked for by the application alone, between two clicks; the command line has the steps it is made of."""

WARM = (
    "numpy",
    "SimpleITK",
    "torch",
    *(f"DALESegmentLib.engine.jobs.{name}" for name in ("predict", "train")),
)
"""Imported while there is nothing to do, so that the first job does not wait for it."""


@dataclass(frozen=True)
class LateJob:
    """The function `run` of a module that is imported at the first call, or before it by who cannot wait that long."""

    module: str

    def __call__(self, parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
        return import_module(self.module).run(parameters, progress)


JOBS: dict[str, Job] = {
    command: LateJob(f"DALESegmentLib.engine.jobs.{command}") for command in (*COMMANDS, *INTERACTIVE)
}
