"""The routes: who asks is known before anything is read, and every error is one sentence."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ..engine import __version__
from ..engine.core.errors import EngineError
from ..engine.rpc import protocol
from ..engine.rpc.job_registry import JOBS, OF_OPTIONS
from .dispatcher import Dispatcher
from .job_paths import with_paths
from .job_store import JobStore, StoredJob
from .landlock import landlock_version
from .user_files import Limits, UserFiles, Wanted
from .users import User, Users

log = logging.getLogger("dalesegment.server")

SERVED = tuple(name for name in JOBS if name not in OF_OPTIONS)
"""Not what would start jobs of a cluster."""
LARGEST_PIECE = 16 << 20
LONGEST_WAIT = 25.0
"""Seconds that a question about a job is held back until there is something to tell."""
LOOK_SECONDS = 0.02
OPEN_ROUTES = ("/health", "/openapi.json")
STATUS = {
    **dict.fromkeys(("no-such-file", "no-such-job", "no-such-page"), 404),
    **dict.fromkeys(("wrong-offset", "same-id", "still-open"), 409),
    "file-too-large": 413,
    "too-large": 413,
    "too-many": 429,
    "quota": 507,
    "disk-full": 507,
    "internal": 500,
    "no-token": 401,
    "wrong-method": 405,
    "bad-tokens": 503,
}
"""What answers which error; 422 for all others."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=1 << 50)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
JobId = Annotated[str, InPath(pattern="^[A-Za-z0-9._-]{1,100}$")]


class WantedFile(BaseModel):
    name: Name
    size: Size
    sha256: Sha256


class WantedFiles(BaseModel):
    files: list[WantedFile] = Field(max_length=20_000)


class ErrorAnswer(BaseModel):
    code: str
    sentence: str


@dataclass(frozen=True)
class Settings:
    """keep_days: after so long without use a user's files and ended jobs are removed."""

    data: Path
    tokens: Path
    limits: Limits = field(default_factory=Limits)
    at_once: int = 1
    warm: int = 2
    keep_days: float = 30.0


