"""Real engine processes, with the jobs of trial_engine.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_lines import TRIAL_ENGINE, Lines

from DALESegmentLib.engine.rpc.client import EngineClient


@pytest.fixture
def some_lines() -> Iterator[Lines]:
    lines = Lines()
    yield lines
    lines.process.kill()
    lines.process.wait()
    lines.process.stdin.close()
    lines.process.stdout.close()


@pytest.fixture(scope="module")
def an_engine() -> Iterator[EngineClient]:
    with EngineClient(TRIAL_ENGINE) as engine:
        yield engine


@pytest.fixture
def a_fresh_engine() -> Iterator[EngineClient]:
    with EngineClient(TRIAL_ENGINE) as engine:
        yield engine
