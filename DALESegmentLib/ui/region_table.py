"""The list of doubtful regions on screen: sorted, filtered, walked through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.dale.issues import Region
from ..mrml.regions import regionIdentity
from .signals import connect

STATES = {
    "open": _("open"),
    "confirmed": _("confirmed"),
    "corrected": _("corrected"),
    "unsure": _("unsure"),
}
HEADINGS = (_("#"), _("Segment"), _("Suspicion"), _("mm³"), _("Conf."), _("State"))
SEGMENT, STATE = 1, len(HEADINGS) - 1
WIDTHS = (26, 60, 70, 40, 40, 68)  # pixels: all columns in a panel of 380, beside a scroll bar
ROW_HEIGHT = 22


class RegionTable:
    """onSelected() is called when the reader chooses a row, also the one that is chosen already."""

    def __init__(self, table: Any, stateFilter: Any, textFilter: Any, onSelected: Callable[[], None]) -> None:
        self._table, self._stateFilter, self._textFilter = table, stateFilter, textFilter
        self._rows: list[tuple[Region, str]] = []
        self._prepare()
        stateFilter.addItem(_("All states"))
        for text in STATES.values():
            stateFilter.addItem(text)
        for sender, signal, slot in (
            (table, "itemSelectionChanged()", onSelected),
            (table, "cellClicked(int,int)", onSelected),
            (stateFilter, "currentIndexChanged(int)", self._filter),
            (textFilter, "textChanged(QString)", self._filter),
        ):
            connect(sender, signal, slot)

    def _prepare(self) -> None:
        table = self._table
        table.setColumnCount(len(HEADINGS))
        table.setHorizontalHeaderLabels(list(HEADINGS))
        table.verticalHeader().setVisible(False)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        header = table.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setHighlightSections(False)
        for column, width in enumerate(WIDTHS):
            header.resizeSection(column, width)
        header.setSectionResizeMode(SEGMENT, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(STATE, qt.QHeaderView.ResizeToContents)  # whatever font is in use
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        table.setMinimumHeight(6 * ROW_HEIGHT)
        table.setMaximumHeight(7 * ROW_HEIGHT)

    def show(self, rows: list[tuple[Region, str]]) -> None:
        """Show regions with their states; the chosen region stays chosen while it is in the list."""
        if rows == self._rows:
            return
        chosen = self.selected()
        identity = regionIdentity(chosen) if chosen is not None else None
        sameList = [r for r, _s in rows] == [r for r, _s in self._rows]
        self._rows = rows
        wasBlocked = self._table.blockSignals(True)
        if sameList:
            self._renewStates()
        else:
            self._fill()
        self._select(identity)
        self._table.blockSignals(wasBlocked)
        self._filter()

    def selected(self) -> Region | None:
        """The chosen region, if any."""
        row = self._table.currentRow()
        return self._regionOf(row) if row >= 0 else None

    def step(self, by: int) -> None:
        """Choose the next (1) or the previous (-1) row that the filter leaves."""
        row = self._table.currentRow() + by
        while 0 <= row < self._table.rowCount:
            if not self._table.isRowHidden(row):
                self._table.setCurrentCell(row, 0)
                return
            row += by

    def goTo(self, region: Region) -> None:
        """Choose this region."""
        for row in range(self._table.rowCount):
            if self._regionOf(row) == region:
                self._table.setCurrentCell(row, 0)

    def _fill(self) -> None:
        table = self._table
        table.setSortingEnabled(False)  # else a row would move while it is written
        table.clearSelection()
        table.setRowCount(len(self._rows))
        for row, (region, state) in enumerate(self._rows):
            values = (
                region.rank,
                region.class_name,
                region.suspicion,
                round(region.size_mm3),
                round(region.mean_confidence, 2),
                STATES.get(state, state),
            )
            for column, value in enumerate(values):
                item = qt.QTableWidgetItem()
                item.setData(qt.Qt.DisplayRole, value)  # numbers as numbers, so that they sort as such
                item.setData(qt.Qt.UserRole, row)
                table.setItem(row, column, item)
        table.setSortingEnabled(True)

    def _renewStates(self) -> None:
        self._table.setSortingEnabled(False)
        for row in range(self._table.rowCount):
            state = self._rows[self._place(row)][1]
            self._table.item(row, STATE).setText(STATES.get(state, state))
        self._table.setSortingEnabled(True)

    def _select(self, identity: tuple | None) -> None:
        rows = range(self._table.rowCount)
        found = next((row for row in rows if regionIdentity(self._regionOf(row)) == identity), -1)
        if found < 0:
            self._table.clearSelection()
        self._table.setCurrentCell(found, 0)

    def _place(self, row: int) -> int:
        return int(self._table.item(row, 0).data(qt.Qt.UserRole))

    def _regionOf(self, row: int) -> Region:
        return self._rows[self._place(row)][0]

    def _filter(self) -> None:
        state = (None, *STATES)[self._stateFilter.currentIndex]
        text = self._textFilter.text.strip().lower()
        for row in range(self._table.rowCount):
            region, itsState = self._rows[self._place(row)]
            fits = text in f"{region.class_name} {region.suspicion}".lower() and state in (None, itsState)
            self._table.setRowHidden(row, not fits)
