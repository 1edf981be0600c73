from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from engine_lines import TRIAL_ENGINE, alive, soon

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.rpc.client import EngineClient

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and parents")


def refusal(engine, command: str, parameters: dict | None = None) -> EngineError:
    with pytest.raises(EngineError) as caught:
        engine.call(command, parameters)
    return caught.value


def test_the_first_line_says_who_is_there(an_engine):
    assert an_engine.ready == {
        "event": "ready",
        "protocol": 1,
        "version": an_engine.ready["version"],
        "pid": an_engine.process_id,
    }


def test_ping_is_answered_during_a_job(an_engine):
    job = an_engine.start("count", {"seconds": 1.0})
    assert soon(lambda: an_engine.call("ping")["running"] == job.id, 2)
    started = time.monotonic()
    an_engine.call("ping")
    assert time.monotonic() - started < 0.5
    job.wait()
    assert an_engine.call("ping") == {"running": None, "waiting": []}


def test_progress_rises_and_is_spared(an_engine):
    events = []
    started = time.monotonic()
    an_engine.call("count", {"seconds": 1.5}, events.append)
    percents = [event["percent"] for event in events]
    assert percents == sorted(percents)
    assert len(events) <= 10 * (time.monotonic() - started) + 4  # a hundred were reported
    assert [event for event in events if event["stage"] == "training"][-1]["values"]["step"] == 49
    assert events[-1]["values"] == {"step": 99, "loss": None}
    assert events[0]["seconds_left"] is None
    assert 0 < events[len(events) // 2]["seconds_left"] < 5


def test_all_jobs_share_one_thread(an_engine):
    threads = {job.wait()["thread"] for job in [an_engine.start("count", {"seconds": 0.05}) for _ in range(3)]}
    assert len(threads) == 1


def test_what_json_does_not_have(an_engine):
    assert an_engine.call("values") == {
        "nan": None,
        "path": "a/b",
        "3": 1.5,
        "array": [0, 1, 2],
        "tuple": [1, 2],
    }


def test_prints_do_not_reach_the_protocol(an_engine):
    assert an_engine.call("noisy") == {"read": ""}
    assert an_engine.call("ping") == {"running": None, "waiting": []}
    assert not any(message.startswith("not an answer") for message in an_engine.messages)
    assert soon(lambda: any("many lines" in message for message in an_engine.messages), 2)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("own", "geometry-mismatch"),
        ("value", "internal"),
        ("exit", "internal"),
        ("no-json", "internal"),
        ("memory", "out-of-memory"),
        ("torch-cpu", "out-of-memory"),
        ("thread", "out-of-memory"),
        ("unread", "out-of-memory"),
        ("itk", "out-of-memory"),
        ("disk", "disk-full"),
        ("permission", "no-permission"),
        ("module", "package-missing"),
        ("gpu", "gpu-not-supported"),
    ],
)
def test_a_failed_job_ends_with_one_sentence_and_the_process_lives(an_engine, kind, code):
    error = refusal(an_engine, "fail", {"kind": kind})
    assert error.code == code
    assert error.sentence.endswith(".")
    assert not any(word in error.sentence for word in ("\n", "Traceback", "/ward", "patient-7"))
    assert an_engine.call("ping")["running"] is None


def test_a_full_gpu(an_engine):
    pytest.importorskip("torch")
    assert refusal(an_engine, "fail", {"kind": "torch-gpu"}).code == "gpu-out-of-memory"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "strict needs the parameter 'out'; add it."),
        ({"out": "x", "epochs": 0}, "The parameter 'epochs' of strict is 0, but it should be greater than"),
        (
            {"out": "x", "epochs": "many"},
            "The parameter 'epochs' of strict is 'many', but it should be a valid",
        ),
        ({"out": "x", "epoch": 3}, "strict has no parameter 'epoch'; leave it out or correct its name."),
        ({"out": "x", "cases": {"image": 3}}, "The parameter 'cases.image' of strict is 3, but it should be"),
        ({"out": "x", "cases": {"images": 3}}, "strict has no parameter 'cases.images'"),
    ],
)
def test_wrong_parameters(an_engine, parameters, words):
    error = refusal(an_engine, "strict", parameters)
    assert error.code == "bad-request"
    assert error.sentence.startswith(words)


