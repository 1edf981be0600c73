"""The review log: nothing that was confirmed is ever lost, and what is rebuilt from it is what was."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.io.case import image_fingerprint
from DALESegmentLib.engine.review import log as review_log
from DALESegmentLib.engine.review.log import load_state, open_log, read_log, save_state
from DALESegmentLib.engine.review.reviewed_voxels import TrustedVoxels

SHAPE = (3, 4, 5)
IMAGE = np.arange(60, dtype=np.float32).reshape(1, *SHAPE)
PRINT = image_fingerprint(IMAGE)


def region(case: str = "a", centre=(1, 2, 0), value: int = 1) -> Region:
    return Region(
        1, case, 1, value, "lesion", "extra", 0, 8, 8.0, 0.1, 0.0, 5.0, (1.0, 2.0, 0.0), centre, centre, centre
    )


def voxels(seed: int) -> TrustedVoxels:
    random = np.random.default_rng(seed)
    return TrustedVoxels.of(random.random(SHAPE) < 0.3, random.integers(0, 3, SHAPE), PRINT)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("decide"),
            st.sampled_from("ab"),
            st.integers(0, 2),
            st.sampled_from(["confirmed", "corrected", "unsure", "open"]),
            st.one_of(st.none(), st.integers(0, 99)),
        ),
        st.tuples(st.just("edit"), st.sampled_from("ab"), st.integers(0, 99)),
        st.tuples(st.just("undo"), st.integers(1, 12)),
    ),
    max_size=12,
)


def do(log: review_log.ReviewLog, step: tuple) -> bool:
    """Whether something was written."""
    if step[0] == "decide":
        _, case, centre, verdict, seed = step
        log.decide(region(case, (centre, 0, 0)), verdict, "reader 1", None if seed is None else voxels(seed))
    elif step[0] == "edit":
        log.note_edit(step[1], "reader 2", voxels(step[2]))
    else:
        if step[1] not in log.state.standing:
            return False
        log.undo(step[1])
    return True


@settings(max_examples=60, deadline=None)
@given(steps, st.floats(0, 1))
def test_whatever_a_crash_leaves_the_state_of_the_whole_lines_is_rebuilt(tmp_path_factory, history, share):
    """Random histories, cut at a random byte: the state after the last line that is whole, and the log goes on."""
    folder = tmp_path_factory.mktemp("log")
    path = folder / "review.log"
    with open_log(path) as log:
        states = [(path.stat().st_size, log.state)]
        states += [(path.stat().st_size, log.state) for step in history if do(log, step)]
        save_state(log.state, folder / "state.json")
    assert read_log(path) == states[-1][1] == load_state(folder / "state.json")

    cut = int(share * path.stat().st_size)
    os.truncate(path, cut)
    expected = next((state for size, state in reversed(states) if size <= cut), states[0][1])
    assert read_log(path) == expected
    with open_log(path) as log:
        assert log.state == expected
        log.decide(region(), "confirmed", "reader 1", voxels(7))
        after = log.state
    assert read_log(path) == after
    for case in "ab":  # and with the states the voxels
        mine, theirs = (state.trusted(case, PRINT, SHAPE) for state in (after, read_log(path)))
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_decision(tmp_path_factory, place, change):
    path = tmp_path_factory.mktemp("log") / "review.log"
    with open_log(path) as log:
        for n in range(3):
            log.decide(region(centre=(n, 0, 0)), "confirmed", "reader 1")
        whole = log.state
    data = bytearray(path.read_bytes())
    place %= len(data)
    data[place] ^= change
    path.write_bytes(data)
    if place == len(data) - 1:  # the last line then looks like one that a crash cut short
        assert list(read_log(path).standing.values()) == list(whole.standing.values())[:-1]
    else:
        with pytest.raises(EngineError, match="is damaged"):
            read_log(path)
    assert path.read_bytes() == bytes(data)


def test_a_line_in_the_middle_cannot_be_taken_out(tmp_path):
    path = tmp_path / "review.log"
    with open_log(path) as log:
        for n in range(3):
            log.decide(region(centre=(n, 0, 0)), "confirmed", "reader 1")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(EngineError, match="line 3 is not as it was written"), open_log(path):
        pass
    assert path.read_bytes() == b"".join(lines[:2] + lines[3:])


def test_the_last_decision_about_a_region_stands_and_its_voxels_with_it(tmp_path):
    with open_log(tmp_path / "review.log") as log:
        first = log.decide(region(), "confirmed", "reader 1", voxels(1))
        with pytest.raises(EngineError, match="Decision 7 is not there"):
            log.undo(7)
        trusted, label = log.state.trusted("a", PRINT, SHAPE)
        assert trusted.any()
        assert np.array_equal(TrustedVoxels.of(trusted, label, PRINT).runs, voxels(1).runs)
        second = log.decide(region(), "unsure", "reader 1")
        assert not log.state.trusted("a", PRINT, SHAPE)[0].any()
        log.undo(second)
        assert np.array_equal(log.state.trusted("a", PRINT, SHAPE)[0], trusted)
        assert log.state.verdicts("a") == {(1, "extra", (1, 2, 0)): "confirmed"}
        assert not log.state.trusted("a", "another image", SHAPE)[0].any()
        log.undo(first)
        assert log.state.standing == {}


def test_a_clock_that_jumps_changes_no_order(tmp_path):
    times = iter(datetime(2030, 1, 1, tzinfo=timezone.utc) - n * timedelta(days=400) for n in range(9))
    with open_log(tmp_path / "review.log", clock=lambda: next(times)) as log:
        log.decide(region(), "confirmed", "reader 1")
        log.decide(region(), "unsure", "reader 1")
    (decision,) = read_log(tmp_path / "review.log").standing.values()
    assert (decision.verdict, decision.at) == ("unsure", "2028-11-27T00:00:00+00:00")


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    """The system's own refusal, half-way through the line."""
    path = tmp_path / "review.log"
    with open_log(path) as log:
        log.decide(region(), "confirmed", "reader 1")
        before = path.read_bytes()

        def fails(file, line):
            file.write(line[: len(line) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(review_log, "_write", fails)
            with pytest.raises(EngineError) as caught:
                log.decide(region(), "unsure", "reader 1")
        assert caught.value.code == "disk-full"
        assert path.read_bytes() == before
        log.decide(region(), "corrected", "reader 1")
    assert list(read_log(path).verdicts("a").values()) == ["corrected"]


def test_what_a_failed_write_left_is_cut_off_before_the_next_line(tmp_path, monkeypatch):
    """A disk that takes half a line, and then not even the cutting off."""

    class Gone:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def truncate(self, _size):
            raise OSError(errno.EIO, "the disk is gone")

    def half(file, line):
        file.write(line[: len(line) // 2])
        file.flush()
        raise OSError(errno.EIO, "the disk is gone")

    with open_log(tmp_path / "a.log") as log:
        log.decide(region("a"), "confirmed", "me")
        with monkeypatch.context() as patched:
            patched.setattr(review_log, "_write", half)
            patched.setattr(log, "_file", Gone(log._file))
            with pytest.raises(EngineError):
                log.decide(region("b"), "confirmed", "me")
        log.decide(region("c"), "unsure", "me")
    assert [d.case for d in read_log(tmp_path / "a.log").standing.values()] == ["a", "c"]


def test_two_programs_never_write_into_one_log(tmp_path):
    with open_log(tmp_path / "review.log"):
        with pytest.raises(EngineError, match=f"process {os.getpid()} ") as caught, open_log(tmp_path / "review.log"):
            pass
        assert caught.value.code == "review-in-use"
    with open_log(tmp_path / "review.log"):
        pass


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from test_review_log import open_log, region, voxels
with open_log(sys.argv[1]) as log:
    for n in range(10**6):
        print(log.decide(region(centre=(n, 0, 0)), "confirmed", "reader 1", voxels(n % 50)), flush=True)
"""


@pytest.mark.parametrize("told", [1, 40])
def test_killed_at_any_moment_it_has_every_decision_that_was_told(told, tmp_path):
    path, repository = tmp_path / "review.log", Path(__file__).parents[3]
    command = [sys.executable, "-c", WRITER, str(path), str(repository), str(Path(__file__).parent)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    for _ in range(told):
        writer.stdout.readline()
    writer.kill()
    confirmed = told + len(writer.stdout.read().splitlines())
    writer.wait()
    with open_log(path) as log:  # and the lock it left keeps nobody out
        assert confirmed <= len(log.state.standing) <= confirmed + 1


def test_what_is_no_review_log_is_refused_and_kept(tmp_path):
    path = tmp_path / "review.log"
    for content in (b"my notes\n", b"\0" * 100 + b"\n", b"{}\n"):
        path.write_bytes(content)
        with pytest.raises(EngineError, match="damaged"), open_log(path):
            pass
        assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_said_to_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="could not be written"), open_log(tmp_path / "file" / "review.log"):
        pass
