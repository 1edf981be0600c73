"""The module's window on the practice case, with the real engine behind it: for pictures and measurements."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "DALESegment")]

import standin  # noqa: E402
from PySide6.QtCore import QSettings  # noqa: E402
from slicer_window import click, close, open_module, wait_until  # noqa: E402

LIMIT = 400  # seconds a step may take


@contextmanager
def practice_window() -> Iterator[Any]:
    """The module's widget object; `case` holds its image and segmentation."""
    with tempfile.TemporaryDirectory() as folder:
        standin.install(Path(folder))
        import slicer

        import DALESegment  # noqa: F401  (puts the library on the path)
        from DALESegmentLib.mrml.practice_case import addPracticeCase

        slicer.app.temporaryPath = folder
        slicer.app.slicerUserSettingsFilePath = str(Path(folder) / "settings" / "Slicer.ini")
        QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(Path(folder) / "settings"))
        slicer.app.selected = []
        case = addPracticeCase()
        widget = open_module()
        widget.case = case
        try:
            yield widget
        finally:
            close(widget)


def step(widget: Any, button: Any) -> str:
    """Click, wait for the end; what the panel says then."""
    click(button)
    finish(widget)
    return widget.ui.statusLabel.text


def finish(widget: Any) -> None:
    """Wait until nothing runs any more."""
    if not wait_until(lambda: not widget.logic.workflow.busy, LIMIT):
        raise TimeoutError(widget.ui.statusLabel.text)
    if standin.slot_errors:
        raise RuntimeError("\n".join(standin.slot_errors))


def correct_worst_region(widget: Any) -> Any:
    """As a reader would: the listed region that the label got most wrong is redrawn as it is; returns the region."""
    import numpy as np
    import slicer

    from DALESegmentLib.mrml.practice_case import practiceLabels

    truth, drawn = practiceLabels()
    review = widget.logic.workflow.review
    regions = review.regions()
    if not regions:
        raise RuntimeError("The model found no doubtful region; give the training more minutes.")
    places = review.regionMap()
    region = max(regions, key=lambda r: (truth != drawn)[places == r.region_id].mean())
    image, segmentation = widget.case
    place = places == region.region_id
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    now = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, image) > 0
    label = np.where(place, truth, now).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, segment, image)
    return region
