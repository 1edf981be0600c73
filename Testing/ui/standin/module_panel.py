"""The dock that holds the panel of the chosen module."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

WIDTH, HEIGHT = 380, 560  # pixels beside the views, above the Data Probe


class ModulePanel(QtWidgets.QScrollArea):
    """The dock with the module's panel: it follows what its content asks for, and stays wide. Only heights scroll."""

    def __init__(self, module: QtWidgets.QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.module, self._other = module, QtWidgets.QWidget()
        self.resize(WIDTH, HEIGHT)
        self.setWidget(module)

    def eventFilter(self, watched, event) -> bool:
        if watched is self.widget() and event.type() == QtCore.QEvent.Type.LayoutRequest:
            self._follow()
        return super().eventFilter(watched, event)

    def _follow(self) -> None:
        bar = self.verticalScrollBar().sizeHint().width()
        wanted = max(self.widget().sizeHint().width(), self.widget().minimumSizeHint().width()) + bar
        if wanted > self.width():
            self.resize(wanted, self.height())

    def choose(self, module: bool) -> None:
        """Our module, or another one; whichever comes is shown from its top."""
        self.takeWidget().hide()
        chosen = self.module if module else self._other
        self.setWidget(chosen)
        chosen.show()
        self.verticalScrollBar().setValue(0)
