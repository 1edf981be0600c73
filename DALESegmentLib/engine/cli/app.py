"""The command line as a whole."""

from __future__ import annotations

import sys

import typer

from DALESegmentLib.engine import __version__
from DALESegmentLib.engine.errors import EngineError

from . import applying, learning, machine, studying
from .perform import CANCELLED, FAILED
from .progress_view import errors

app = typer.Typer(
    name="dalesegment",
    help="Segmentation that learns how far each label voxel can be trusted.",
    epilog="Each command explains itself, with an example: dalesegment train --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (learning, applying, studying, machine):
    group.add_to(app)


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
    """Run a command and end: 0 done, 1 an error, 2 wrong usage, 130 cancelled. Never a traceback."""
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
