"""Waiting for a processor is told from sleeping."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from Testing.waiting import Stopwatch

SPIN = "import time\nends = time.monotonic() + 20\nwhile time.monotonic() < ends: pass"


def test_sleeping_is_no_excuse():
    watch = Stopwatch()
    time.sleep(0.3)
    assert watch.seconds >= 0.3
    assert watch.waited < 0.2 + watch.seconds - 0.3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot tie a process to a processor")
def test_a_processor_shared_with_others_is_counted():
    """Three processes on one processor: two thirds of the time, this one waits."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    os.sched_setaffinity(0, one)
    try:
        others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(2)]
        time.sleep(0.5)
        watch, worked = Stopwatch(), time.thread_time()
        while watch.seconds < 1.5:
            pass
        worked = time.thread_time() - worked
        assert watch.waited == pytest.approx(watch.seconds - worked, abs=0.4)
        assert watch.waited > 0.5
    finally:
        os.sched_setaffinity(0, allowed)
        for other in others:
            other.kill()
            other.wait()
