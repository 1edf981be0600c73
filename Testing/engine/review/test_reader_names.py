"""Neither case nor spaces make two readers of one."""

from __future__ import annotations

import hashlib

import pytest

from DALESegmentLib.engine.commands.agreement import readers_in
from DALESegmentLib.engine.review.log import open_log, read_history
from DALESegmentLib.engine.review.readers import Reader, file_stem, reader_log, same_reader


@pytest.mark.parametrize("other", ["dr a", " Dr A ", "DR  A", "Dr\tA"])
def test_spellings_of_one_name_are_one_reader(other, tmp_path):
    assert same_reader("Dr A", other)
    assert reader_log(tmp_path, "Dr A") == reader_log(tmp_path, other)


@pytest.mark.parametrize("other", ["Dr B", "DrA", "Dr Å", "Dr-A"])
def test_other_names_are_other_readers(other):
    assert not same_reader("Dr A", other)
    assert file_stem("Dr A") != file_stem(other)


def test_a_log_that_an_earlier_version_named_goes_on(tmp_path):
    before = f"dr-a-{hashlib.blake2b(b'Dr A', digest_size=4).hexdigest()}.log"
    file = tmp_path / "reviews" / before
    with open_log(file):
        pass
    assert reader_log(tmp_path, "Dr A") == file


def test_a_history_knows_both_spellings(tmp_path):
    with open_log(tmp_path / "one.log") as log:
        log.sign_off("case", 4, Reader("Dr A", "radiologist", "1"))
        log.reopen("case", Reader("dr a", "radiologist", "1"), "the tail")
        log.sign_off("case", 5, Reader("dr a ", "radiologist", "1"), "drawn now")
    history = read_history(tmp_path / "one.log")
    assert readers_in([history]) == ["Dr A"]
    assert history.state("DR A").signed["case"].score == 5
    assert not history.state("Dr B").signed
