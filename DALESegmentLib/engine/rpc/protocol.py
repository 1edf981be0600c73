"""The lines of the engine process's protocol, and its standard streams. docs/protocol.md describes them.

Standard input and output carry the protocol alone. Standard library only.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO

from ..core.errors import EngineError

PROTOCOL = 1
LARGEST_LINE = 16 * 1024 * 1024
"""Bytes of a line, its end included."""
LONGEST_ID = 200


@dataclass(frozen=True)
class Request:
    """One thing asked of the engine. `id` is the caller's own name for it."""

    id: str
    command: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """Raises EngineError("bad-request") where it is larger than a line may be."""
        values = {"protocol": PROTOCOL, "id": self.id, "command": self.command, "parameters": self.parameters}
        try:
            return encode(values)
        except EngineError as error:
            raise bad_request("The request is over 16 MB; name the cases by a folder or a list.") from error

    def only(self, name: str | None = None) -> str | None:
        """The one text parameter that a control command may have. Raises BadRequest for anything else."""
        unknown = sorted(set(self.parameters) - {name})
        if unknown:
            raise bad_request(f"{self.command} has no parameter {unknown[0][:40]!r}; leave it out.", self.id)
        value = self.parameters.get(name) if name else None
        if value is not None and not isinstance(value, str):
            raise bad_request(f"The parameter {name!r} of {self.command} is a text.", self.id)
        return value


class BadRequest(EngineError):
    """A line that cannot be obeyed; `id` is the request's name as far as it could be read."""

    def __init__(self, sentence: str, id: str | None = None) -> None:
        super().__init__("bad-request", sentence)
        self.id = id


def bad_request(sentence: str, id: str | None = None) -> BadRequest:
    return BadRequest(sentence, id)


def ready(version: str, pid: int) -> dict[str, Any]:
    return {"event": "ready", "protocol": PROTOCOL, "version": version, "pid": pid}


def progress(id: str, report: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id, "event": "progress", **report}


def result(id: str, value: Any) -> dict[str, Any]:
    return {"id": id, "event": "result", "result": value}


def error(id: str | None, problem: EngineError) -> dict[str, Any]:
    return {"id": id, "event": "error", "code": problem.code, "sentence": problem.sentence}


def encode(line: Mapping[str, Any]) -> bytes:
    """One line of strict JSON in ASCII; numbers that JSON does not have (NaN, infinity) become null.

    Raises EngineError("too-large") over 16 MB, TypeError for values that have no JSON form.
    """
    data = json.dumps(plain(line), allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    if len(data) > LARGEST_LINE:
        raise EngineError("too-large", "The answer is over 16 MB; ask for fewer cases at a time.")
    return data


def plain(value: Any) -> Any:
    """The same in JSON's own types. Takes arrays, paths and tuples, too; NaN and infinity become None."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy and torch, without importing them
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def decode(line: bytes) -> Any:
    """The JSON value of a line. Raises BadRequest where it is no strict JSON or over 16 MB."""
    if len(line) > LARGEST_LINE:
        raise bad_request("The line is over 16 MB; name the cases by a folder or a list.")
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise bad_request("The line is not JSON; send one JSON object a line, in UTF-8.") from None


def parse_request(line: bytes) -> Request:
    """Raises BadRequest, with the request's id where it could be read."""
    values = decode(line)
    if not isinstance(values, dict):
        raise bad_request("The line is not a JSON object; send an object with protocol, id and command.")
    id = values.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID:
        raise bad_request(f"A request needs an id: a text of 1 to {LONGEST_ID} characters.")
    unknown = sorted(set(values) - {"protocol", "id", "command", "parameters"})
    if unknown:
        raise bad_request(f"A request has no {unknown[0][:40]!r}; put it into its parameters.", id)
    version = values.get("protocol")
    if isinstance(version, bool) or version != PROTOCOL:
        raise bad_request(f"This engine speaks protocol {PROTOCOL}; use the program that came with it.", id)
    command, parameters = values.get("command"), values.get("parameters", {})
    if not isinstance(command, str):
        raise bad_request("A request needs a command: a text, for instance 'train'.", id)
    if not isinstance(parameters, dict):
        raise bad_request("The parameters of a request are an object with their names and values.", id)
    return Request(id, command, parameters)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def take_standard_streams() -> tuple[BinaryIO, int]:
    """A private stdin and the descriptor of a private stdout. From then on what libraries print, from Python
    or from C, goes to standard error, and they read nothing."""
    sys.stdout.flush()
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(source, "rb"), sink


def lines(source: BinaryIO) -> Iterator[bytes]:
    """Line by line to the end; of a line that is too long only a beginning, itself too long."""
    while line := source.readline(LARGEST_LINE + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = source.readline(1 << 20)
        yield line


class Answers:
    """Writes lines whole, whichever thread they come from. `broken` is called when nobody reads any more."""

    def __init__(self, sink: int, broken: Callable[[], None]) -> None:
        self._sink = sink
        self._broken = broken
        self._lock = threading.Lock()

    def send(self, line: Mapping[str, Any]) -> None:
        """Raises EngineError("too-large"), TypeError as `encode`."""
        data = memoryview(encode(line))
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._sink, data) :]
        except OSError:
            self._broken()
