"""The few CTK widgets in use: plain Qt inside, CTK's properties and signals outside."""

from __future__ import annotations

import enum

from PySide6.QtCore import Property, QEvent, QRect, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)


class ctkCollapsibleButton(QAbstractButton):
    """A titled header; what is inside shows while it is not collapsed."""

    contentsCollapsed = Signal(bool)
    HEADER = 24

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self.HEADER, 0, 0)
        self.toggled.connect(lambda checked: self.setProperty("collapsed", not checked))
        self._collapsed = self._forcing = False

    def paintEvent(self, event) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width(), self.HEADER)
        option.text = ("▾  " if not self._collapsed else "▸  ") + self.text()
        painter = QPainter(self)
        self.style().drawControl(QStyle.ControlElement.CE_PushButton, option, painter, self)
        painter.end()

    def hitButton(self, position) -> bool:
        return position.y() < self.HEADER

    def childEvent(self, event) -> None:
        child = event.child()
        if event.added() and child.isWidgetType():
            child.installEventFilter(self)
            if self._collapsed:
                self._force(child, False)
        super().childEvent(event)

    def eventFilter(self, child, event) -> bool:
        """As CTK does: what a child was told while it is collapsed comes true once it is opened."""
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent) and not self._forcing:
            shown = event.type() == QEvent.Type.ShowToParent
            child.setProperty("visibilityToParent", shown)
            if shown and self._collapsed:
                self._force(child, False)
        return super().eventFilter(child, event)

    def _force(self, child: QWidget, visible: bool) -> None:
        self._forcing = True
        child.setVisible(visible)
        self._forcing = False

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.setChecked(not collapsed)
        for child in self.children():
            if isinstance(child, QWidget):
                self._force(child, not collapsed and child.property("visibilityToParent") is not False)
        self.setMaximumHeight(self.HEADER if collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)

    def sizeHint(self):
        return super().sizeHint() if self.layout() is None else self.layout().totalSizeHint()

    def minimumSizeHint(self):
        return self.sizeHint() if self.layout() is None else self.layout().totalMinimumSize()


class ctkSliderWidget(QWidget):
    """A slider beside a spin box."""

    valueChanged = Signal(float)
    STEPS = 1000

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._slider, self._spin = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        self._slider.setRange(0, self.STEPS)
        self._spin.setRange(0.0, 99.0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._spin)
        self._spin.valueChanged.connect(self._spin_moved)
        self._slider.sliderMoved.connect(self._slider_moved)

    def _spin_moved(self, value: float) -> None:
        span = self._spin.maximum() - self._spin.minimum()
        self._slider.setValue(round(self.STEPS * (value - self._spin.minimum()) / span) if span else 0)
        self.valueChanged.emit(value)

    def _slider_moved(self, step: int) -> None:
        span = self._spin.maximum() - self._spin.minimum()
        self._spin.setValue(self._spin.minimum() + span * step / self.STEPS)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def _of_spin(kind, getter, setter):
        return Property(
            kind,
            lambda self: getattr(self._spin, getter)(),
            lambda self, value: getattr(self._spin, setter)(value),
        )

    value = _of_spin(float, "value", "setValue")
    minimum = _of_spin(float, "minimum", "setMinimum")
    maximum = _of_spin(float, "maximum", "setMaximum")
    singleStep = _of_spin(float, "singleStep", "setSingleStep")
    decimals = _of_spin(int, "decimals", "setDecimals")
    prefix = _of_spin(str, "prefix", "setPrefix")
    suffix = _of_spin(str, "suffix", "setSuffix")


class ctkPathLineEdit(QWidget):
    """A path with a history and a button to browse."""

    class Filter(enum.IntFlag):
        Dirs = 1
        Files = 2
        NoSymLinks = 8

    currentPathChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._combo, self._button = QComboBox(), QToolButton()
        self._combo.setEditable(True)
        self._combo.setMinimumContentsLength(8)
        self._button.setText("…")
        row.addWidget(self._combo, 1)
        row.addWidget(self._button)
        self._filters = int(self.Filter.Files)
        self._combo.editTextChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path: str) -> None:
        self._combo.setEditText(path)

    def _set_filters(self, filters: int) -> None:
        self._filters = int(filters)

    currentPath = Property(str, lambda self: self._combo.currentText(), setCurrentPath)
    filters = Property(int, lambda self: self._filters, _set_filters)


WIDGETS = (ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget)
