"""A traceback that can be shown to anybody: where it happened in which code, and nothing of the data.

Messages of exceptions quote paths, names and values, and a path on a ward holds a patient's name. So they are left out,
and files are called by their place below the packages they belong to.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath

_ANCHORS = ("site-packages", "dist-packages", "DALESegmentLib")


def crash_report(problem: BaseException) -> str:
    """Several lines: the kinds of exceptions, causes first, each with its frames."""
    lines: list[str] = []
    chain: list[BaseException] = []
    current: BaseException | None = problem
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for one in reversed(chain):
        lines.append(f"DALESegment engine: {_kind(one)}")
        lines += [
            f"  {_place(frame.filename)}, line {frame.lineno}, in {frame.name}"
            for frame in traceback.extract_tb(one.__traceback__)
        ]
    return "\n".join(lines)


def _kind(problem: BaseException) -> str:
    number = problem.errno if isinstance(problem, OSError) else None
    return f"{type(problem).__module__}.{type(problem).__qualname__}{'' if number is None else f' (errno {number})'}"


def _place(file: str) -> str:
    """`DALESegmentLib/engine/jobs/train.py`, `site-packages/torch/...`; elsewhere the file's name alone."""
    parts = PurePath(file.replace("\\", "/")).parts
    for anchor in _ANCHORS:
        if anchor in parts:
            return "/".join(parts[parts.index(anchor) :])
    return parts[-1] if parts else "?"
