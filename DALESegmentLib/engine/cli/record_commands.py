"""Commands about what readers decided: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import RESULT, Json, Quiet, given
from .run import perform
from .tables import console

Result = dict[str, Any]


def verify(
    folder: Annotated[Path, typer.Argument(help="Where the reviews lie, also in folders below it; or one log.")],
    against: Annotated[
        Path | None,
        typer.Option(help="What verify --json or report wrote earlier, to be still so.", rich_help_panel=RESULT),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check that review logs are as they were written; ends with 1 where one is not."""
    parameters = given(folder=folder, against=against)
    perform("verify", parameters, as_json, _verified, quiet, is_bad=lambda result: bool(result["bad"]))


def _verified(result: Result) -> None:
    for log in result["logs"]:
        console.print(log["sentence"])
    console.print(result["limits"])


def add_record_commands(app: typer.Typer) -> None:
    for command, example in ((verify, "verify review"),):
        app.command(rich_help_panel="Readers and records", epilog=f"Example: dalesegment {example}")(command)
