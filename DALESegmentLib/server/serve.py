"""The command `dalesegment serve --http`: options to a running server, users added and removed."""

from __future__ import annotations

import ipaddress
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..engine.core.errors import EngineError
from .landlock import landlock_version
from .user_files import Limits
from .users import Users

TOKENS = "tokens.json"
INSTALL = "The server needs more packages; install them with: pip install 'dalesegment[server]'"


@dataclass(frozen=True)
class ServerOptions:
    """As they are typed; sizes in GB."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    tokens: Path | None = None
    upload_gb: float = 32.0
    disk_gb: float = 200.0
    free_gb: float = 2.0
    waiting: int = 50
    at_once: int = 1
    warm: int = 2
    keep_days: float = 30.0

    @property
    def users(self) -> Users:
        return Users(self.tokens or self.data / TOKENS)


def add_user(options: ServerOptions, name: str) -> str:
    """The token, to be shown once."""
    _make(options.data)
    return options.users.add(name)


def remove_user(options: ServerOptions, name: str) -> str:
    """The user's folder, which stays."""
    return str(options.data / "users" / options.users.remove(name))


def serve_http(options: ServerOptions) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises EngineError where it cannot begin."""
    try:
        import uvicorn

        from .app import Group, Settings, create_app
    except ModuleNotFoundError as error:
        raise EngineError("package-missing", INSTALL) from error
    _make(options.data)
    lock = FileLock(options.data / "server.lock")
    try:
        lock.acquire(timeout=5)
    except Timeout:
        raise EngineError(
            "server-runs", f"Another server works on {options.data.name}; end it, or choose another folder by --data."
        ) from None
    if not options.users.count():
        raise EngineError(
            "no-users", "The server has no users; add one: dalesegment serve --data FOLDER --add-user NAME"
        )
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    _warn(options)
    upload, disk, free = (int(size * (1 << 30)) for size in (options.upload_gb, options.disk_gb, options.free_gb))
    limits = Limits(upload, disk, free, options.waiting)
    settings = Settings(
        options.data.resolve(),
        options.tokens or options.data / TOKENS,
        limits,
        options.at_once,
        options.warm,
        options.keep_days,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(Group(settings)),
            host=options.host,
            port=options.port,
            access_log=False,  # it would hold names of files
            server_header=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=60,
            log_level="warning",
            proxy_headers=False,
        )
    )
    logging.getLogger("dalesegment.server").info("serving at http://%s:%d", options.host, options.port)
    with suppress(SystemExit):  # uvicorn's, after a line of its own
        server.run()
    if not server.started:
        raise EngineError("no-port", f"Port {options.port} cannot be had; end what uses it, or choose one by --port.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise EngineError(
            "cannot-write", f"The folder {folder.name} cannot be made or written; choose another one by --data."
        ) from error


def _warn(options: ServerOptions) -> None:
    log = logging.getLogger("dalesegment.server")
    if not landlock_version():
        log.warning(
            "this system cannot keep engines apart (no Landlock): let in only users who may see each other's files"
        )
    if not _is_local(options.host):
        log.warning("without TLS in front of it, tokens and images can be read on their way: see docs/server.md")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
