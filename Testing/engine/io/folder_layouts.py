"""Files to be found: empty, as finding looks at names alone."""

from __future__ import annotations

from pathlib import Path


def lay(folder: Path, *names: str) -> Path:
    """Empty files, as finding looks at names alone."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(sources) -> list[str]:
    return [source.name for source in sources]
