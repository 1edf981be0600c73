"""The list of probable errors on screen: sorted, filtered, walked through, a row opened into its pieces.

Which lines are shown in which order is found in Python; the table gets a row for each of them, and items for those in
sight alone: making six items takes as long as sorting a thousand rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import qt
from slicer.i18n import tr as _

from ..engine.dale.issues import Region
from ..engine.dale.review_rows import is_below_line
from ..mrml.regions import OPEN, regionIdentity, rowState
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
RANK, SEGMENT, SIZE, STATE = 0, 1, 3, len(HEADINGS) - 1
WIDTHS = (26, 60, 70, 40, 40, 68)  # pixels: all columns in a panel of 380, beside a scroll bar
ROW_HEIGHT = 21
PAGE = 24  # lines that get their items at a time: more than are ever in sight
FAINT = (128, 128, 128)  # of pieces and of what is below the line, on light and on dark


class RegionTable:
    """onSelected() is called when the reader chooses a row, also the one that is chosen already."""

    def __init__(self, table: Any, stateFilter: Any, textFilter: Any, onSelected: Callable[[], None]) -> None:
        self._table, self._stateFilter, self._textFilter = table, stateFilter, textFilter
        self._onSelected = onSelected
        self._rows: Sequence[Region] = ()
        self._states: Mapping[tuple, str] = {}
        self._lines: list[_Line] = []  # in the table, from top to bottom
        self._filled: set[int] = set()  # those of them that have items
        self._opened: set[tuple] = set()
        self._prepare()
        stateFilter.addItem(_("All states"))
        for text in STATES.values():
            stateFilter.addItem(text)
        for sender, signal, slot in (
            (table, "itemSelectionChanged()", onSelected),
            (table, "cellClicked(int,int)", onSelected),
            (table, "cellDoubleClicked(int,int)", self.toggle),
            (table.verticalScrollBar(), "valueChanged(int)", self._fillInSight),
            (table.horizontalHeader(), "sectionClicked(int)", self._arrange),
            (stateFilter, "currentIndexChanged(int)", self._arrange),
            (textFilter, "textChanged(QString)", self._arrange),
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
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setSortIndicator(RANK, qt.Qt.AscendingOrder)
        for column, width in enumerate(WIDTHS):
            header.resizeSection(column, width)
        header.setSectionResizeMode(SEGMENT, qt.QHeaderView.Stretch)
        header.setResizeContentsPrecision(0)  # as wide as what is in sight needs
        header.setSectionResizeMode(STATE, qt.QHeaderView.ResizeToContents)  # whatever font is in use
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        table.setMinimumHeight(5 * ROW_HEIGHT)
        table.setMaximumHeight(6 * ROW_HEIGHT)

    def show(self, rows: Sequence[Region], states: Mapping[tuple, str]) -> None:
        """Show rows with their states, see `regionStates`; what is chosen stays chosen while it is in the list."""
        sameRows = rows is self._rows or rows == self._rows
        if sameRows and (states is self._states or states == self._states):
            return
        self._rows, self._states = rows, states
        if sameRows and self._stateFilter.currentIndex == 0 and self._sorted()[0] != STATE:
            for at in self._filled:
                self._table.item(at, STATE).setText(self._value(self._lines[at], STATE))
        else:
            self._place()

    def toggle(self) -> None:
        """Open the chosen row, or that of the chosen piece, so that its pieces can be chosen; or close it."""
        line = self._chosen()
        if line is None or not (line.row or line.region).pieces:
            return
        row = line.row or line.region
        self._opened ^= {regionIdentity(row)}
        if line.row is not None:
            self.goTo(row)
        self._arrange()

    def selected(self) -> Region | None:
        """The chosen region, if any."""
        line = self._chosen()
        return None if line is None else line.region

    def step(self, by: int) -> None:
        """Choose the next (1) or the previous (-1) row."""
        at = self._table.currentRow() + by
        if 0 <= at < len(self._lines):
            self._choose(at)

    def goTo(self, region: Region) -> None:
        """Choose this region, or the row that it is a piece of where that is closed."""
        wanted = regionIdentity(region)
        exact = (n for n, line in enumerate(self._lines) if line.key == (*wanted, line.row is not None))
        same = [n for n in exact if self._lines[n].region == region]
        around = (n for n, line in enumerate(self._lines) if region in line.region.pieces)
        at = same[0] if same else next(around, -1)
        if at >= 0:
            self._choose(at)

    def _chosen(self) -> _Line | None:
        at = self._table.currentRow()
        return self._lines[at] if 0 <= at < len(self._lines) else None

    def _choose(self, at: int) -> None:
        self._table.setCurrentCell(at, 0)
        self._fillInSight()

    def _arrange(self) -> None:
        """The reader sorts, filters, opens or closes."""
        before = self.selected()
        self._place()
        if self.selected() != before:  # it is not in the list any more
            self._onSelected()

    def _place(self) -> None:
        """Give every line that is to be shown its row."""
        chosen, table = self._chosen(), self._table
        self._lines, self._filled = self._wanted(), set()
        wasBlocked = table.blockSignals(True)
        table.setRowCount(0)
        table.setRowCount(len(self._lines))
        key = None if chosen is None else chosen.key
        at = -1 if key is None else next((n for n, line in enumerate(self._lines) if line.key == key), -1)
        if at < 0:
            table.clearSelection()
        table.setCurrentCell(at, 0)
        table.blockSignals(wasBlocked)
        self._fillInSight()

    def _wanted(self) -> list[_Line]:
        """The lines that the filters leave, sorted by the chosen column; the pieces of an open row stay below it."""
        state = (None, *STATES)[self._stateFilter.currentIndex]
        text = self._textFilter.text.strip().lower()

        def fits(line: _Line) -> bool:
            said = f"{line.region.class_name} {line.region.suspicion}".lower()
            return text in said and state in (None, self._stateOf(line.region))

        lines = [_Line(row) for row in self._rows]
        column, falling = self._sorted()
        if (column, falling) != (RANK, False):
            lines.sort(key=lambda line: self._value(line, column), reverse=falling)
        if self._opened:
            lines = [part for line in lines for part in (line, *self._piecesOf(line.region))]
        return [line for line in lines if fits(line)] if text or state is not None else lines

    def _piecesOf(self, row: Region) -> list[_Line]:
        if not row.pieces or regionIdentity(row) not in self._opened:
            return []
        return [_Line(piece, row, number) for number, piece in enumerate(row.pieces, start=1)]

    def _sorted(self) -> tuple[int, bool]:
        """The column that the list is sorted by, and whether from large to small."""
        header = self._table.horizontalHeader()
        return header.sortIndicatorSection(), header.sortIndicatorOrder() != qt.Qt.AscendingOrder

    def _stateOf(self, region: Region) -> str:
        if region.pieces:
            return rowState(region, self._states)
        return self._states.get(regionIdentity(region), OPEN)

    def _fillInSight(self) -> None:
        """Make the items of the lines in sight, and of some beside them."""
        table, faint = self._table, qt.QBrush(qt.QColor(*FAINT))
        first = max(min(table.rowAt(0), len(self._lines) - PAGE), 0)
        for at in range(first, min(first + PAGE, len(self._lines))):
            if at not in self._filled:
                self._fill(at, faint)
                self._filled.add(at)

    def _fill(self, at: int, faint: Any) -> None:
        line = self._lines[at]
        inFaint = line.row is not None or is_below_line(line.region)
        for column in range(len(HEADINGS)):
            item = qt.QTableWidgetItem()
            item.setData(qt.Qt.DisplayRole, self._value(line, column))
            if inFaint:
                item.setForeground(faint)
            self._table.setItem(at, column, item)

    def _value(self, line: _Line, column: int) -> Any:
        """What the table shows, by which it is sorted, too: numbers as numbers."""
        region = line.region
        if column == RANK:
            return region.rank if line.row is None else region.rank + line.number / 100
        if column == SEGMENT:
            return f"{region.class_name} ({len(region.pieces)})" if region.pieces else region.class_name
        if column == SIZE:
            return round(region.size_mm3) if region.size_mm3 >= 1 else float(f"{region.size_mm3:.2g}")
        if column == STATE:
            state = self._stateOf(region)
            return STATES.get(state, state)
        return region.suspicion if column == SEGMENT + 1 else round(region.mean_confidence, 2)


class _Line(NamedTuple):
    """A row of the list, or a piece of one: row, and its number in it."""

    region: Region
    row: Region | None = None
    number: int = 0

    @property
    def key(self) -> tuple:
        return (*regionIdentity(self.region), self.row is not None)
