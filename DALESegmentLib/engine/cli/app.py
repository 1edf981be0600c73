"""The command-line application, with the commands doctor and serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..core.errors import EngineError
from . import summaries
from .options import Json, Quiet, given
from .record_commands import add_record_commands
from .run import CANCELLED, FAILED, errors, perform, write_any_name
from .train_commands import add_training_commands
from .use_commands import add_data_commands, add_model_commands

app = typer.Typer(
    name="dalesegment",
    help="Segmentation that learns how far each label voxel can be trusted.",
    epilog="Each command explains itself, with an example: dalesegment train --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_training_commands(app)
add_model_commands(app)
add_data_commands(app)
add_record_commands(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _all(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run a command and end: 0 done, 1 an error, 2 wrong usage, 3 a fine-tune that is not accepted, 130 cancelled, 143
    terminated. Never a traceback."""
    write_any_name()
    try:
        app(prog_name="dalesegment")
    except EngineError as error:
        errors.print(f"Error: {error.sentence}", markup=False)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(CANCELLED)
    except Exception as error:
        sentence = f"Something unexpected happened ({type(error).__name__}); please report it."
        errors.print(f"Error: {sentence}", markup=False)
        sys.exit(FAILED)


def doctor(
    folder: Annotated[Path | None, typer.Option(help="Where results will be written; its disk is looked at.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    report: Annotated[
        bool, typer.Option("--report", help="As text for a public issue: no path, user or case in it.")
    ] = False,
) -> None:
    """Say what this machine can do, and what to do where it cannot."""
    show = summaries.public_checks if report else summaries.checks
    perform("doctor", given(folder=folder), as_json and not report, show, quiet)


def serve() -> None:
    """Be the engine process: JSON lines in and out, for programs."""
    from ..rpc.server import serve as start

    start()


def _add_machine_commands(app: typer.Typer) -> None:
    request = '{"protocol": 1, "id": "1", "command": "ping"}'
    for command, example in (
        (doctor, "dalesegment doctor --folder runs"),
        (serve, f"echo '{request}' | dalesegment serve"),
    ):
        app.command(rich_help_panel="This machine", epilog=f"Example: {example}")(command)


_add_machine_commands(app)
