"""The practice case with the real engine: its four errors are four rows, and each is put right by two keys at most."""

from __future__ import annotations

import numpy as np
import pytest
from slicer_window import click, close, open_module, press, states, wait_until

pytestmark = pytest.mark.slow
HALF_A_MINUTE = 0.5


@pytest.fixture
def listed(desktop, tmp_path):
    """Trained for half a minute, the heat map shown, the errors listed."""
    import slicer

    slicer.mrmlScene.Clear(True)
    slicer.app.temporaryPath = str(tmp_path)
    slicer.app.slicerUserSettingsFilePath = str(tmp_path / "settings" / "Slicer.ini")
    import DALESegment  # noqa: F401  (puts the library on the path)
    from DALESegmentLib.mrml.practice_case import addPracticeCase

    case = addPracticeCase()
    widget = open_module()
    widget.case = case
    workflow, ui = widget.logic.workflow, widget.ui
    workflow.state.minutes, workflow.state.refreshAtOnce = HALF_A_MINUTE, False
    for button in (ui.trainButton, ui.confidenceButton, ui.regionsButton):
        click(button)
        assert wait_until(lambda: not workflow.busy, 300), ui.statusLabel.text
    yield widget
    close(widget)
    slicer.mrmlScene.Clear(True)


def test_four_errors_are_right_after_ten_keys_at_most(listed):
    import slicer

    from DALESegmentLib.engine.dale.review_rows import is_below_line
    from DALESegmentLib.mrml.practice_case import practiceLabels

    truth, drawn = practiceLabels()
    rows = [row for row in listed.logic.workflow.review.regions() if not is_below_line(row)]
    assert sorted(row.suspicion for row in rows) == ["extra", "missing", "too large", "too small"]
    for key in ("N", *["BracketRight", "A"] * 4):
        press(listed, key)
    assert states(listed).count("open") == sum(
        len(row.pieces) + 1 if row.pieces else 1 for row in listed.logic.workflow.review.regions()[4:]
    )
    image, segmentation = listed.case
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    now = np.array(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, image)) > 0

    def dice(label):
        return 2 * (label & truth).sum() / (label.sum() + truth.sum())

    assert dice(drawn) < 0.78
    assert dice(now) > 0.98
