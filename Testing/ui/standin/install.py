"""Put the stand-in where `import qt`, `import ctk` and `slicer.…` look."""

from __future__ import annotations

import ctypes
import os
import sys
import types
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6.QtCore import QLocale
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QApplication

from DALESegmentLib.mrml.scene import startHeadless

from . import application, ctk_widgets, mrml_widgets, parameter_node, proxy
from .qt_module import QtModule, WidgetModule

_qt_application: Any = None


class _Plots:
    """The Plots module's logic, as far as it is asked: which charts were brought into the layout."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def ShowChartInLayout(self, chart: Any) -> None:
        self.shown.append(chart)


_plots = _Plots()


def install(python_folder: Path) -> None:
    """Make `qt`, `ctk` and Slicer's names importable. python_folder gets `PythonSlicer`, put on the PATH."""
    global _qt_application
    _keep_none_alive()
    _qt_application = QApplication.instance() or QApplication([])
    QLocale.setDefault(QLocale.c())
    _load_a_font()
    startHeadless()
    sys.modules["qt"] = QtModule("qt")
    sys.modules["ctk"] = WidgetModule("ctk", ctk_widgets.WIDGETS)
    for widget in mrml_widgets.WIDGETS:
        setattr(slicer, widget.__name__, proxy.wrapper_class(widget))
    slicer.app = application.Application()
    slicer.util.modulePath = lambda name: getattr(slicer.modules, name.lower()).path
    slicer.util.mainWindow = lambda: slicer.app.__dict__.get("mainWindow")
    slicer.util.messageBox, slicer.util.delayDisplay = application.messageBox, application.delayDisplay
    slicer.modules.plots = types.SimpleNamespace(logic=lambda: _plots)
    slicer.util.selectModule = lambda name: slicer.app.__dict__.setdefault("selected", []).append(str(name))
    _module("ScriptedLoadableModule", {n: getattr(application, n) for n in application.__all__[1:]})
    _module("parameterNodeWrapper", {n: getattr(parameter_node, n) for n in _PARAMETER_NAMES})
    _module("i18n", {"tr": lambda text: text, "translate": lambda _context, text: text})
    _python_slicer(python_folder)


_PARAMETER_NAMES = ("parameterNodeWrapper", "WithinRange", "Default")


def _keep_none_alive() -> None:
    """PySide6 drops a reference to None too many with each call; before Python 3.12 that ends in a crash."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 30


def uninstall() -> None:
    """Take the application away again, so that other tests find slicer-core as it was."""
    del slicer.app


def _module(name: str, content: dict[str, Any]) -> None:
    module = types.ModuleType(f"slicer.{name}")
    vars(module).update(content, __all__=list(content))
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)


def _python_slicer(folder: Path) -> None:
    """Slicer's Python, found on the PATH as in the application."""
    link = folder / ("PythonSlicer.bat" if os.name == "nt" else "PythonSlicer")
    script = f'@"{sys.executable}" %*' if os.name == "nt" else f'#!/bin/sh\nexec "{sys.executable}" "$@"'
    link.write_text(f"{script}\n", encoding="utf-8")
    link.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def _load_a_font() -> None:
    """Off screen, Qt brings no fonts; matplotlib's make the pictures readable."""
    try:
        import matplotlib as mpl
    except ImportError:
        return
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        QFontDatabase.addApplicationFont(str(folder / file))
    font = _qt_application.font()
    font.setFamily("DejaVu Sans")
    font.setPointSizeF(9.0)
    _qt_application.setFont(font)
