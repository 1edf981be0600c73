"""Graphs of networks, and what was measured of them, kept for the user from process to process.

They lie in the user's cache and not in the bundle: a bundle is passed on, and a graph that came with it would have to
be trusted with the answer. A file is named by a hash of all that its content follows from, and begins with a hash of
its content; one that is damaged, cut short or cannot be read is as good as none, and one that cannot be written is left
out.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from ..core.files import write_atomically

CACHE_VARIABLE = "DALESEGMENT_CACHE"
"""Names another folder."""
LARGEST = 1 << 30
"""Bytes that all files take together; those not used for longest go first."""
_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Where a program's cache belongs on this system; it need not exist."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dalesegment" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dalesegment"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dalesegment"


def key_of(*facts: Any) -> str:
    """The same for equal facts (JSON values) alone."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:40]


def load(name: str) -> bytes | None:
    """What was saved under the name; None where nothing whole is there."""
    try:
        path = cache_folder() / name
        data = path.read_bytes()
        if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
    except (OSError, RuntimeError):  # the latter where there is no home
        return None
    return data[_DIGEST:]


def save(name: str, data: bytes) -> bool:
    """Whether it could be kept."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, hashlib.sha256(data).digest() + data)
        _make_room(folder)
    except (EngineError, OSError, RuntimeError):
        return False
    return True


def load_json(name: str) -> dict[str, Any] | None:
    data = load(name)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def load_all_json() -> list[dict[str, Any]]:
    """What was measured and is still kept, in no order."""
    try:
        names = [path.name for path in cache_folder().glob("*.json")]
    except (OSError, RuntimeError):
        return []
    return [found for name in names if (found := load_json(name)) is not None and "backend" in found]


def save_json(name: str, value: dict[str, Any]) -> bool:
    return save(name, json.dumps(value).encode())


def _make_room(folder: Path) -> None:
    """Another process may do the same."""
    there = []
    for path in folder.iterdir():
        with suppress(OSError):
            if path.is_file():
                state = path.stat()
                there.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in there)
    for _, size, path in sorted(there)[:-1]:
        if total <= LARGEST:
            return
        with suppress(OSError):
            path.unlink(missing_ok=True)
        total -= size
