"""The colours of the heat map, explained in the panel."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from DALESegmentLib.engine.io.terminology import CONFIDENCE_RAMP


def showLegend(label: Any) -> None:
    """Paint a label with the ramp, its two ends named."""
    stops = ", ".join(f"stop:{at:.2f} rgb({_byte(r)}, {_byte(g)}, {_byte(b)})" for at, r, g, b in CONFIDENCE_RAMP)
    label.setText(_("0  doubtful") + "  →  " + _("sure  1"))
    # Text in black on the bright half, in both themes: the ramp does not change with the theme.
    label.setStyleSheet(
        f"QLabel {{ background: qlineargradient(x1:0, y1:0, x2:1, y2:0, {stops}); color: black; padding: 2px; "
        "qproperty-alignment: AlignCenter; }"
    )


def _byte(value: float) -> int:
    return round(255 * value)
