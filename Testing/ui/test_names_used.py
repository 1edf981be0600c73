"""No name of qt, ctk, slicer or vtk is used unless it exists; the .ui file names Slicer's own widgets."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from standin import api

REPOSITORY = Path(__file__).parents[2]
SOURCES = [
    REPOSITORY / "DALESegment" / "DALESegment.py",
    *sorted((REPOSITORY / "DALESegmentLib/ui").glob("*.py")),
]
UI_FILE = REPOSITORY / "Resources/UI/DALESegment.ui"
MODULES = ("qt", "ctk", "slicer", "vtk")

# Names that only the running application has; each is looked for there before it is used.
ONLY_IN_SLICER = {
    "slicer.modules.SegmentEditorWidget",
    "slicer.packaging",
    "slicer.modules",
}


def chains(file: Path) -> set[str]:
    """Dotted names that begin at one of MODULES."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id in MODULES:
            found.add(".".join([node.id, *reversed(parts)]))
    return found


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.stem)
def test_every_name_exists(file, desktop):
    import importlib

    unknown = []
    for chain in sorted(chains(file) - ONLY_IN_SLICER):
        first, *rest = chain.split(".")
        value = importlib.import_module(first)
        for part in rest:
            try:
                value = getattr(value, part)
            except AttributeError:  # noqa: PERF203
                unknown.append(chain)
                break
    assert not unknown


def test_the_names_are_checked_at_all():
    assert "qt.QProcess.NotRunning" in chains(REPOSITORY / "DALESegmentLib/ui/engine_process.py")


def widgets() -> list[ET.Element]:
    return list(ET.parse(UI_FILE).getroot().iter("widget"))


def test_the_ui_file_has_the_sections_in_order():
    sections = [
        w.findtext("property[@name='text']/string") for w in widgets() if w.get("class") == "ctkCollapsibleButton"
    ]
    first = [name for step in ("Data", "Learn", "Review") for name in (step, "Advanced")]
    assert sections == [*first, "Readers", "Cases", "Result", "Advanced"]
    assert widgets()[0].get("class") == "qMRMLWidget"


def test_properties_in_the_ui_file_exist():
    wrong = [
        f"{widget.get('name')}.{prop.get('name')}"
        for widget in widgets()
        if api.table(widget.get("class")) is not None
        for prop in widget.findall("property")
        if prop.get("stdset") != "0" and prop.get("name") not in api.table(widget.get("class"))["props"]
    ]
    assert not wrong


def test_connections_in_the_ui_file_exist():
    classes = {w.get("name"): w.get("class") for w in widgets()}
    rows = list(ET.parse(UI_FILE).getroot().iter("connection"))
    assert len(rows) == sum(c == "qMRMLNodeComboBox" for c in classes.values())
    for row in rows:
        assert row.findtext("signal") in api.table(classes[row.findtext("sender")])["signals"]
        assert row.findtext("slot") in api.table(classes[row.findtext("receiver")])["slots"]


def test_what_can_be_used_has_a_tool_tip():
    silent = ("QLabel", "QWidget", "qMRMLWidget")
    without = [
        w.get("name")
        for w in widgets()
        if w.get("class") not in silent and not w.findtext("property[@name='toolTip']/string")
    ]
    assert not without


def test_names_in_the_ui_file_are_unique():
    names = [w.get("name") for w in widgets()]
    assert len(names) == len(set(names))


def test_bound_parameters_exist(desktop):
    import DALESegment

    bound = {
        prop.findtext("string")
        for widget in widgets()
        for prop in widget.findall("property")
        if prop.get("name") == "SlicerParameterName"
    }
    assert {"image", "segmentation", "minutes", "method"} <= bound
    assert bound <= set(DALESegment.DALESegmentParameterNode._fields)
