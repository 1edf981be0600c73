"""Draw docs/images/panel.png: the module's panel after a review, with the real engine behind it.

python Testing/ui/draw_panel.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "DALESegment"))

import standin  # noqa: E402
from slicer_window import click, click_row, open_module, picture, wait_until  # noqa: E402


def draw(target: Path) -> Path:
    """Train on the module's own test case, list the doubtful regions, choose the first, take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        standin.install(Path(folder))
        import slicer

        import DALESegment

        slicer.app.temporaryPath = folder
        DALESegment.DALESegmentTest().makeCase()
        widget = open_module()
        widget.logic.workflow.state.minutes = 0.5
        for button in (widget.ui.trainButton, widget.ui.regionsButton):
            click(button)
            if not wait_until(lambda: not widget.logic.workflow.busy, 300):
                raise TimeoutError(widget.ui.statusLabel.text)
        click_row(widget.ui.regionsTable, 0)
        widget.ui.modelEdit.currentPath = "model-1"  # not this machine's temporary folder
        picture(widget, target)
        widget.cleanup()
    return target


if __name__ == "__main__":
    print(draw(REPOSITORY / "docs" / "images" / "panel.png"))
