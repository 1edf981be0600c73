"""What `verify` says of review logs: damage is found and named, and nothing else is called damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.reliability import damaged_logs
from benchmarks.reliability.small_cases import region
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.review import log as review_log
from DALESegmentLib.engine.review.log import HEADER, open_log, read_history, read_log
from DALESegmentLib.engine.review.log_lines import START, count_file, make_line, read_count
from DALESegmentLib.engine.review.readers import Reader
from DALESegmentLib.engine.review.verify import verify_folder, verify_log

ANNA, BEN = Reader("Anna", "radiologist", "1.2"), Reader("Ben", "resident", "1.2")
DALESEGMENT = (sys.executable, "-m", "DALESegmentLib.engine")


def written(path: Path, decisions: int = 3, reader: Reader = ANNA) -> Path:
    with open_log(path) as log:
        for n in range(decisions):
            log.decide(region(n), "confirmed", reader)
    return path


def test_every_damage_is_found_and_no_whole_log_is_called_damaged(tmp_path):
    outcome = damaged_logs.run(tmp_path, 80, seed=19)
    assert outcome.found == outcome.damaged == dict.fromkeys(damaged_logs.DAMAGES, 20)
    assert outcome.alarms == []
    assert outcome.whole == dict.fromkeys(damaged_logs.ACCIDENTS, 20)


def test_it_says_what_holds_since_when_and_by_whom(tmp_path):
    path = tmp_path / "review.log"
    with open_log(path) as log:
        log.decide(region(1), "confirmed", ANNA)
        log.decide(region(2), "unsure", BEN)
    told = verify_log(path)
    first, last = (d.at[:16].replace("T", " ") for d in read_log(path).standing.values())
    assert told.sentence == f"review.log holds: 2 entries from {first} to {last} UTC by Anna, Ben."


def test_it_names_the_line(tmp_path):
    path = written(tmp_path / "review.log", 4)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3].replace(b"confirmed", b"corrected"), *lines[4:]]))
    told = verify_log(path)
    assert (told.bad_line, told.lines) == (4, 3)
    assert "line 4 is not as it was written" in told.sentence
    assert "what stands before it holds: 2 entries" in told.sentence


def test_whole_lines_cut_off_the_end_are_counted(tmp_path):
    path = written(tmp_path / "review.log", 5)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert len(read_log(path).standing) == 3  # the chain alone holds
    assert "2 of the 6 lines that review.log.count beside it counts are missing" in verify_log(path).sentence


def test_a_cut_stays_known_after_the_log_went_on(tmp_path):
    path = written(tmp_path / "review.log", 5)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    written(path, 4)
    assert "it had 4 lines, after 6 lines" in verify_log(path).sentence


@pytest.mark.parametrize("what", ["gone", "changed", "empty"])
def test_a_count_that_is_gone_or_changed_is_found(what, tmp_path):
    path = written(tmp_path / "review.log")
    beside = count_file(path)
    if what == "gone":
        beside.unlink()
    else:
        beside.write_bytes(b"" if what == "empty" else beside.read_bytes().replace(b'"lines":4', b'"lines":3'))
    assert not verify_log(path).holds
    written(path)  # and what opens it says so for ever
    assert not verify_log(path).holds
    assert len(read_log(path).standing) == 3


def test_a_count_that_cannot_be_read_is_said(tmp_path):
    path = tmp_path / "a.log"
    with open_log(path) as log:
        log.decide(region(1), "confirmed", ANNA)
    count = path.with_name("a.log.count")
    count.unlink()
    count.mkdir()
    assert "does not hold: a.log.count beside it cannot be read (" in verify_log(path).sentence


def test_a_log_that_is_gone_altogether_is_found_by_its_count(tmp_path):
    written(tmp_path / "deep" / "review.log").unlink()
    (told,) = verify_folder(tmp_path)
    assert told.sentence == "deep/review.log does not hold: it is gone."


def test_a_log_of_a_version_without_counts_holds_with_what_cannot_be_seen(tmp_path):
    path = tmp_path / "review.log"
    first, _ = make_line(HEADER, START)
    path.write_bytes(first)
    assert "cannot be seen" in verify_log(written(path)).sentence
    assert verify_log(path).holds
    assert read_count(path) is None


def test_a_log_and_its_count_written_anew_are_found_by_what_was_kept_elsewhere(tmp_path):
    path = written(tmp_path / "review.log")
    kept = verify_folder(tmp_path)[0]
    path.unlink()
    count_file(path).unlink()
    written(path, 6, BEN)
    assert verify_log(path).holds
    known = {kept.file: review_log.Count(kept.lines, kept.checksum)}
    assert "line 4 is another one than what was kept of it elsewhere says" in verify_folder(tmp_path, known)[0].sentence


def test_other_files_are_no_logs(tmp_path):
    (tmp_path / "training.log").write_text("epoch 1\n")
    with pytest.raises(EngineError, match="No review log lies in"):
        verify_folder(tmp_path)


def test_a_case_that_is_signed_off_takes_no_decision_until_it_is_reopened(tmp_path):
    path = tmp_path / "review.log"
    with open_log(path) as log:
        number = log.decide(region(1), "confirmed", ANNA)
        log.sign_off("case0", 4, ANNA)
        for act in (
            lambda: log.decide(region(2), "confirmed", ANNA),
            lambda: log.undo(number),
            lambda: log.sign_off("case0", 5, ANNA),
        ):
            with pytest.raises(EngineError, match=r"case0 was signed off by Anna at .* reopen it with"):
                act()
        before = path.read_bytes()
        log.reopen("case0", ANNA, "a second look")
        assert path.read_bytes().startswith(before)
        log.decide(region(2), "corrected", ANNA, reason="missed the rim")
        log.sign_off("case0", 3, ANNA, "the rim")
    history = read_history(path)
    assert [(s.score, s.reason) for s in history.sign_offs.values()] == [
        (4, ""),
        (None, "a second look"),
        (3, "the rim"),
    ]
    assert read_log(path).signed["case0"].score == 3
    assert [(d.reader, d.reason) for d in read_log(path).standing.values()] == [(ANNA, ""), (ANNA, "missed the rim")]
    assert verify_log(path).holds


@pytest.mark.slow
def test_the_command_ends_with_1_where_a_log_does_not_hold(tmp_path):
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*DALESEGMENT, "verify", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)

    path = written(tmp_path / "reviews" / "a.log")
    written(tmp_path / "reviews" / "b.log", 2, BEN)
    done = run(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    (tmp_path / "kept.json").write_text(done.stdout)
    assert [log["holds"] for log in json.loads(done.stdout)["logs"]] == [True, True]
    assert run(tmp_path, "--against", tmp_path / "kept.json").returncode == 0
    path.write_bytes(path.read_bytes().replace(b"Anna", b"Bert", 1))
    done = run(tmp_path)
    assert done.returncode == 1
    assert "reviews/a.log does not hold: line 2 is not as it was written" in done.stdout
    assert "reviews/b.log holds: 2 entries" in done.stdout
    assert "no key" in done.stdout
    for arguments, sentence in (
        ((tmp_path / "none",), "none is not there; check its name and place."),
        ((tmp_path, "--against", path), "a.log cannot be read"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


def test_of_two_readers_in_one_log_each_has_decisions_of_their_own(tmp_path):
    """As in the log of Slicer's panel, where the last decision about a region stands, whoever made it."""
    path = tmp_path / "review.log"
    with open_log(path) as log:
        log.decide(region(1), "confirmed", ANNA)
        log.decide(region(1), "corrected", BEN)
        log.sign_off("case0", 2, BEN)
    history = read_history(path)
    assert [d.verdict for d in history.state().standing.values()] == ["corrected"]
    assert [d.verdict for d in history.state("Anna").standing.values()] == ["confirmed"]
    assert history.state("Anna").signed == {}
    assert history.state("Ben").signed["case0"].score == 2
