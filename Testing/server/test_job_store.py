"""The queue on its own: turns, ends, and what a new process finds."""

from __future__ import annotations

import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.server.job_store import JobStore


@pytest.fixture
def store(tmp_path) -> JobStore:
    store = JobStore(tmp_path / "jobs.sqlite")
    yield store
    store.close()


def add(store, *names: str) -> None:
    for name in names:
        store.add(name[0], name, "inspect", {}, 100)


def test_users_take_turns_whoever_asked_for_most(store):
    add(store, "a1", "a2", "a3", "a4", "b1", "c1", "b2")
    order = []
    while job := store.take():
        order.append(job.id)
        store.end(job, "done", {})
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_a_user_has_one_job_at_a_time(store):
    add(store, "a1", "a2", "b1")
    assert [store.take().id, store.take().id, store.take()] == ["a1", "b1", None]


def test_a_job_ends_once(store):
    add(store, "a1")
    job = store.take()
    assert store.end(job, "done", {"event": "result"})
    assert not store.end(job, "failed", {"event": "error"})
    store.again(job)
    assert store.get("a", "a1").state == "done"
    assert store.take() is None


def test_what_ran_is_found_by_the_next_process_and_begun_again_at_its_place(store, tmp_path):
    add(store, "a1", "a2")
    first = store.take()
    other = JobStore(tmp_path / "jobs.sqlite")  # the first is not closed, as after kill -9
    (found,) = other.running()
    other.again(found)
    again = other.take()
    assert (again.id, again.attempts) == (first.id, 2)
    other.again(again, counted=False)
    assert other.take().attempts == 2
    other.close()


def test_limits_and_ids(store):
    store.add("a", "1", "inspect", {"x": 1}, 1)
    assert store.add("a", "1", "inspect", {"x": 1}, 1).number == 1
    for id, parameters, code in (("1", {"x": 2}, "same-id"), ("2", {}, "too-many")):
        with pytest.raises(EngineError) as caught:
            store.add("a", id, "inspect", parameters, 1)
        assert caught.value.code == code
    with pytest.raises(EngineError, match="no such job"):
        store.get("b", "1")
