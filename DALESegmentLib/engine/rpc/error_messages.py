"""Converts exceptions of a job into messages: a sentence for its user, and a traceback without data.

Messages of exceptions quote paths, names and values, and the path of a clinical image may contain a patient's name. So
the traceback leaves messages out and names files by their place below their package.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ..core.errors import EngineError
from ..core.files import DISK_FULL
from .protocol import bad_request

_LONGEST_VALUE = 40
_LONGEST_NAME = 100
_NO_MEMORY = ("can't allocate memory", "not enough memory", "can't start new thread", "Failed to allocate memory")
"""What torch, Windows, Python's threads and ITK say of it."""


def explain(problem: BaseException, command: str, parameters: Mapping[str, Any]) -> EngineError:
    """The error to answer a request with. Paths, values of variables and the traceback stay out of it."""
    if isinstance(problem, EngineError):
        return _memory_behind(problem) or problem
    # a job's own model is called ...Parameters; another one has refused a file, not the request
    if _is(problem, "pydantic", "ValidationError") and problem.title.endswith("Parameters"):  # type: ignore[attr-defined]
        return _wrong_parameter(problem, command, parameters)
    return (
        _memory(problem)
        or _gpu(problem)
        or _file(problem)
        or _package(problem)
        or EngineError(
            "internal",
            f"An unexpected error ended {command} ({type(problem).__name__}); "
            "try again, and report it with the engine's log if it comes back.",
        )
    )


def _is(problem: BaseException, module: str, name: str) -> bool:
    """Whether it is the module's exception; a module that was never imported has raised nothing."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(problem, kind)


def _wrong_parameter(problem: Any, command: str, parameters: Mapping[str, Any]) -> EngineError:
    """The first finding of pydantic as a sentence."""
    found = problem.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    if found["type"] == "missing":
        return bad_request(f"{command} needs the parameter {where!r}; add it.")
    if found["type"] in ("extra_forbidden", "unexpected_keyword_argument"):  # of a model, of a dataclass
        return bad_request(f"{command} has no parameter {where!r}; leave it out or correct its name.")
    name = _given_name(found["loc"], parameters)
    expected = found["msg"].removeprefix("Input ").removeprefix("Value error, ").rstrip(".")
    value = repr(found["input"])
    value = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
    return bad_request(f"The parameter {name!r} of {command} is {value}, but {_it(expected)}.")


def _it(expected: str) -> str:
    return f"it {expected}" if expected.startswith("should") else expected[:1].lower() + expected[1:]


def _given_name(place: tuple[str | int, ...], parameters: Any) -> str:
    """The place as far as the user wrote it; pydantic appends the alternatives it tried."""
    name, value = [], parameters
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        name.append(str(part))
    return ".".join(name) or ".".join(str(part) for part in place)


def _memory_behind(problem: EngineError) -> EngineError | None:
    """A file is not damaged, nor a model, because there was no room to read it."""
    cause = problem.__cause__
    while cause is not None:
        if (memory := _memory(cause)) is not None:
            return memory
        cause = cause.__cause__
    return None


def _memory(problem: BaseException) -> EngineError | None:
    text = str(problem)
    if _is(problem, "torch", "OutOfMemoryError") or "CUDA out of memory" in text:
        return EngineError(
            "gpu-out-of-memory",
            "The memory of the GPU ran out; "
            "close other programs that use it, take a smaller batch size, or use the CPU.",
        )
    if isinstance(problem, MemoryError) or (
        isinstance(problem, (RuntimeError, OSError))
        and (any(words in text for words in _NO_MEMORY) or _number(problem) == errno.ENOMEM)
    ):
        return EngineError(
            "out-of-memory",
            "Memory ran out; close other programs, or use fewer or smaller images.",
        )
    return None


def _gpu(problem: BaseException) -> EngineError | None:
    text = str(problem)
    if not isinstance(problem, RuntimeError) or not any(name in text for name in ("CUDA error", "cuDNN", "CUDNN")):
        return None
    if "no kernel image" in text:
        return EngineError(
            "gpu-not-supported",
            "The installed PyTorch does not support this GPU; install a PyTorch made for it, or use the CPU.",
        )
    return EngineError("gpu-failed", "The GPU failed; restart the engine and try again, or use the CPU.")


def _file(problem: BaseException) -> EngineError | None:
    if isinstance(problem, ValueError) and "null byte" in str(problem):
        return EngineError("bad-path", "A path holds a zero byte, which no file has; correct the path.")
    if not isinstance(problem, OSError):
        return None
    if problem.errno in DISK_FULL:
        return EngineError("disk-full", "The disk is full; free some space or choose another folder.")
    what = _file_name(problem)
    if isinstance(problem, PermissionError) or problem.errno == errno.EROFS:
        return EngineError(
            "no-permission",
            f"The system does not allow access to {what}; change its permissions or choose another folder.",
        )
    if problem.errno is not None:
        reason = os.strerror(problem.errno)
        return EngineError(
            "file-failed", f"The system could not read or write {what} ({reason}); check its name and the disk."
        )
    return None


def _file_name(problem: OSError) -> str:
    """Of its path the name alone, and no more than a line holds."""
    name = os.path.basename(os.fsdecode(problem.filename)) if isinstance(problem.filename, (str, bytes)) else ""
    return f"{name[:_LONGEST_NAME]!r}" if name else "a file"


def _number(problem: BaseException) -> int | None:
    return problem.errno if isinstance(problem, OSError) else None


def _package(problem: BaseException) -> EngineError | None:
    if not isinstance(problem, ModuleNotFoundError) or not problem.name or problem.name.startswith("DALESegmentLib"):
        return None
    package = problem.name.partition(".")[0]
    return EngineError(
        "package-missing",
        f"The Python package {package!r} is missing; run the doctor, it says what to install.",
    )


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
    """`DALESegmentLib/engine/commands/train.py`, `site-packages/torch/...`; elsewhere the file's name alone."""
    parts = PurePath(file.replace("\\", "/")).parts
    for anchor in _ANCHORS:
        if anchor in parts:
            return "/".join(parts[parts.index(anchor) :])
    return parts[-1] if parts else "?"
