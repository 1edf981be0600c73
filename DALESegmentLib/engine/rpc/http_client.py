"""Asks a server over HTTP, again and again where the connection breaks: every question may be asked twice."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from ..core.errors import Check, EngineError

TOKEN_VARIABLE = "DALESEGMENT_TOKEN"
PLAIN_VARIABLE = "DALESEGMENT_PLAIN_HTTP"
PATIENCE_SECONDS = 90.0
"""So long a server that was there may be away, for a restart or a broken connection."""
_AGAIN = (502, 503, 504)
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_PIECE = 1 << 20


class ServerConnection:
    """address: http:// only on this computer, unless DALESEGMENT_PLAIN_HTTP is 1: it carries a token and images.

    Raises EngineError("bad-address", "no-token", "package-missing").
    """

    def __init__(self, address: str, token: str | None = None, patience: float = PATIENCE_SECONDS) -> None:
        self.address, self._patience = checked_address(address), patience
        token = (token if token is not None else os.environ.get(TOKEN_VARIABLE, "")).strip()
        if not token or not token.isascii() or not token.isprintable():
            raise EngineError(
                "no-token",
                f"The server needs your token; put it into the field Token, or into the variable {TOKEN_VARIABLE}.",
            )
        try:
            import requests
        except ModuleNotFoundError as error:
            raise EngineError(
                "package-missing", "The Python package 'requests' is missing; install it with: pip install requests"
            ) from error
        self._requests = requests
        self.token = token
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.auth = _Unchanged()
        self._met = False

    def wait(self) -> None:
        """For a server that may not be there yet: from now on it has the patience of one that was."""
        self._met = True

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def ask(self, method: str, path: str, check: Check = lambda: None, **given: Any) -> dict[str, Any]:
        """The JSON of the answer. given: as of requests.request. Raises EngineError with the server's code."""
        response = self._asked(method, path, check, given)
        with response:
            try:
                value = response.json()
            except (ValueError, self._requests.RequestException):
                value = None
        if not isinstance(value, dict):
            raise unusable()
        return value

    def read(self, path: str, start: int, check: Check) -> Iterator[bytes]:
        """The bytes of a file from `start` on; ends early where the connection breaks."""
        asked = {"headers": {"Range": f"bytes={start}-"} if start else {}, "stream": True}
        with self._asked("GET", path, check, asked) as response:
            if start and response.status_code != 206:
                raise unusable()
            try:
                for piece in response.iter_content(_PIECE):
                    check()
                    yield piece
            except self._requests.RequestException:
                return

    def _asked(self, method: str, path: str, check: Check, given: dict[str, Any]) -> Any:
        until, pause = time.monotonic() + (self._patience if self._met else 0.0), 0.1
        while True:
            check()
            try:
                response = self._session.request(
                    method,
                    self.address + path,
                    timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    allow_redirects=False,
                    **given,
                )
            except self._requests.exceptions.SSLError:
                raise EngineError(
                    "not-trusted",
                    f"The certificate of {self.host} is not trusted here; set REQUESTS_CA_BUNDLE to your group's own.",
                ) from None
            except self._requests.RequestException:
                response = None
            if response is not None and not (response.status_code in _AGAIN and time.monotonic() < until):
                self._met = True
                return self._checked(response)
            if time.monotonic() >= until:
                raise EngineError(
                    "engine-gone", f"The server {self.host} does not answer; check its address, or ask who runs it."
                )
            time.sleep(pause)
            pause = min(2.0, 1.5 * pause)

    def _checked(self, response: Any) -> Any:
        if response.status_code < 300:
            return response
        with response:
            try:
                told = response.json()
                code, sentence = str(told["code"])[:60], str(told["sentence"])[:500]
            except (ValueError, KeyError, TypeError, self._requests.RequestException):
                raise EngineError(
                    "remote-answer",
                    f"{self.host} answered {response.status_code}; give the address of a server of DALESegment.",
                ) from None
        raise EngineError(code, sentence)


class _Unchanged:
    """In the place of requests' search for a password in .netrc, which would replace the token."""

    def __call__(self, request: Any) -> Any:
        return request


def checked_address(text: str) -> str:
    """Without what may follow the host and a path. Raises EngineError("bad-address")."""
    address = text.strip().rstrip("/")
    parts = urlsplit(address)
    try:
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or parts.username is not None or " " in address:
        raise EngineError(
            "bad-address",
            "The engine's address is like https://gpu-host or http://localhost:8000; to reach a machine by ssh open a "
            "tunnel first: ssh -L 8000:localhost:8000 gpu-host",
        )
    if parts.scheme == "http" and not _is_here(str(parts.hostname)) and os.environ.get(PLAIN_VARIABLE) != "1":
        raise EngineError(
            "bad-address",
            "Token and images would go unencrypted over http://; use https://, or an ssh tunnel to http://localhost:8000.",
        )
    return address


def in_url(name: str) -> str:
    return quote(name, safe="/")


def unusable() -> EngineError:
    return EngineError(
        "remote-answer", "The server sent what is no result; use the same version of DALESegment on both machines."
    )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
