"""One command from its parameters to its exit code: ask the engine, show progress, print the answer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import typer

from DALESegmentLib.engine.errors import EngineError, SaidElsewhere
from DALESegmentLib.engine.process.client import ENGINE_VARIABLE, EngineClient, Pending, serving
from DALESegmentLib.engine.process.protocol import plain

from . import sharing
from .progress_view import Bar, Lines, Nothing, errors, view

FAILED, CANCELLED = 1, 130

Show = Callable[[dict[str, Any]], None]


def perform(command: str, parameters: dict[str, Any], as_json: bool, show: Show) -> None:
    """Print the result with `show`, or as JSON. Raises typer.Exit: 1 with a sentence on standard error, 130
    when cancelled."""
    parameters = plain(parameters)
    try:
        with Nothing() if sharing.silent() else view(quiet=as_json) as progress:
            work = sharing.shared if sharing.several() else _in_engine
            result = work(command, parameters, progress)
    except EngineError as error:
        fail(error)
    if sharing.silent():
        return
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show(result)


def fail(error: EngineError) -> None:
    """Raises typer.Exit after the sentence, which another process may have said."""
    if not isinstance(error, SaidElsewhere):
        errors.print(f"Error: {error.sentence}", markup=False)
    raise typer.Exit(CANCELLED if error.code == "cancelled" else FAILED) from None


def _in_engine(command: str, parameters: dict[str, Any], progress: Bar | Lines) -> dict[str, Any]:
    with EngineClient(serving(os.environ.get(ENGINE_VARIABLE))) as engine:
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
