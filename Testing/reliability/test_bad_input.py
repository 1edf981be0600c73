"""Bad input of every kind: answered by a code and a sentence, quickly, in little memory, with nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability import bad_input

pytestmark = pytest.mark.slow

SLOWEST_SECONDS = 5.0
MOST_MEMORY = 2 * 2**30


def test_a_part_of_the_corpus_is_refused_or_handled_right():
    """Every 23rd piece, of every kind; `make bench-reliability` tries all."""
    outcome = bad_input.run(every=23)
    assert outcome.wrong == []
    assert outcome.entries > 20
    assert outcome.refused > outcome.right > 0
    assert outcome.slowest_processor < SLOWEST_SECONDS, outcome.slowest_name
    assert outcome.peak_bytes < MOST_MEMORY


def test_the_corpus_is_large(tmp_path):
    """Counted without the bombs and the 40 MB lines, which take their time to make."""
    entries = 0
    for source in bad_input.SOURCES:
        if source.__name__ in ("bombs", "no_requests"):
            continue
        folder = Path(tmp_path / source.__name__)
        folder.mkdir()
        entries += sum(1 for _ in source(folder))
    assert entries > 600
