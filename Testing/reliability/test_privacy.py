"""No patient's name, identifier, date or path in anything but the answer to who asked for it."""

from __future__ import annotations

import pytest

from benchmarks.reliability import privacy
from DALESegmentLib.engine.commands.doctor import report
from DALESegmentLib.engine.rpc.error_messages import crash_report

pytestmark = pytest.mark.slow


def test_planted_identifiers_are_found_nowhere(tmp_path):
    assert privacy.run(tmp_path) == []
    assert list((tmp_path / f"{privacy.MARK}PATH" / "out").rglob("bundle/models/model.pt"))
    assert list((tmp_path / f"{privacy.MARK}PATH" / "out" / "review").rglob("regions.csv"))


def test_the_search_finds_what_is_planted(tmp_path):
    privacy._series(tmp_path / "case", seed=0)
    (dicom, *_) = sorted((tmp_path / "case" / "image").iterdir())
    assert privacy._holds(dicom.read_bytes())


def test_a_crash_report_has_the_place_and_nothing_of_the_data():
    name = "/ward/Doe^John/scan.nii"
    try:
        try:
            raise OSError(28, "No space left on device", name)
        except OSError as error:
            raise ValueError(f"{name} is broken") from error
    except ValueError as error:
        text = crash_report(error)
    assert "Doe" not in text
    assert "ward" not in text
    assert "builtins.OSError (errno 28)" in text
    assert "builtins.ValueError" in text
    assert "test_privacy.py, line " in text


def test_the_report_takes_paths_out():
    text = report(
        [{"name": "Disk", "ok": False, "value": "3 GB free in /cases/doe/data, X:\\Cases\\Doe", "advice": ""}]
    )
    assert "Doe" not in text
    assert "doe" not in text
    assert "| Disk | (!) 3 GB free in [path], [path] |" in text