class Group:
    """All that the routes share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.data.mkdir(parents=True, exist_ok=True)
        self.users = Users(settings.tokens)
        self.store = JobStore(settings.data / "jobs.sqlite")
        self._files: dict[str, UserFiles] = {}
        self._lock = threading.Lock()
        self.registry = CollectorRegistry()
        self.jobs = Gauge("dalesegment_jobs", "Jobs by state", ["state"], registry=self.registry)
        self.ended = Histogram(
            "dalesegment_job_seconds",
            "From the begin of a job to its end",
            ["command", "state"],
            buckets=(1, 5, 30, 120, 600, 3600, 21600),
            registry=self.registry,
        )
        self.requests = Counter("dalesegment_requests", "Answers by status", ["status"], registry=self.registry)
        self.received = Counter("dalesegment_received_bytes", "Bytes of uploads", registry=self.registry)
        self.dispatcher = Dispatcher(
            self.store,
            self.files_of,
            settings.at_once,
            settings.warm,
            lambda job, state, seconds: self.ended.labels(job.command, state).observe(seconds),
        )
        self.gpus = _gpus()

    def files_of(self, user: str) -> UserFiles:
        with self._lock:
            if user not in self._files:
                folder = (self.settings.data / "users" / user).resolve()
                self._files[user] = UserFiles(folder, self.settings.limits)
            return self._files[user]

    def forget(self) -> None:
        """Remove what was not used for long; a user with open jobs keeps everything."""
        seconds = self.settings.keep_days * 86400
        self.store.forget(seconds)
        for folder in (self.settings.data / "users").glob("*"):
            states = self.store.counts(folder.name)
            if not states.get("waiting") and not states.get("running"):
                self.files_of(folder.name).forget(seconds)


def create_app(group: Group) -> FastAPI:
    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        group.dispatcher.start()
        sweeping = asyncio.create_task(_sweep(group))
        yield
        sweeping.cancel()
        await run_in_threadpool(group.dispatcher.stop)
        group.store.close()

    problems: dict[int | str, dict[str, Any]] = {
        code: {"model": ErrorAnswer} for code in (401, 404, 405, 409, 413, 422, 429, 503, 507)
    }
    app = FastAPI(
        title="DALESegment",
        version=__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        responses=problems,
        redirect_slashes=False,
    )
    _add_errors(app)
    _add_open_routes(app)
    _add_files(app, group)
    _add_jobs(app, group)
    _add_state(app, group)
    _describe_token(app)
    app.add_middleware(Gate, group=group)
    return app


class Gate:
    """Before all routes: whose request it is, and how much of it is read."""

    def __init__(self, app: Any, group: Group) -> None:
        self._app, self._group = app, group

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, taken = time.monotonic(), 0, 0

        async def counted_send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        async def counted_receive() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_PIECE + 1024:
                scope["state"]["too_large"] = True
                raise _too_large()
            return message

        try:
            if scope["path"] not in OPEN_ROUTES:
                scope.setdefault("state", {})["user"] = self._user(scope["headers"])
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if not length.isdigit() or len(length) > 12 or int(length) > LARGEST_PIECE + 1024:
                raise _too_large()
            await self._app(scope, counted_receive, counted_send)
        except EngineError as problem:
            if not status:
                await _answer(problem)(scope, receive, counted_send)
        except Exception as problem:
            log.error("an unexpected error (%s)", type(problem).__name__)
            if not status:
                await _answer(_unexpected())(scope, receive, counted_send)
        finally:
            route = getattr(scope.get("route"), "path", "-")
            user = getattr(scope.get("state", {}).get("user"), "id", "-")
            self._group.requests.labels(str(status)).inc()
            if status >= 400 or scope["method"] not in ("GET", "HEAD"):
                log.info(
                    "%s %s %d user %s %.0f ms",
                    scope["method"],
                    route,
                    status,
                    user,
                    1000 * (time.monotonic() - started),
                )

    def _user(self, headers: list[tuple[bytes, bytes]]) -> User:
        given = [value for name, value in headers if name == b"authorization"]
        kind, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        text = token.decode("latin-1").strip()
        user = self._group.users.find(text) if kind.lower() == b"bearer" and text else None
        if user is None:
            raise EngineError("no-token", "This server knows no such token; ask who runs it for one.")
        return user


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(EngineError)
    async def engine_error(_request: Request, problem: EngineError) -> Response:
        return _answer(problem)

    @app.exception_handler(RequestValidationError)
    async def wrong_request(_request: Request, problem: RequestValidationError) -> Response:
        found = problem.errors()[0]
        where = ".".join(str(part) for part in found["loc"])[:100]
        return _answer(EngineError("bad-request", f"{where}: {found['msg']}; see /openapi.json."))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, problem: HTTPException) -> Response:
        if getattr(request.state, "too_large", False):
            return _answer(_too_large())
        if problem.status_code == 404:
            return _answer(EngineError("no-such-page", "There is no such address; see /openapi.json."))
        if problem.status_code == 405:
            answer = _answer(EngineError("wrong-method", "This address is not asked like that; see /openapi.json."))
            answer.headers.update(problem.headers or {})
            return answer
        return _answer(EngineError("bad-request", "The request cannot be understood; see /openapi.json."))


def _answer(problem: EngineError) -> JSONResponse:
    status = STATUS.get(problem.code, 422)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "10"}}.get(status)
    text = {"code": problem.code, "sentence": problem.sentence.encode("utf-8", "replace").decode()}
    return JSONResponse(text, status, headers)


def _unexpected() -> EngineError:
    return EngineError("internal", "An unexpected error on the server; try again, and tell who runs it.")


def _too_large() -> EngineError:
    return EngineError("too-large", "A request has at most 16 MB; send a file in pieces.")


def _user_of(request: Request) -> User:
    return request.state.user


def _add_open_routes(app: FastAPI) -> None:
    @app.get("/health", responses={401: {}})
    async def health() -> dict[str, str]:
        """That the server is there. Needs no token."""
        return {"status": "ok", "version": __version__}


def _add_files(app: FastAPI, group: Group) -> None:
    def files(request: Request) -> UserFiles:
        return group.files_of(_user_of(request).id)

    @app.post("/v1/files/missing")
    def missing(request: Request, wanted: WantedFiles) -> dict[str, Any]:
        """Which of these files have to be sent, and from which byte on. The others are there then: what the server has
        under another name of the same user is not sent again."""
        asked = [Wanted(each.name, each.size, each.sha256) for each in wanted.files]
        return {"missing": files(request).missing(asked)}

    @app.get("/v1/files")
    def listing(request: Request, folder: Annotated[str, Field(max_length=1000)] = "") -> dict[str, Any]:
        """The files below a folder, with sizes and checksums."""
        return {"files": files(request).listing(folder)}

    @app.put("/v1/files/{name:path}", openapi_extra=_binary())
    async def put(
        request: Request, name: Name, size: Size, sha256: Sha256, piece_sha256: Sha256, offset: Size = 0
    ) -> dict[str, Any]:
        """A piece of a file, at most 16 MB; size and sha256 are of the whole file. 409 says where to go on."""
        here = await run_in_threadpool(files, request)
        piece = await request.body()
        each = Wanted(name, size, sha256)
        answer = await run_in_threadpool(here.put, each, offset, piece, piece_sha256)
        group.received.inc(len(piece))
        return answer

    @app.get("/v1/files/{name:path}", response_class=FileResponse)
    def get(request: Request, name: Name) -> FileResponse:
        """A file, or with a Range header a part of it."""
        here = files(request)
        path = here.file(name)
        return FileResponse(path, media_type="application/octet-stream", headers={"X-SHA256": here.sha256(path)})

    @app.delete("/v1/files/{name:path}")
    def drop(request: Request, name: Name) -> dict[str, Any]:
        """Remove a file, or a folder with all that is in it."""
        files(request).drop(name)
        return {}


def _add_jobs(app: FastAPI, group: Group) -> None:
    @app.post("/v1/jobs", status_code=202, openapi_extra=_request_body())
    async def add(request: Request) -> dict[str, Any]:
        """A request as a line of the engine's protocol. The same request twice is one job."""
        body = await request.body()
        asked = protocol.parse_request(body)
        if not re.fullmatch("[A-Za-z0-9._-]{1,100}", asked.id):
            raise EngineError("bad-request", "The id of a job is 1 to 100 letters, digits and . _ -")
        if asked.command not in SERVED:
            raise EngineError("bad-request", f"There is no such command here; use one of {', '.join(SERVED)}.")
        return await run_in_threadpool(accept, _user_of(request).id, asked)

    def accept(user: str, asked: protocol.Request) -> dict[str, Any]:
        files = group.files_of(user)
        with_paths(files, asked.parameters)
        files.check_room()
        job = group.store.add(user, asked.id, asked.command, asked.parameters, group.settings.limits.waiting)
        group.dispatcher.wake()
        return _state(group, job)

    @app.get("/v1/jobs")
    def jobs(request: Request) -> dict[str, Any]:
        """Your newest 200 jobs."""
        return {"jobs": [_state(group, job) for job in group.store.all_of(_user_of(request).id)]}

    @app.get("/v1/jobs/{id}")
    def job(request: Request, id: JobId) -> dict[str, Any]:
        return _state(group, group.store.get(_user_of(request).id, id))

    @app.get("/v1/jobs/{id}/events")
    async def events(
        request: Request,
        id: JobId,
        after: Annotated[int, Field(ge=0, le=1 << 31)] = 0,
        wait: Annotated[float, Field(ge=0, le=LONGEST_WAIT)] = 0,
    ) -> dict[str, Any]:
        """What happened after the event number `after`, as lines of the engine's protocol; the last is the result or
        the error. Waits so many seconds for something to tell."""
        user, until = _user_of(request).id, time.monotonic() + wait
        while True:
            stored = await run_in_threadpool(group.store.get, user, id)
            lines, following = group.dispatcher.events(stored, after)
            if stored.answer is not None:
                return {**_state(group, stored), "events": [stored.answer], "next": following}
            if lines or time.monotonic() >= until or await request.is_disconnected():
                return {**_state(group, stored), "events": lines, "next": following}
            await asyncio.sleep(LOOK_SECONDS)

    @app.post("/v1/jobs/{id}/cancel")
    def cancel(request: Request, id: JobId) -> dict[str, Any]:
        """Ask a job to stop; what was finished before is kept."""
        stored = group.store.get(_user_of(request).id, id)
        return {"cancelled": stored.answer is None and group.dispatcher.cancel(stored)}


