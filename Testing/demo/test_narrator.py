"""How long is left follows from how long the steps before took."""

from __future__ import annotations

import pytest

from DALESegmentLib.demo import narrator
from DALESegmentLib.demo.narrator import Narrator, in_words


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(narrator.time, "monotonic", lambda: now[0])
    return now


def test_a_slow_machine_is_believed(clock, capsys):
    say = Narrator({"first": 60.0, "second": 60.0, "third": 30.0})
    say.step("first", "First")
    assert say.left() == 150
    clock[0] = 180.0  # three times as long as expected
    say.step("second", "Second")
    assert say.left() == pytest.approx(90 * (60 + 180) / (60 + 60))
    assert say.left(10.0) == pytest.approx(10 + 30 * 2)  # the engine knows better about its own step
    say.end()
    assert say.seconds == {"first": 180.0, "second": 0.0}
    assert capsys.readouterr().out.splitlines()[1] == "[3:00] Second (about 3 min left in all)"


def test_progress_is_told_now_and_then(clock, capsys):
    say = Narrator({"only": 100.0})
    say.step("only", "Only")
    for second in range(1, 40):
        clock[0] = float(second)
        say.progress({"message": "Epoch", "percent": second, "seconds_left": 100.0 - second})
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(("seconds", "words"), [(3, "about 10 s"), (62, "about 60 s"), (100, "about 1.5 min")])
def test_in_words(seconds, words):
    assert in_words(seconds) == words
