"""Data, Advanced: several raters' labels of the cases of a folder, and how each rater draws."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from .signals import connect
from .workflow import Workflow

HEADINGS = (_("Rater"), _("Cases"), _("Bias"), _("95 %"), _("Noise"), _("Dice"), _("Conf."))
ROW_HEIGHT = 21
MOST_ROWS = 6  # in sight; there is a scroll bar


class RatersPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._shown: list[tuple[str, ...]] = []
        table = ui.ratersTable
        table.setColumnCount(len(HEADINGS))
        table.setHorizontalHeaderLabels(list(HEADINGS))
        table.verticalHeader().setVisible(False)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.visible = False
        connect(ui.ratersButton, "clicked()", self._compare)

    def refresh(self) -> None:
        ui, workflow = self._ui, self._workflow
        folder = workflow.state.source.name == "folder"
        ui.ratersEdit.enabled = folder
        ui.ratersButton.enabled = folder and bool(workflow.state.casesFolder) and not workflow.busy
        rows = [_cells(row) for row in workflow.raters]
        if rows != self._shown:
            self._shown = rows
            self._fill(rows)
        ui.ratersTable.visible = bool(rows)

    def _compare(self) -> None:
        """Without a training, from the labels alone."""
        workflow = self._workflow
        cases = workflow.folderCases()
        if not cases.get("rater"):
            raise EngineError("no-raters", _("Say under Raters whose labels to compare: all, or names such as r1,r2."))

        def done(answer: dict[str, Any]) -> None:
            workflow.raters = answer["raters"]
            workflow.onMessage("\n".join(answer["sentences"]))

        workflow.request("raters", {"cases": cases}, done)

    def _fill(self, rows: list[tuple[str, ...]]) -> None:
        table = self._ui.ratersTable
        table.setRowCount(len(rows))
        for n, cells in enumerate(rows):
            for column, text in enumerate(cells):
                table.setItem(n, column, qt.QTableWidgetItem(text))
        table.setFixedHeight((min(len(rows), MOST_ROWS) + 1) * ROW_HEIGHT + 8)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """bias and noise in mm; in pixels where the images have no spacing."""
    short = "mm" if "bias_mm" in row else "px"

    def number(key: str, form: str) -> str:
        return "–" if row.get(key) is None else format(row[key], form)

    between = f"{number(f'low_{short}', '+.2f')} … {number(f'high_{short}', '+.2f')}"
    bias, noise = f"{number(f'bias_{short}', '+.2f')} {short}", f"{number(f'noise_{short}', '.2f')} {short}"
    return (
        str(row["rater"]),
        str(row["cases"]),
        bias,
        between,
        noise,
        number("dice", ".2f"),
        number("confidence", ".2f"),
    )