def test_unknown_commands_and_wrong_controls(an_engine):
    for command, parameters in (("trian", {}), ("ping", {"x": 1}), ("cancel", {"target": 7})):
        assert refusal(an_engine, command, parameters).code == "bad-request"


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"protocol": 1, "id": "1", "command": "count", "parameters": {"seconds": NaN}}\n',
        b'{"protocol": 1, "id": "1", "command": "count", "parameters": {"seconds": 1e999}}\n',
        b'{"protocol": 1, "id": 7, "command": "count"}\n',
        b'{"protocol": 1, "command": "count"}\n',
        b'"' + b"x" * (17 * 1024 * 1024) + b'"\n',
    ],
)
def test_a_line_that_is_no_request(some_lines, line):
    some_lines.send(line)
    error = some_lines.receive()
    assert (error["id"], error["event"], error["code"]) == (None, "error", "bad-request")
    some_lines.send({"id": "after", "command": "ping"})
    assert some_lines.receive()["id"] == "after"


@pytest.mark.parametrize(
    "request_with_id",
    [
        {"command": 3},
        {"command": "count", "protocol": 2},
        {"command": "count", "parameters": []},
        {"extra": 1},
    ],
)
def test_a_wrong_request_is_refused_by_its_name(some_lines, request_with_id):
    some_lines.send({"id": "1", **request_with_id})
    error = some_lines.receive()
    assert (error["id"], error["code"]) == ("1", "bad-request")


def test_an_id_is_used_once_at_a_time(some_lines):
    some_lines.send({"id": "1", "command": "count", "parameters": {"seconds": 0.3}})
    some_lines.send({"id": "1", "command": "count"})
    assert some_lines.answer(None)["code"] == "bad-request"
    assert "result" in some_lines.answer("1")
    some_lines.send({"id": "1", "command": "count", "parameters": {"seconds": 0.1}})
    assert "result" in some_lines.answer("1")


@pytest.mark.parametrize(
    "second",
    [*({"command": name} for name in ("ping", "doctor", "cancel", "shutdown")), {"command": "cuont"}, {"command": 3}],
    ids=lambda second: str(second["command"]),
)
def test_whatever_is_asked_needs_an_id_of_its_own(some_lines, second):
    some_lines.send({"id": "1", "command": "count", "parameters": {"seconds": 0.5}})
    some_lines.send({"id": "1", **second})
    first = some_lines.answer(None)
    assert (first["id"], first["code"]) == (None, "bad-request")
    assert "result" in some_lines.answer("1"), "neither answered twice nor stopped"
    some_lines.send({"id": "1", "command": "ping"})
    assert some_lines.answer("1")["result"] == {"running": None, "waiting": []}


def test_the_doctors_requests_are_open_until_they_are_answered(some_lines):
    for _ in range(2):
        some_lines.send({"id": "1", "command": "doctor"})
    assert some_lines.receive()["id"] is None
    assert "checks" in some_lines.receive()["result"]
    some_lines.send({"id": "1", "command": "ping"})
    assert some_lines.receive()["id"] == "1"


def test_cancel_stops_the_running_and_the_waiting(an_engine):
    running, waiting, kept = (an_engine.start("count", {"seconds": s}) for s in (30, 30, 0.1))
    assert soon(lambda: an_engine.call("ping")["waiting"] == [waiting.id, kept.id], 2)
    started = time.monotonic()
    assert an_engine.cancel(waiting.id) == [waiting.id]
    with pytest.raises(EngineError, match="Cancelled") as caught:
        waiting.wait()
    assert caught.value.code == "cancelled"
    assert an_engine.cancel(running.id) == [running.id]
    with pytest.raises(EngineError, match="Cancelled"):
        running.wait()
    assert time.monotonic() - started < 2
    assert kept.wait()
    assert an_engine.cancel("never-asked") == []


