from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DALESegmentLib.engine.core.errors import Cancelled
from DALESegmentLib.engine.core.progress import Progress


def test_a_silent_progress_can_be_used_by_any_job():
    progress = Progress()
    progress.report(50, "training", "Half")
    progress.part(50, 100).report(float("nan"), "writing", "Nowhere")
    progress.check()
    progress.close()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_percent_never_falls_and_stays_in_range(percents):
    reports: list[dict] = []
    progress = Progress(reports.append)
    for i, percent in enumerate(percents):
        progress.report(percent, ("reading", "writing")[i % 2], str(i))  # each a new stage: all are sent
    progress.close()
    sent = [report["percent"] for report in reports]
    assert len(sent) == len(percents)
    assert sent == sorted(sent)
    assert all(0 <= percent <= 100 for percent in sent)


def test_parts_of_parts_fill_their_share():
    reports: list[dict] = []
    progress = Progress(reports.append)
    inner = progress.part(20, 60).part(50, 100)
    inner.report(0, "reading", "")
    inner.report(100, "training", "")
    progress.report(50, "writing", "behind")
    assert [report["percent"] for report in reports] == [40, 60, 60]


def test_a_report_held_back_is_sent_a_moment_later():
    reports: list[dict] = []
    progress = Progress(reports.append)
    for i in range(5):
        progress.report(i, "training", str(i))
    assert [report["message"] for report in reports] == ["0"]
    time.sleep(0.4)
    assert [report["message"] for report in reports] == ["0", "4"]


def test_nothing_is_sent_after_the_end():
    reports: list[dict] = []
    progress = Progress(reports.append)
    progress.report(1, "training", "first")
    progress.report(2, "training", "last")
    progress.close()
    progress.report(3, "writing", "late")
    time.sleep(0.2)
    assert [report["message"] for report in reports] == ["first", "last"]


def test_the_time_left_follows_from_the_pace_and_not_from_where_it_began():
    """Resumed at 50 %: the first half took no time of this job."""
    reports: list[dict] = []
    progress = Progress(reports.append)
    progress.report(50, "reading", "")
    time.sleep(0.5)
    progress.report(75, "training", "")
    progress.report(76, "writing", "", seconds_left=7)
    assert reports[0]["seconds_left"] is None
    assert reports[1]["seconds_left"] == pytest.approx(0.5, abs=0.2)
    assert reports[2]["seconds_left"] == 7


def test_cancelling_reaches_every_part():
    cancelled = threading.Event()
    progress = Progress(cancelled=cancelled)
    part = progress.part(0, 50)
    part.check()
    cancelled.set()
    for each in (progress, part, progress.part(50, 100)):
        with pytest.raises(Cancelled):
            each.check()
