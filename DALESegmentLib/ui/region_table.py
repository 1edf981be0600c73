"""The list of probable errors on screen: sorted, filtered, walked through, a row opened into its pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.dale.issues import Region
from ..engine.dale.review_rows import is_below_line
from ..mrml.regions import READERS_DISAGREE, regionIdentity
from .signals import connect

STATES = {
    "open": _("open"),
    "partly": _("partly"),
    "confirmed": _("confirmed"),
    "accepted": _("accepted"),
    "corrected": _("corrected"),
    "unsure": _("unsure"),
}
HEADINGS = (_("#"), _("Segment"), _("Suspicion"), _("mm³"), _("Conf."), _("State"))
SEGMENT, STATE = 1, len(HEADINGS) - 1
WIDTHS = (26, 60, 70, 40, 40, 68)  # pixels: all columns in a panel of 380, beside a scroll bar
ROW_HEIGHT = 21
FAINT = (128, 128, 128)  # of pieces and of what is below the line, on light and on dark
Rows = list[tuple[Region, str, list[tuple[Region, str]]]]
"""Rows with their states, and their pieces with theirs."""


class RegionTable:
    """onSelected() is called when the reader chooses a row, also the one that is chosen already."""

    def __init__(self, table: Any, stateFilter: Any, textFilter: Any, onSelected: Callable[[], None]) -> None:
        self._table, self._stateFilter, self._textFilter = table, stateFilter, textFilter
        self._rows: list[_Line] = []
        self._opened: set[tuple] = set()
        self._prepare()
        stateFilter.addItem(_("All states"))
        for text in STATES.values():
            stateFilter.addItem(text)
        for sender, signal, slot in (
            (table, "itemSelectionChanged()", onSelected),
            (table, "cellClicked(int,int)", onSelected),
            (table, "cellDoubleClicked(int,int)", self.toggle),
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
        table.setMinimumHeight(5 * ROW_HEIGHT)
        table.setMaximumHeight(6 * ROW_HEIGHT)

    def show(self, rows: Rows) -> None:
        """Show rows with their states; what is chosen stays chosen while it is in the list."""
        lines = [
            line
            for row, state, pieces in rows
            for line in (
                _Line(row, state),
                *(_Line(piece, its, row, number) for number, (piece, its) in enumerate(pieces, start=1)),
            )
        ]
        if lines == self._rows:
            return
        chosen = self._chosen()
        sameList = [line.region for line in lines] == [line.region for line in self._rows]
        self._rows = lines
        wasBlocked = self._table.blockSignals(True)
        if sameList:
            self._renewStates()
        else:
            self._fill()
        self._select(chosen.key if chosen is not None else None)
        self._table.blockSignals(wasBlocked)
        self._filter()

    def toggle(self) -> None:
        """Open the chosen row, or that of the chosen piece, so that its pieces can be chosen; or close it."""
        line = self._chosen()
        if line is None or not (line.row or line.region).pieces:
            return
        row = line.row or line.region
        self._opened ^= {regionIdentity(row)}
        if line.row is not None:
            self.goTo(row)
        self._filter()

    def _chosen(self) -> _Line | None:
        row = self._table.currentRow()
        return self._lineOf(row) if row >= 0 else None

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
        faint = qt.QBrush(qt.QColor(*FAINT))
        for row, line in enumerate(self._rows):
            region = line.region
            values = (
                region.rank if line.row is None else region.rank + line.number / 100,
                f"{region.class_name} ({len(region.pieces)})" if region.pieces else region.class_name,
                READERS_DISAGREE if region.note.startswith(READERS_DISAGREE) else region.suspicion,
                round(region.size_mm3) if region.size_mm3 >= 1 else float(f"{region.size_mm3:.2g}"),
                round(region.mean_confidence, 2),
                STATES.get(line.state, line.state),
            )
            inFaint = line.row is not None or is_below_line(region)
            for column, value in enumerate(values):
                item = qt.QTableWidgetItem()
                item.setData(qt.Qt.DisplayRole, value)  # numbers as numbers, so that they sort as such
                if column == 0:
                    item.setData(qt.Qt.UserRole, row)
                if inFaint:
                    item.setForeground(faint)
                table.setItem(row, column, item)
        table.setSortingEnabled(True)

    def _renewStates(self) -> None:
        self._table.setSortingEnabled(False)
        for row in range(self._table.rowCount):
            state = self._lineOf(row).state
            self._table.item(row, STATE).setText(STATES.get(state, state))
        self._table.setSortingEnabled(True)

    def _select(self, key: tuple | None) -> None:
        rows = range(self._table.rowCount)
        found = next((row for row in rows if self._lineOf(row).key == key), -1)
        if found < 0:
            self._table.clearSelection()
        self._table.setCurrentCell(found, 0)

    def _place(self, row: int) -> int:
        return int(self._table.item(row, 0).data(qt.Qt.UserRole))

    def _lineOf(self, row: int) -> _Line:
        return self._rows[self._place(row)]

    def _regionOf(self, row: int) -> Region:
        return self._lineOf(row).region

    def _filter(self) -> None:
        state = (None, *STATES)[self._stateFilter.currentIndex]
        text = self._textFilter.text.strip().lower()
        for row in range(self._table.rowCount):
            line = self._lineOf(row)
            fits = text in f"{line.region.class_name} {line.region.suspicion}".lower() and state in (None, line.state)
            closed = line.row is not None and regionIdentity(line.row) not in self._opened
            self._table.setRowHidden(row, closed or not fits)


@dataclass(frozen=True)
class _Line:
    """A row of the list, or a piece of one: row, and its number in it."""

    region: Region
    state: str
    row: Region | None = None
    number: int = 0

    @property
    def key(self) -> tuple:
        return (*regionIdentity(self.region), self.row is not None)
