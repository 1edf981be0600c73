"""Atomic writes, by which a file, JSON included, appears completely or not at all, and locks for a single owner.

A lock is the system's own (`filelock`) on a hidden file, beside one that names who has it: the system gives it free
when that process ends, however it ends, so that files left by a crash are no obstacle, and neither are copied ones.
Where a file system has no locks, nothing is locked.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from .errors import EngineError

DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_HELD_SECONDS = 2.0
_NEXT_TO_NOTHING = 1 << 20
"""Bytes. Who writes in blocks gives up while a few are left."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a name beside `target` to write to; on success it takes the target's place, on failure it goes.

    The name keeps the target's extension and starts with a dot, so that no search for cases finds it.
    Makes missing parent folders. Raises EngineError("cannot-write" or "disk-full").
    """
    temporary = target.with_name(f".{uuid4().hex}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        replace(temporary, target)
    except OSError as error:
        raise not_written(target.name, target.parent, error) from error
    finally:
        with suppress(OSError):  # where not even the name is possible, the sentence above must still be heard
            temporary.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """os.replace. On Windows it is tried for a while: scanners and indexers hold new files open for moments."""
    until = time.monotonic() + (_HELD_SECONDS if sys.platform == "win32" else 0.0)
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:  # noqa: PERF203
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def not_written(name: str, folder: Path, error: BaseException | None = None) -> EngineError:
    """The error for a file that could not be written, or of which only a part could: is the disk full?"""
    number = error.errno if isinstance(error, OSError) else None
    if number in DISK_FULL or (number is None and _free_bytes(folder) < _NEXT_TO_NOTHING):
        return EngineError(
            "disk-full",
            f"{name} could not be written because the disk is full; free some space or choose another folder.",
        )
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return EngineError(
        "cannot-write", f"{name} could not be written{reason}; check the free space and your rights there."
    )


def _free_bytes(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("inf")


LARGEST_JSON = 1 << 26
"""Bytes."""


def write_atomically(path: Path, data: bytes) -> None:
    """The file is either the old one or the new one, never a part, also after a power cut."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError("too large")
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError("unreadable-file", f"{path.name} cannot be read; it is missing or damaged.") from error
    if not isinstance(value, dict):
        raise EngineError("unreadable-file", f"{path.name} does not hold what it should; it may be damaged.")
    return value


_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_LOCK_SECONDS = 0.5
"""How long to try: a lock that is being given back is free a moment later."""


@contextmanager
def only_owner(path: Path, in_use: Callable[[str], EngineError]) -> Iterator[None]:
    """Own the lock for the block; `path` names the owner meanwhile. in_use: the error for a named other owner.

    Raises that error where somebody else has it, OSError where it cannot be written, EngineError("packages-missing").
    """
    try:
        from filelock import FileLock, Timeout  # not at file scope: Slicer may not have it
    except ImportError as error:
        raise EngineError("packages-missing", "The Python package filelock is missing; install it.") from error
    path.parent.stat()  # filelock would make a folder that is gone
    lock_file = path.with_name(f".{path.name}")
    lock = FileLock(lock_file, thread_local=False)
    try:
        lock.acquire(timeout=_LOCK_SECONDS, poll_interval=0.01)
    except Timeout:
        raise in_use(_owner(path)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        _sign(path)
        yield
    finally:
        with suppress(OSError):  # of a network disk that is gone: what was done under the lock is done
            path.unlink(missing_ok=True)
            if sys.platform != "win32":  # where it goes when it is given back
                lock_file.unlink(missing_ok=True)  # before that, so that whoever waits for it can tell
        lock.release()


def _sign(path: Path) -> None:
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.strftime("%Y-%m-%d %H:%M:%S")}
    path.write_text(json.dumps(owner), encoding="utf-8")


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_bytes()[:1000])
        return f"process {owner['pid']} on {owner['host']} since {owner['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
