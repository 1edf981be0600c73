"""How long is left follows from how long the steps before took."""

from __future__ import annotations

import pytest

from DALESegmentLib.demo import progress_printer
from DALESegmentLib.demo.progress_printer import ProgressPrinter, in_words


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_printer.time, "monotonic", lambda: now[0])
    return now


def test_a_slow_machine_is_believed(clock, capsys):
    report = ProgressPrinter({"first": 60.0, "second": 60.0, "third": 30.0})
    report.step("first", "First")
    assert report.left() == 150
    clock[0] = 180.0  # three times as long as expected
    report.step("second", "Second")
    assert report.left() == pytest.approx(90 * (60 + 180) / (60 + 60))
    assert report.left(10.0) == pytest.approx(10 + 30 * 2)  # the engine knows better about its own step
    report.end()
    assert report.seconds == {"first": 180.0, "second": 0.0}
    assert capsys.readouterr().out.splitlines()[1] == "[3:00] Second (about 3 min left in all)"


def test_progress_is_told_now_and_then(clock, capsys):
    report = ProgressPrinter({"only": 100.0})
    report.step("only", "Only")
    for second in range(1, 40):
        clock[0] = float(second)
        report.progress({"message": "Epoch", "percent": second, "seconds_left": 100.0 - second})
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(("seconds", "words"), [(3, "about 10 s"), (62, "about 60 s"), (100, "about 1.5 min")])
def test_in_words(seconds, words):
    assert in_words(seconds) == words
