"""The engine process seen from Qt, against a real process that speaks the protocol."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

QUICK = str(Path(__file__).with_name("quick_engine.py"))


class Answers:
    """What one request got."""

    def __init__(self) -> None:
        self.progress, self.result, self.error = [], None, None

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None

    def callbacks(self):
        return self.progress.append, self._keep_result, self._keep_error

    def _keep_result(self, result) -> None:
        assert not self.ended, "a request was answered twice"
        self.result = result

    def _keep_error(self, code, sentence) -> None:
        assert not self.ended, "a request was answered twice"
        self.error = (code, sentence)


@pytest.fixture
def engine(desktop):
    from DALESegmentLib.ui.engine_process import EngineProcess

    engine = EngineProcess(arguments=[QUICK])
    yield engine
    engine.stop()
    assert not engine.running


def ask(engine, command, parameters=None) -> Answers:
    answers = Answers()
    answers.id = engine.request(command, parameters, *answers.callbacks())
    return answers


def wait(engine, *answers) -> None:
    assert engine.waitFor(lambda: all(a.ended for a in answers), 10)


def test_starts_at_the_first_request_and_reports_that_it_is_ready(engine):
    assert not engine.running
    answers = ask(engine, "ping")
    wait(engine, answers)
    assert engine.ready["protocol"] == 1
    assert engine.processId == engine.ready["pid"]


def test_the_library_is_on_the_path_of_the_process(engine):
    answers = ask(engine, "ping")
    wait(engine, answers)
    first = answers.result["PYTHONPATH"].split(os.pathsep)[0]
    assert (Path(first) / "DALESegmentLib" / "__init__.py").exists()


def test_what_was_on_the_path_stays_there(engine, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    answers = ask(engine, "ping")
    wait(engine, answers)
    assert answers.result["PYTHONPATH"].split(os.pathsep)[1:] == ["/elsewhere"]


def test_waiting_threads_leave_the_viewer_its_processor_unless_the_user_set_it(engine, monkeypatch):
    answers = ask(engine, "ping")
    wait(engine, answers)
    assert answers.result["GOMP_SPINCOUNT"] == "1000"
    engine.stop()
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    again = ask(engine, "ping")
    wait(engine, again)
    assert again.result["GOMP_SPINCOUNT"] == "7"


def test_the_process_is_reused(engine):
    wait(engine, ask(engine, "ping"))
    first = engine.processId
    wait(engine, ask(engine, "ping"))
    assert engine.processId == first


def test_progress_comes_in_order_before_the_result(engine):
    answers = ask(engine, "slow")
    assert engine.waitFor(lambda: len(answers.progress) > 3, 10)
    percents = [event["percent"] for event in answers.progress]
    assert percents == sorted(percents)
    assert not answers.ended


def test_cancel_ends_one_request_and_leaves_the_other(engine):
    slow, other = ask(engine, "slow"), ask(engine, "slow")
    assert engine.waitFor(lambda: slow.progress and other.progress, 10)
    engine.cancel(slow.id)
    wait(engine, slow)
    assert slow.error[0] == "cancelled"
    assert not other.ended
    engine.cancel()
    wait(engine, other)


def test_lines_that_are_no_answers_are_passed_over(engine):
    answers = ask(engine, "noise")
    wait(engine, answers)
    assert answers.result["text"].startswith("ümläut")
    assert engine.waitFor(lambda: "a warning of some library" in engine.messages, 5)


def test_an_answer_longer_than_a_pipe_buffer_arrives_whole(engine):
    answers = ask(engine, "noise", {"length": 3_000_000})
    wait(engine, answers)
    assert len(answers.result["text"]) == 3_000_007


def test_a_refused_command_is_an_error_and_the_process_lives_on(engine):
    answers = ask(engine, "paint")
    wait(engine, answers)
    assert answers.error[0] == "bad-request"
    wait(engine, ask(engine, "ping"))


def test_a_killed_process_is_reported_and_the_next_request_starts_another(engine):
    answers = ask(engine, "slow")
    assert engine.waitFor(lambda: bool(answers.progress), 10)
    killed = engine.processId
    psutil.Process(killed).kill()
    wait(engine, answers)
    code, sentence = answers.error
    assert code == "engine-gone"
    assert "stopped unexpectedly" in sentence
    again = ask(engine, "ping")
    wait(engine, again)
    assert again.result is not None
    assert engine.processId != killed


def test_a_process_that_ends_by_itself_fails_all_open_requests(engine):
    slow, dying = ask(engine, "slow"), ask(engine, "die", {"code": 7})
    wait(engine, slow, dying)
    assert {slow.error[0], dying.error[0]} == {"engine-gone"}
    assert "code 7" in dying.error[1]


def test_stop_ends_open_requests_as_cancelled(engine):
    answers = ask(engine, "slow")
    assert engine.waitFor(lambda: bool(answers.progress), 10)
    engine.stop()
    assert answers.error[0] == "cancelled"
    assert not engine.running


def test_restart_gives_a_new_process(engine):
    wait(engine, ask(engine, "ping"))
    first = engine.processId
    engine.restart()
    assert engine.running
    assert engine.processId != first


def test_a_missing_program_is_reported_in_a_sentence(desktop):
    from DALESegmentLib.engine.core.errors import EngineError
    from DALESegmentLib.ui.engine_process import EngineProcess

    with pytest.raises(EngineError) as caught:
        EngineProcess(program="/nowhere/python").start()
    assert caught.value.code == "engine-not-started"
