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
from .run import CANCELLED, FAILED, errors, fail, perform, write_any_name
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


def serve(
    http: Annotated[bool, typer.Option("--http", help="Be a server for a group, see docs/server.md.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of the server: users' files and the queue.")] = None,
    add_user: Annotated[str | None, typer.Option(help="Add a user and print the token, once.")] = None,
    remove_user: Annotated[str | None, typer.Option(help="Take a user's token away.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; TLS is a proxy's work.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    tokens: Annotated[Path | None, typer.Option(help="File of hashed tokens; tokens.json in --data.")] = None,
    upload_gb: Annotated[float, typer.Option(min=0, help="Largest file.")] = 32.0,
    disk_gb: Annotated[float, typer.Option(min=0, help="Of one user.")] = 200.0,
    free_gb: Annotated[float, typer.Option(min=0, help="To be left free on the disk.")] = 2.0,
    waiting: Annotated[int, typer.Option(min=1, help="Jobs of one user that may wait.")] = 50,
    at_once: Annotated[int, typer.Option(min=1, help="Jobs that run at a time, of different users.")] = 1,
    warm: Annotated[int, typer.Option(min=1, help="Users whose engines stay in memory.")] = 2,
    keep_days: Annotated[float, typer.Option(min=0.01, help="Unused files are removed after so long.")] = 30.0,
) -> None:
    """Be the engine process: JSON lines in and out, for programs; with --http a server for a group."""
    if not http and add_user is None and remove_user is None:
        from ..rpc.server import serve as start

        start()
    from ...server import serve as server

    if data is None:
        fail(EngineError("no-data", "Name the server's folder by --data."))
    options = server.ServerOptions(
        *(data, host, port, tokens, upload_gb, disk_gb, free_gb, waiting, at_once, warm, keep_days)
    )
    if add_user is not None:
        token = server.add_user(options, add_user)
        errors.print("The token, which is shown this once:")
        print(token)
    elif remove_user is not None:
        errors.print(f"Taken away; the files are in {server.remove_user(options, remove_user)}", markup=False)
    else:
        server.serve_http(options)


def _add_machine_commands(app: typer.Typer) -> None:
    request = '{"protocol": 1, "id": "1", "command": "ping"}'
    for command, example in (
        (doctor, "dalesegment doctor --folder runs"),
        (serve, f"echo '{request}' | dalesegment serve, or dalesegment serve --http --data /srv/dalesegment"),
    ):
        app.command(rich_help_panel="This machine", epilog=f"Example: {example}")(command)


_add_machine_commands(app)
