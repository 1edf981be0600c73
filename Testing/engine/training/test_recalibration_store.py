"""What review found is kept with the run, and a damaged file is said, not guessed around."""

from __future__ import annotations

import pytest

from DALESegmentLib.engine.bundle.run_folder import RECALIBRATION_FILE
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.quality import Recalibration
from DALESegmentLib.engine.training.validation import load_recalibration, save_recalibration

KNOWN = Recalibration((0.5,) * 11, (0.25,) * 11)


def test_it_comes_back_as_it_was(tmp_path):
    save_recalibration(tmp_path, KNOWN)
    assert load_recalibration(tmp_path) == KNOWN


def test_without_a_review_there_is_no_file(tmp_path):
    save_recalibration(tmp_path, Recalibration())
    assert list(tmp_path.iterdir()) == []
    assert load_recalibration(tmp_path) == Recalibration()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"looks": [1]}', '{"looks": [1], "right": [1]}', '{"looks": 3, "right": 4}']
)
def test_a_damaged_file_is_told(text, tmp_path):
    (tmp_path / RECALIBRATION_FILE).write_text(text)
    with pytest.raises(EngineError) as error:
        load_recalibration(tmp_path)
    assert error.value.code == "unreadable-file"
