"""The engine process of one user, which sees the files of no other: `python -m DALESegmentLib.server.landlock FOLDER`.

Names in requests are checked by the server. What lies in the files (a list of cases, the run of an earlier training)
may name any path, so the process gives up the right to open anything of the server's data but its own folder, and to
write anywhere else: Landlock, landlock(7) of Linux. It needs no privileges, and cannot be undone.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on all processors but Alpha
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_TRUNCATE = 1 << 14
_LOOK = _EXECUTE | _READ | _LIST
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_LOCK_SECONDS = 20.0
LOCK = "engine.lock"


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_version() -> int:
    """0 where the system has none: not Linux, before 5.13, or switched off."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _system().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def keep_within(own: Path, hidden: Path) -> bool:
    """From now on this process opens nothing below `hidden` but `own`, and writes below `own` and /dev alone. Called
    before threads are started. Returns whether the system knows how."""
    version = landlock_version()
    if not version:
        return False
    rights = (1 << (13 if version < 2 else 14 if version < 3 else 15)) - 1
    system, rules = _system(), _Ruleset(rights)
    handle = system.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint32(0))
    if handle < 0:
        raise OSError(ctypes.get_errno(), "no ruleset")
    try:
        for path in _beside(hidden):
            _allow(handle, path, _LOOK & rights)
        for path in (own, Path("/dev")):
            _allow(handle, path, rights)
        if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or system.syscall(_RESTRICT, handle, ctypes.c_uint32(0)):
            raise OSError(ctypes.get_errno(), "not restricted")
    finally:
        os.close(handle)
    return True


def _beside(hidden: Path) -> Iterator[Path]:
    """Everything that is there now but for `hidden` and the folders above it; no links, which may lead into these."""
    chain = [hidden, *hidden.parents]
    for folder in chain[1:]:
        with suppress(OSError):
            yield from (path for path in folder.iterdir() if path not in chain and not path.is_symlink())


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # what cannot be opened need not be allowed
    try:
        allowed = rights if path.is_dir() else rights & _ON_FILES
        rule = _Beneath(allowed, place)
        _system().syscall(_ADD, ruleset, 1, ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(place)


def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def main(folder: Path) -> None:
    """Wait for the end of an engine of the same user that an ended server left, then serve as the local engine does."""
    from filelock import FileLock

    lock = FileLock(folder / LOCK)
    lock.acquire(timeout=_LOCK_SECONDS)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    keep_within(folder, folder.parent.parent)
    from ..engine.rpc.server import Server

    Server(warm=()).serve()  # what a job needs is imported for it: most users' engines begin with a short job


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
