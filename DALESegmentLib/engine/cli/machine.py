"""doctor, serve: the machine and the engine process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import summaries
from .options import Json, given
from .perform import perform


def doctor(
    folder: Annotated[Path | None, typer.Option(help="Where results will be written; its disk is looked at.")] = None,
    as_json: Json = False,
    report: Annotated[
        bool, typer.Option("--report", help="As text for a public issue: no path, user or case in it.")
    ] = False,
) -> None:
    """Say what this machine can do, and what to do where it cannot."""
    show = summaries.public_checks if report else summaries.checks
    perform("doctor", given(folder=folder), as_json and not report, show)


def serve() -> None:
    """Be the engine process: JSON lines in and out, for programs."""
    from DALESegmentLib.engine.process.server import serve as start

    start()


def add_to(app: typer.Typer) -> None:
    request = '{"protocol": 1, "id": "1", "command": "ping"}'
    for command, example in (
        (doctor, "dalesegment doctor --folder runs"),
        (serve, f"echo '{request}' | dalesegment serve"),
    ):
        app.command(rich_help_panel="This machine", epilog=f"Example: {example}")(command)
