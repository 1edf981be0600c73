"""Names of files that a server and its client tell each other: below a folder, and fit for any system."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ..core.errors import EngineError
from ..core.files import is_windows_name

LARGEST_FILE = 32 << 30
"""Bytes."""
MOST_FILES = 20_000
_LONGEST_NAME = 1000
_LONGEST_PART = 200


def relative(name: Any) -> PurePosixPath:
    """The name as a path below a folder, on any system. Raises EngineError("bad-path") for one that leads elsewhere."""
    text = name if isinstance(name, str) else ""
    parts = text.split("/")
    if len(text) > _LONGEST_NAME or not all(_fits(part) for part in parts):
        raise EngineError("bad-path", "A file's name leads elsewhere or fits no system; give the file another name.")
    return PurePosixPath(*parts)


def _fits(part: str) -> bool:
    short = len(part.encode("utf-8", "surrogatepass")) <= _LONGEST_PART
    return short and is_windows_name(part) and part.isprintable() and part[0] not in ". "
