"""One owner at a time for a folder or a file.

The system's own lock on a small file, which names who has it: the system gives it free when that process ends,
however it ends, so that a file left by a crash is no obstacle, and neither is a copied one. Where a file system has
no locks, nothing is locked.
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
from typing import IO

from ..errors import EngineError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_BEYOND = 1 << 30
"""The byte that is locked on Windows, which lets nobody read what is locked; what the file says comes before it."""


@contextmanager
def only_owner(path: Path, in_use: Callable[[str], EngineError]) -> Iterator[None]:
    """Own the lock file `path` for the block. in_use: the error for a named other owner.

    Raises that error where somebody else has it, OSError where it cannot be written.
    """
    file = _take(path, in_use)
    try:
        yield
    finally:
        _give_back(path, file)


def _take(path: Path, in_use: Callable[[str], EngineError]) -> IO[bytes]:
    while True:
        file = path.open("a+b")
        try:
            if not _lock(file):
                raise in_use(_owner(file))
            if _is_at(path, file):
                _sign(file)
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its owner took it away when it was done; make a new one


def _give_back(path: Path, file: IO[bytes]) -> None:
    """The file goes before the lock, so that whoever gets the lock of a file that is gone can tell."""
    if sys.platform != "win32":
        with suppress(OSError):  # of a network disk that is gone: what was done under the lock is done
            path.unlink(missing_ok=True)
    file.close()
    if sys.platform == "win32":  # which removes no open file; another may have opened it since
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> bool:
    """Whether nobody else has it."""
    try:
        if sys.platform == "win32":
            file.seek(_BEYOND)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sign(file: IO[bytes]) -> None:
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.strftime("%Y-%m-%d %H:%M:%S")}
    file.truncate(0)
    file.write(json.dumps(owner).encode())
    file.flush()


def _owner(file: IO[bytes]) -> str:
    file.seek(0)
    try:
        owner = json.loads(file.read(1000))
        return f"process {owner['pid']} on {owner['host']} since {owner['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
