"""A real server with two users, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.reliability.server_process import ServerProcess

pytest.importorskip("fastapi", reason="the server needs its packages: pip install 'dalesegment[server]'")

LIMITS = ("--upload-gb", "0.001", "--disk-gb", "0.004", "--waiting", "3")
"""Of the server with narrow limits."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", ("anna", "bob")) as process:
        yield process


@pytest.fixture(scope="module")
def narrow_server(tmp_path_factory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("narrow") / "data", ("anna", "bob"), LIMITS) as process:
        yield process
