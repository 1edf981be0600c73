"""One command from its parameters to its exit code: ask the engine, show progress, print the answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import typer

from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.process.client import EngineClient, Pending
from DALESegmentLib.engine.process.failures import explain
from DALESegmentLib.engine.process.job_table import JOBS
from DALESegmentLib.engine.process.progress import Progress
from DALESegmentLib.engine.process.protocol import plain

from .progress_view import Bar, Lines, errors, view

FAILED, CANCELLED = 1, 130

Show = Callable[[dict[str, Any]], None]


def perform(command: str, parameters: dict[str, Any], as_json: bool, show: Show) -> None:
    """Print the result with `show`, or as JSON. Raises typer.Exit: 1 with a sentence on standard error, 130
    when cancelled."""
    parameters = plain(parameters)
    try:
        with view(quiet=as_json) as progress:
            if command == "train" and "LOCAL_RANK" in os.environ:  # torchrun starts the processes, not we
                result = _here(command, parameters, progress)
            else:
                result = _in_engine(command, parameters, progress)
    except EngineError as error:
        fail(error)
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show(result)


def fail(error: EngineError) -> None:
    """Raises typer.Exit after the sentence."""
    errors.print(f"Error: {error.sentence}", markup=False)
    raise typer.Exit(CANCELLED if error.code == "cancelled" else FAILED) from None


def _in_engine(command: str, parameters: dict[str, Any], progress: Bar | Lines) -> dict[str, Any]:
    with EngineClient() as engine:
        pending = engine.start(command, parameters)
        try:
            return pending.wait(progress.show)
        except KeyboardInterrupt:
            return _stop(engine, pending, progress)


def _stop(engine: EngineClient, pending: Pending, progress: Bar | Lines) -> dict[str, Any]:
    """The first Ctrl-C asks and waits, the second does not wait."""
    errors.print("Stopping; press Ctrl-C again to stop at once.")
    try:
        pending.cancel()
        return pending.wait(progress.show)
    except KeyboardInterrupt:
        engine.kill()
        raise EngineError("cancelled", "Stopped at once; the last step may not have been kept.") from None


def _here(command: str, parameters: dict[str, Any], progress: Bar | Lines) -> dict[str, Any]:
    """In this process, which is one of several; the first of them shows the progress."""
    first = os.environ.get("RANK", "0") == "0"
    try:
        return JOBS[command](parameters, Progress(progress.show if first else None))
    except Exception as problem:
        raise explain(problem, command, parameters) from problem
