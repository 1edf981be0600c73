"""Atomic writes, by which a file, JSON included, appears completely or not at all, and locks for a single owner.

A lock is the system's own (`filelock`) on a hidden file, beside one that names who has it: the system gives it free
when that process ends, however it ends, so that files left by a crash are no obstacle, and neither are copied ones.
Where a file system has no locks, nothing is locked.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import uuid4

from .errors import EngineError

WINDOWS_PATH = 259
"""Characters that Windows takes in a path where long paths are not switched on."""
DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_HELD_SECONDS = 2.0
_NEXT_TO_NOTHING = 1 << 20
"""Bytes. Who writes in blocks gives up while a few are left."""
_KEPT_OF_A_NAME = 16
"""Characters at its end, so that a name beside another one is hardly ever the longer: longest ending `.safetensors`."""


class FileWatch(Protocol):
    """Is told of each file that `replacing` writes: before it takes the target's place, and after."""

    def before(self, target: Path) -> None: ...

    def after(self, target: Path) -> None: ...


_watch: ContextVar[FileWatch | None] = ContextVar("watch", default=None)


@contextmanager
def watching_files(watch: FileWatch) -> Iterator[None]:
    """For the block, on this thread, `watch` is told of the files that are written; after it, who was told before."""
    before = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(before)


def about_to_change(target: Path) -> None:
    """Tell of a file that is to be replaced or removed."""
    if (watch := _watch.get()) is not None:
        watch.before(target)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a name beside `target` to write to; on success it takes the target's place, on failure it goes.

    The name keeps the target's extension and starts with a dot, so that no search for cases finds it.
    Makes missing parent folders. Raises EngineError("cannot-write" or "disk-full").
    """
    temporary = target.with_name(f".{uuid4().hex[:12]}-{target.name[-_KEPT_OF_A_NAME:]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        about_to_change(target)
        replace(temporary, target)
        if (watch := _watch.get()) is not None:
            watch.after(target)
    except OSError as error:
        raise not_written(target.name, target.parent, error) from error
    finally:
        with suppress(OSError):  # where not even the name is possible, the sentence above must still be heard
            temporary.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """os.replace, tried as `patiently` does."""
    patiently(lambda: os.replace(source, target))


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there; tried as `patiently` does.

    Raises OSError where it is still there then.
    """
    if path.is_dir() and not path.is_symlink():
        patiently(lambda: shutil.rmtree(path))
    else:
        patiently(lambda: path.unlink(missing_ok=True))


def patiently(act: Callable[[], object]) -> None:
    """On Windows a refusal is tried again for a while: scanners and indexers hold new files open for moments."""
    until = time.monotonic() + (_HELD_SECONDS if sys.platform == "win32" else 0.0)
    while True:
        try:
            act()
            return
        except PermissionError:  # noqa: PERF203
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def sync(file: BinaryIO) -> None:
    """All that was written is on the disk then, and stays through a power cut.

    On macOS fsync alone leaves it in the disk's own cache (fsync(2) there); not every file system knows better.
    """
    file.flush()
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(file.fileno(), fcntl.F_FULLFSYNC)
            return
        except OSError:
            pass
    os.fsync(file.fileno())


def not_written(name: str, folder: Path, error: BaseException | None = None) -> EngineError:
    """The error for a file that could not be written, or of which only a part could: is the disk full?"""
    number = error.errno if isinstance(error, OSError) else None
    if number in DISK_FULL or (number is None and _free_bytes(folder) < _NEXT_TO_NOTHING):
        return EngineError(
            "disk-full",
            f"{name} could not be written because the disk is full; free some space or choose another folder.",
        )
    if error is not None and is_too_long(folder / name, number):
        return EngineError(
            "cannot-write",
            f"{name} could not be written, since its path is longer than this system takes; "
            "choose a folder with a shorter path, nearer to the top of the disk.",
        )
    if sys.platform == "win32" and isinstance(error, PermissionError):
        return EngineError(
            "cannot-write",
            f"{name} could not be written; close it in other programs, such as a spreadsheet, or check your rights "
            "there.",
        )
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return EngineError(
        "cannot-write", f"{name} could not be written{reason}; check the free space and your rights there."
    )


def is_too_long(path: Path, number: int | None) -> bool:
    """Whether an operation on the path failed for its length. number: errno; Windows says that there is no such file,
    and ITK nothing."""
    if sys.platform == "win32":
        return number in (None, errno.ENOENT, errno.EINVAL) and len(os.path.abspath(path)) > WINDOWS_PATH
    return number == errno.ENAMETOOLONG


_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)", re.I)
_NOT_IN_NAMES = set('<>:"/\\|?*') | set(map(chr, range(32)))


def is_windows_name(name: str) -> bool:
    """Whether Windows takes it as the name of one file or folder (Microsoft, "Naming Files, Paths, and Namespaces"):
    a colon opens a stream or a drive, a dot or a space at the end is dropped, and CON, with any extension, is a device.
    """
    return bool(name) and name[-1] not in ". " and not _NOT_IN_NAMES & set(name) and not _DEVICE.match(name)


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
        sync(file)


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
    path.write_text(json.dumps(owner), encoding="utf-8", newline="\n")


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_bytes()[:1000])
        return f"process {owner['pid']} on {owner['host']} since {owner['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
