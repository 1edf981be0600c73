"""Cases: the worklist, its verdicts and its keys."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..engine.review.readers import SignOff, same_reader
from . import folders
from .reader import currentReader
from .review_keys import ReviewKeys
from .signals import connect
from .workflow import Workflow
from .worklist import VERDICTS, Worklist, WorklistCase

HEADINGS = (_("Case"), _("Verdict"), _("Time"), _("Keys"), _("Also read by"))
ROW_HEIGHT = 22


class WorklistPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self.worklist = Worklist(workflow)
        self._entered = False
        self._shown: list[tuple[str, ...]] = []
        actions = {
            "acceptCase": lambda: self.worklist.decide("accepted"),
            "reviseCase": lambda: self.worklist.decide("revise"),
            "nextCase": lambda: self.worklist.move(1),
            "previousCase": lambda: self.worklist.move(-1),
        }
        for sender, signal, slot in (
            (ui.worklistFolderButton, "clicked()", self._openFolder),
            (ui.worklistSceneButton, "clicked()", self.worklist.openScene),
            (ui.acceptCaseButton, "clicked()", actions["acceptCase"]),
            (ui.reviseCaseButton, "clicked()", actions["reviseCase"]),
            (ui.worklistTable, "cellDoubleClicked(int,int)", self._choose),
            (ui.keysCheckBox, "toggled(bool)", self._matchKeys),
        ):
            connect(sender, signal, slot)
        table = ui.worklistTable
        table.setColumnCount(len(HEADINGS))
        table.setHorizontalHeaderLabels(list(HEADINGS))
        table.verticalHeader().setVisible(False)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        table.setMaximumHeight(8 * ROW_HEIGHT)
        self._keys = ReviewKeys(slicer.util.mainWindow() or ui.worklistTable, actions, self.countKey)

    def refresh(self) -> None:
        ui, worklist = self._ui, self.worklist
        free, open = not self._workflow.busy, bool(worklist.cases)
        ui.worklistFolderButton.enabled = ui.worklistSceneButton.enabled = free
        ui.worklistCollapsibleButton.visible = open
        ui.acceptCaseButton.enabled = ui.reviseCaseButton.enabled = free and worklist.case is not None
        lines = [worklist.summary(), *worklist.unusable[:3]] if open else []
        if open and worklist.writesSegmentations:
            lines.append(_("Written into “{folder}”.").format(folder=worklist.out))
        if open and not same_reader(worklist.reader, currentReader(self._workflow.state).name):
            text = _("Opened by {name}; open the list again to read it yourself.")
            lines.append(text.format(name=worklist.reader or "–"))
        if worklist.case is not None:
            lines.append(_("Y accept · X to be revised · Shift+N next · Shift+P previous"))
        ui.worklistLabel.setText("\n".join(lines))
        self._showTable()
        self._matchKeys()

    def entered(self) -> None:
        self._entered = True
        self._matchKeys()

    def left(self) -> None:
        self._entered = False
        self._matchKeys()

    def close(self) -> None:
        """Slicer quits or the module is reloaded."""
        self._keys.remove()

    def signed(self, signed: SignOff | None) -> None:
        """The case at hand was signed off, or opened again."""
        self.worklist.sign(0 if signed is None or signed.score is None else signed.score)

    def countKey(self) -> None:
        """A key of the review was pressed."""
        if self.worklist.case is not None:
            self.worklist.countKey()

    def _matchKeys(self) -> None:
        on = self._entered and self._ui.keysCheckBox.checked and self.worklist.case is not None
        self._keys.setEnabled(bool(on))

    def _openFolder(self) -> None:
        folder = folders.askForFolder(_("Cases to work through"))
        if folder is not None:
            self.worklist.openFolder(folder)

    def _choose(self, row: int) -> None:
        self.worklist.goTo(row)

    def _showTable(self) -> None:
        table, cases = self._ui.worklistTable, self.worklist.cases
        rows = [_cells(case, n == self.worklist.at) for n, case in enumerate(cases)]
        if rows == self._shown:
            return
        self._shown = rows
        table.setRowCount(len(rows))
        for n, cells in enumerate(rows):
            for column, text in enumerate(cells):
                table.setItem(n, column, qt.QTableWidgetItem(text))
        if self.worklist.at is not None:
            table.selectRow(self.worklist.at)


def _cells(case: WorklistCase, atHand: bool) -> tuple[str, ...]:
    """What others decided is told once the case is signed off."""
    verdict = VERDICTS.get(case.verdict, _("at hand") if atHand and not case.score else "")
    if case.score:
        verdict = ", ".join(filter(None, (_("signed {score}").format(score=case.score), verdict)))
    others = [
        name if not case.score else f"{name} ({_told(*of)})" if _told(*of) else name
        for name, of in sorted(case.others.items())
    ]
    visited = bool(case.seconds)
    return (
        case.name,
        verdict,
        f"{case.seconds:.0f} s" if visited else "",
        str(case.keys) if visited else "",
        ", ".join(others),
    )


def _told(verdict: str, score: int) -> str:
    return ", ".join(filter(None, (VERDICTS.get(verdict, ""), str(score) if score else "")))