def test_cancel_without_a_target_stops_all(an_engine):
    jobs = [an_engine.start("count", {"seconds": 30}) for _ in range(3)]
    assert sorted(an_engine.cancel()) == sorted(job.id for job in jobs)
    for job in jobs:
        with pytest.raises(EngineError, match="Cancelled"):
            job.wait()


def test_a_job_whose_modules_are_still_imported_is_cancelled_at_once(an_engine):
    job = an_engine.start("slow_to_import")
    assert soon(lambda: an_engine.call("ping")["running"] == job.id, 2)
    following = an_engine.start("imported_whole")
    started = time.monotonic()
    assert an_engine.cancel(job.id) == [job.id]
    with pytest.raises(EngineError) as caught:
        job.wait()
    assert caught.value.code == "cancelled"
    assert time.monotonic() - started < 1
    assert following.wait() == {"whole": True}, "no job meets an import half-way"
    thread = an_engine.call("slow_to_import")["thread"]
    assert thread == an_engine.call("count", {"seconds": 0.01})["thread"]


def test_a_job_that_cannot_be_imported_says_what_is_missing(an_engine):
    assert refusal(an_engine, "not_importable").code == "package-missing"
    assert an_engine.call("ping")["running"] is None


def test_training_is_cancelled_while_torch_is_imported():
    """The real engine, just started."""
    with EngineClient() as engine:
        job = engine.start("train", {"out": "never-made"})
        time.sleep(0.3)
        started = time.monotonic()
        assert engine.cancel(job.id) == [job.id]
        with pytest.raises(EngineError, match="Cancelled"):
            job.wait()
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("job", ["count", "deaf"])
def test_the_process_ends_with_its_input(some_lines, job):
    some_lines.send({"id": "1", "command": job, "parameters": {"seconds": 60}})
    time.sleep(0.2)
    some_lines.process.stdin.close()
    assert some_lines.process.wait(3) == 0


def test_a_request_right_before_the_end_is_answered(some_lines):
    some_lines.send(b'{"protocol": 1, "id": "1", "command": "ping"}')  # and no end of line
    some_lines.process.stdin.close()
    assert some_lines.receive()["id"] == "1"


def test_shutdown_is_answered_and_obeyed(some_lines):
    some_lines.send({"id": "job", "command": "count", "parameters": {"seconds": 60}})
    some_lines.send({"id": "end", "command": "shutdown"})
    assert some_lines.answer("end")["result"] == {}
    assert some_lines.answer("job")["code"] == "cancelled"
    assert some_lines.process.wait(3) == 0


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_process(some_lines, number):
    some_lines.send({"id": "job", "command": "count", "parameters": {"seconds": 60}})
    time.sleep(0.2)
    some_lines.process.send_signal(number)
    assert some_lines.answer("job")["code"] == "cancelled"
    assert some_lines.process.wait(3) == 128 + number


@posix
def test_the_process_does_not_outlive_its_parent():
    """The parent is killed; standard input stays open, since this test holds its other end."""
    start = f"""
import subprocess, time
engine = subprocess.Popen({TRIAL_ENGINE!r})
time.sleep(60)
"""
    pipe = subprocess.PIPE
    parent = subprocess.Popen([sys.executable, "-c", start], stdin=pipe, stdout=pipe)
    try:
        engine = json.loads(parent.stdout.readline())["pid"]
        parent.stdin.write(b'{"protocol": 1, "id": "1", "command": "deaf"}\n')
        parent.stdin.flush()
        time.sleep(0.2)
        assert alive(engine)
        parent.kill()
        parent.wait()
        assert soon(lambda: not alive(engine), 3)
    finally:
        parent.kill()
        parent.stdin.close()
        parent.stdout.close()


def test_answers_wait_for_a_slow_reader(some_lines):
    """More answers than a pipe holds, read only after all the questions were sent."""
    questions = 3000

    def ask() -> None:
        for i in range(questions):
            some_lines.send({"id": str(i), "command": "ping"})

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    assert [some_lines.receive()["id"] for _ in range(questions)] == [str(i) for i in range(questions)]
    asking.join()
