"""The doctor's findings as text for a public issue: versions and sizes, no path, user, host or case."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable

from . import __version__
from .doctor import Check

_PATHS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s,;:()]+)+")


def report(checks: Iterable[Check]) -> str:
    """Markdown. Whatever looks like a path is taken out, wherever it came from."""
    system = f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}"
    rows = [("DALESegment", __version__), ("System", system)]
    rows += [(check["name"], f"{'' if check['ok'] else '(!) '}{check['value']}") for check in checks]
    lines = ["| | |", "|---|---|", *(f"| {name} | {_PATHS.sub('[path]', value)} |" for name, value in rows)]
    return "\n".join(lines)
