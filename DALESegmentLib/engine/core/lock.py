"""One owner at a time for a folder or a file.

The lock is the system's own (`filelock`) on a hidden file, beside one that names who has it: the system gives it free
when that process ends, however it ends, so that files left by a crash are no obstacle, and neither are copied ones.
Where a file system has no locks, nothing is locked.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import EngineError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_SECONDS = 0.5
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
        lock.acquire(timeout=_SECONDS, poll_interval=0.01)
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