def _add_state(app: FastAPI, group: Group) -> None:
    @app.get("/v1/status")
    def status(request: Request) -> dict[str, Any]:
        """What is there: version, GPUs, queue, limits."""
        user, limits = _user_of(request), group.settings.limits
        everyone, own = group.store.counts(), group.store.counts(user.id)
        return {
            "version": __version__,
            "protocol": protocol.PROTOCOL,
            "user": user.name,
            "gpus": group.gpus,
            "queue": {state: everyone.get(state, 0) for state in ("waiting", "running")},
            "yours": {state: own.get(state, 0) for state in ("waiting", "running")},
            "limits": {"file_bytes": limits.upload, "disk_bytes": limits.disk, "waiting": limits.waiting},
            "separated": landlock_version() > 0,
        }

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """For Prometheus, as text."""
        counts = group.store.counts()
        for state in ("waiting", "running", "done", "failed", "cancelled"):
            group.jobs.labels(state).set(counts.get(state, 0))
        return Response(generate_latest(group.registry), media_type="text/plain; version=0.0.4")


def _state(group: Group, job: StoredJob) -> dict[str, Any]:
    before = group.store.before(job) if job.state == "waiting" else 0
    return {"id": job.id, "command": job.command, "state": job.state, "before": before, "attempts": job.attempts}


def _binary() -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": schema}}}}


def _request_body() -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["protocol", "id", "command"],
        "additionalProperties": False,
        "properties": {
            "protocol": {"const": protocol.PROTOCOL},
            "id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,100}$"},
            "command": {"enum": list(SERVED)},
            "parameters": {"type": "object"},
        },
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _describe_token(app: FastAPI) -> None:
    made: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        described = made()
        described.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
        described["paths"]["/health"]["get"]["security"] = []
        return described

    app.openapi = openapi  # type: ignore[method-assign]


async def _sweep(group: Group) -> None:
    while True:
        await asyncio.sleep(3600)
        await run_in_threadpool(group.forget)


def _gpus() -> list[str]:
    """Names as the driver has them; asked once, and not of torch, which the server itself does not import."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        asked = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, encoding="utf-8", errors="replace", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []
