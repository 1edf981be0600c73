"""Users of the server and their tokens, of which the file keeps hashes alone.

A token has 256 random bits, so that one round of SHA-256 is enough: there is no password to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError
from ..engine.core.files import read_json, write_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class User:
    """id: what the user's folder is called; the name is shown to nobody else."""

    id: str
    name: str


class Users:
    """Read anew where the file was changed, so that users come and go without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._entries: list[dict[str, str]] = []

    def add(self, name: str) -> str:
        """The new user's token, which is kept nowhere. Raises EngineError("bad-user-name", "user-exists")."""
        if not _NAME.fullmatch(name):
            raise EngineError(
                "bad-user-name",
                "A user's name is 1 to 64 letters, digits and . _ @ -, beginning with a letter or digit.",
            )
        with self._lock:
            entries = self._read()
            if any(entry["name"] == name for entry in entries):
                raise EngineError(
                    "user-exists", f"There is a user {name} already; remove it first to give it another token."
                )
            token = secrets.token_urlsafe(32)
            entry = {"id": secrets.token_hex(8), "name": name, "sha256": _hash(token)}
            self._write([*entries, entry | {"since": time.strftime("%Y-%m-%d")}])
        return token

    def remove(self, name: str) -> str:
        """Takes the token away; returns the user's id, by which the folder is found that is left. Raises
        EngineError("no-such-user")."""
        with self._lock:
            entries = self._read()
            gone = [entry for entry in entries if entry["name"] == name]
            if not gone:
                raise EngineError("no-such-user", f"There is no user {name[:64]}; look into the file of tokens.")
            self._write([entry for entry in entries if entry["name"] != name])
        return gone[0]["id"]

    def find(self, token: str) -> User | None:
        """Whose token it is. Takes the same time for every token: all are compared, each in constant time."""
        given, found = _hash(token), None
        with self._lock:
            for entry in self._read():
                if hmac.compare_digest(entry["sha256"], given):
                    found = User(entry["id"], entry["name"])
        return found

    def count(self) -> int:
        with self._lock:
            return len(self._read())

    def _read(self) -> list[dict[str, str]]:
        try:
            about = self._path.stat()
        except FileNotFoundError:
            self._state, self._entries = None, []
            return []
        state = (about.st_mtime_ns, about.st_size)
        if state != self._state:
            try:
                self._entries = [_checked(entry) for entry in read_json(self._path)["users"]]
            except (KeyError, TypeError, ValueError) as error:
                raise EngineError(
                    "bad-tokens",
                    f"{self._path.name} is no file of users; add them by dalesegment serve --add-user.",
                ) from error
            self._state = state
        return self._entries

    def _write(self, entries: list[Any]) -> None:
        before = os.umask(0o077) if os.name == "posix" else 0
        try:
            write_json(self._path, {"users": entries})
        finally:
            if os.name == "posix":
                os.umask(before)


def _checked(entry: dict[str, str]) -> dict[str, str]:
    if not re.fullmatch(r"[0-9a-f]{16}", entry["id"]) or not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
        raise ValueError("no user")
    return dict(entry)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
