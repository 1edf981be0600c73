"""A real server with its users, as a process that can be killed and started again on the same folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import requests

from DALESegmentLib.server.users import Users

from .lines_engine import REPOSITORY

START_SECONDS = 60.0


class ServerProcess:
    """For a `with` block. options: of `dalesegment serve --http`; tokens: {user: token}."""

    def __init__(self, folder: Path, users: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> None:
        self.folder, self._options, self.port = folder, options, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.users = Users(folder / "tokens.json")
        self.tokens = {name: self.users.add(name) for name in users}
        self.log = folder.parent / f"{folder.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        command = (sys.executable, "-m", "DALESegmentLib.engine", "serve", "--http", "--data", str(self.folder))
        paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*command, "--port", str(self.port), *self._options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths},
            )
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.log.read_text(encoding="utf-8")[-2000:])
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """As `kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """As systemd ends it; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def ask(self, method: str, path: str, user: str | None, **given: object) -> requests.Response:
        """user: whose token goes along; None: none does."""
        headers = {} if user is None else {"Authorization": f"Bearer {self.tokens[user]}"}
        return requests.request(method, self.address + path, headers=headers, timeout=60, **given)  # type: ignore[arg-type]

    def folder_of(self, user: str) -> Path:
        found = self.users.find(self.tokens[user])
        assert found is not None
        return self.folder / "users" / found.id


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
