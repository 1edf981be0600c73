"""Which job answers which command. A job's module, and torch with it, is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .progress import Progress

Job = Callable[[dict[str, Any], Progress], dict[str, Any]]

COMMANDS = ("inspect", "plan", "train", "finetune", "predict", "confidence", "review", "evaluate", "simulate")
WARM = (
    "numpy",
    "SimpleITK",
    "torch",
    *(f"DALESegmentLib.engine.jobs.{name}" for name in ("predict", "train")),
)
"""Imported while there is nothing to do, so that the first job does not wait for it."""


def job(command: str) -> Job:
    """The job that answers a command, as a function that imports its module at the first call."""

    def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
        return import_module(f"DALESegmentLib.engine.jobs.{command}").run(parameters, progress)

    return run


JOBS: dict[str, Job] = {command: job(command) for command in COMMANDS}
