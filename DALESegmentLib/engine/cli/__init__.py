"""The `dalesegment` command. The only place that needs typer and rich."""

import sys


def main() -> None:
    """Run the command of sys.argv and end the process."""
    try:
        from .app import main as start
    except KeyboardInterrupt:  # the packages take a moment to load
        sys.exit(130)
    start()
