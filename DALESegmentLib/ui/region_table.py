"""The list of probable errors on screen: sorted, filtered, walked through, a row opened into its pieces.

Which lines are shown in which order is found in Python; the table gets a row for each of them, and items for those in
sight alone: making six items takes as long as sorting a thousand rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.dale.issues import Region
from ..engine.dale.review_rows import is_below_line
from ..mrml.regions import OPEN, READERS_DISAGREE, regionIdentity, rowState
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
RANK, SEGMENT, SUSPICION, SIZE, CONFIDENCE, STATE = range(len(HEADINGS))
WIDTHS = (26, 60, 70, 40, 40, 68)  # pixels: all columns in a panel of 380, beside a scroll bar
ROW_HEIGHT = 21
PAGE = 24  # lines that get their items at a time: more than are ever in sight
FAINT = (128, 128, 128)  # of pieces and of what is below the line, on light and on dark
Line = tuple[int, int]
"""Which row of the list, and which of its pieces; 0 for the row itself."""


class RegionTable:
    """onSelected() is called when the reader chooses a row, also the one that is chosen already."""

    def __init__(self, table: Any, stateFilter: Any, textFilter: Any, onSelected: Callable[[], None]) -> None:
        self._table, self._stateFilter, self._textFilter = table, stateFilter, textFilter
        self._onSelected = onSelected
        self._listed = _Listed([])
        self._states: Mapping[tuple, str] = {}
        self._lines: list[Line] = []  # in the table, from top to bottom
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
        sameRows = rows == self._listed.rows
        if sameRows and states is self._states:
            return
        chosen = self._chosen()
        if not sameRows:
            self._listed = _Listed(rows)
        self._states = states
        if sameRows and self._stateFilter.currentIndex == 0 and self._sorted()[0] != STATE:
            for at in self._filled:
                self._table.item(at, STATE).setText(self._text(self._lines[at], STATE))
        else:
            self._place(chosen)

    def toggle(self) -> None:
        """Open the chosen row, or that of the chosen piece, so that its pieces can be chosen; or close it."""
        line = self._lineAt(self._table.currentRow())
        if line is None or not self._listed.rows[line[0]].pieces:
            return
        self._opened ^= {self._listed.identities[line[0]]}
        if line[1]:
            self.goTo(self._listed.rows[line[0]])
        self._arrange()

    def selected(self) -> Region | None:
        """The chosen region, if any."""
        line = self._lineAt(self._table.currentRow())
        return None if line is None else self._listed.region(line)

    def step(self, by: int) -> None:
        """Choose the next (1) or the previous (-1) row."""
        at = self._table.currentRow() + by
        if 0 <= at < len(self._lines):
            self._choose(at)

    def goTo(self, region: Region) -> None:
        """Choose this region, or the row that it is a piece of where that is closed."""
        line = self._listed.lineOf(regionIdentity(region), bool(region.pieces))
        for wanted in () if line is None else (line, (line[0], 0)):
            if wanted in self._lines:
                self._choose(self._lines.index(wanted))
                return

    def _lineAt(self, at: int) -> Line | None:
        return self._lines[at] if 0 <= at < len(self._lines) else None

    def _chosen(self) -> tuple[tuple, bool] | None:
        """Identity of the chosen region, and whether it is a row that has pieces."""
        region = self.selected()
        return None if region is None else (regionIdentity(region), bool(region.pieces))

    def _choose(self, at: int) -> None:
        self._table.setCurrentCell(at, 0)
        self._fillInSight()

    def _arrange(self) -> None:
        """The reader sorts, filters, opens or closes."""
        chosen = self._chosen()
        self._place(chosen)
        if self._chosen() != chosen:  # it is not in the list any more
            self._onSelected()

    def _place(self, chosen: tuple[tuple, bool] | None) -> None:
        """Give every line that is to be shown its row, and choose the same region as before."""
        table = self._table
        self._lines, self._filled = self._wanted(), set()
        line = None if chosen is None else self._listed.lineOf(*chosen)
        wasBlocked = table.blockSignals(True)
        table.setRowCount(0)
        table.setRowCount(len(self._lines))
        table.setCurrentCell(self._lines.index(line) if line in self._lines else -1, 0)
        table.blockSignals(wasBlocked)
        self._fillInSight()

    def _wanted(self) -> list[Line]:
        """The lines that the filters leave, sorted by the chosen column; the pieces of an open row stay below it."""
        listed, (column, falling) = self._listed, self._sorted()
        order = list(range(len(listed.rows)))
        if (column, falling) != (RANK, False):
            keys = self._keys(column)
            order.sort(key=keys.__getitem__, reverse=falling)
        lines = [(n, 0) for n in order]
        if self._opened:
            lines = [part for line in lines for part in (line, *self._piecesOf(line[0]))]
        text = self._textFilter.text.strip().lower()
        if text:
            lines = [line for line in lines if text in listed.said[line[0]]]
        state = (None, *STATES)[self._stateFilter.currentIndex]
        return lines if state is None else [line for line in lines if self._stateOf(line) == state]

    def _keys(self, column: int) -> list[Any]:
        """By which the rows are sorted."""
        rows = self._listed.rows
        if column == STATE:
            return [STATES.get(state, state) for state in (self._stateOf((n, 0)) for n in range(len(rows)))]
        value = {
            RANK: lambda row: row.rank,
            SEGMENT: lambda row: row.class_name,
            SUSPICION: _suspicionOf,
            SIZE: lambda row: row.size_mm3,
            CONFIDENCE: lambda row: row.mean_confidence,
        }[column]
        return list(map(value, rows))

    def _piecesOf(self, n: int) -> list[Line]:
        pieces = self._listed.rows[n].pieces
        opened = bool(pieces) and self._listed.identities[n] in self._opened
        return [(n, number) for number in range(1, len(pieces) + 1)] if opened else []

    def _sorted(self) -> tuple[int, bool]:
        """The column that the list is sorted by, and whether from large to small."""
        header = self._table.horizontalHeader()
        return header.sortIndicatorSection(), header.sortIndicatorOrder() != qt.Qt.AscendingOrder

    def _stateOf(self, line: Line) -> str:
        n, number = line
        if number or self._listed.rows[n].pieces:
            return rowState(self._listed.region(line), self._states)
        return self._states.get(self._listed.identities[n], OPEN)

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
        inFaint = bool(line[1]) or is_below_line(self._listed.region(line))
        for column in range(len(HEADINGS)):
            item = qt.QTableWidgetItem(self._text(line, column))
            if inFaint:
                item.setForeground(faint)
            self._table.setItem(at, column, item)

    def _text(self, line: Line, column: int) -> str:
        region, number = self._listed.region(line), line[1]
        if column == RANK:
            return f"{region.rank + number / 100:.2f}" if number else str(region.rank)
        if column == SEGMENT:
            return f"{region.class_name} ({len(region.pieces)})" if region.pieces else region.class_name
        if column == SUSPICION:
            return _suspicionOf(region)
        if column == SIZE:
            return str(round(region.size_mm3)) if region.size_mm3 >= 1 else f"{region.size_mm3:.2g}"
        if column == CONFIDENCE:
            return f"{round(region.mean_confidence, 2):g}"
        state = self._stateOf(line)
        return STATES.get(state, state)


class _Listed:
    """Rows, and what is looked up in them, found when it is first needed."""

    def __init__(self, rows: Sequence[Region]) -> None:
        self.rows = rows

    def region(self, line: Line) -> Region:
        row, number = self.rows[line[0]], line[1]
        return row.pieces[number - 1] if number else row

    def lineOf(self, identity: tuple, isRow: bool) -> Line | None:
        """Of a region, or of a row that has pieces: their first one has the same identity."""
        return self._lines.get((identity, isRow))

    @cached_property
    def identities(self) -> list[tuple]:
        return [regionIdentity(row) for row in self.rows]

    @cached_property
    def said(self) -> list[str]:
        """What the text filter looks at."""
        return [f"{row.class_name} {_suspicionOf(row)}".lower() for row in self.rows]

    @cached_property
    def _lines(self) -> dict[tuple[tuple, bool], Line]:
        found = {(identity, bool(self.rows[n].pieces)): (n, 0) for n, identity in enumerate(self.identities)}
        for n, row in enumerate(self.rows):
            for number, piece in enumerate(row.pieces, start=1):
                found[regionIdentity(piece), False] = n, number
        return found


def _suspicionOf(region: Region) -> str:
    """What is said to be wrong with the label there."""
    return READERS_DISAGREE if region.note.startswith(READERS_DISAGREE) else region.suspicion
