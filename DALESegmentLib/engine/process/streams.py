"""The process's standard input and output, kept for the protocol alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from . import protocol
from .protocol import LARGEST_LINE


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
        """Raises EngineError("too-large"), TypeError as `protocol.encode`."""
        data = memoryview(protocol.encode(line))
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._sink, data) :]
        except OSError:
            self._broken()
