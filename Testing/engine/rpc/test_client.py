from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from engine_lines import soon

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.rpc.client import EngineClient

pytestmark = pytest.mark.slow


def test_a_killed_engine_is_noticed(a_fresh_engine):
    running, waiting = (a_fresh_engine.start("count", {"seconds": 60}) for _ in range(2))
    assert soon(lambda: a_fresh_engine.call("ping")["running"] == running.id, 2)
    os.kill(a_fresh_engine.process_id, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    started = time.monotonic()
    for pending in (running, waiting):
        with pytest.raises(EngineError, match="engine was ended") as caught:
            pending.wait()
        assert caught.value.code == "engine-gone"
    assert time.monotonic() - started < 2
    with pytest.raises(EngineError) as caught:
        a_fresh_engine.call("ping")
    assert caught.value.code == "engine-gone"


def test_what_is_no_engine_is_not_waited_for():
    for command in ([sys.executable, "-c", "print('hello')"], ["/no/such/program"]):
        with pytest.raises(EngineError) as caught:
            EngineClient(command)
        assert caught.value.code == "engine-not-started"


def test_a_request_too_large_for_a_line_is_refused_before_it_is_sent(an_engine):
    with pytest.raises(EngineError) as caught:
        an_engine.call("count", {"items": ["x" * 1000] * 20_000})
    assert caught.value.code == "bad-request"
    assert an_engine.call("ping")


def test_reports_that_come_fast_do_not_keep_the_wish_to_stop_waiting(an_engine):
    looked = []
    an_engine.start("count", {"seconds": 1}).wait(check=lambda: looked.append(time.monotonic()))
    assert max(b - a for a, b in itertools.pairwise(looked)) < 0.5


def test_leaving_ends_even_a_job_that_cannot_be_cancelled(a_fresh_engine):
    a_fresh_engine.start("deaf")
    started = time.monotonic()
    a_fresh_engine.close()
    assert time.monotonic() - started < 3
    assert a_fresh_engine._process.returncode == 0


def test_only_the_standard_library_is_needed():
    """The protocol, the progress and the client are used where nothing else is installed."""
    code = """
import sys
import DALESegmentLib.engine.rpc.client, DALESegmentLib.engine.core.progress
import DALESegmentLib.engine.rpc.server, DALESegmentLib.engine.commands.doctor
known = set(sys.stdlib_module_names) | {'DALESegmentLib', '__main__'}
print(*sorted(m for m in sys.modules if m.partition('.')[0] not in known and not m.startswith('_')))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    # what site hooks of other packages import at the start of Python is not ours
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    assert set(found) <= set(bare)
