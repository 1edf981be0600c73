"""Steps that several tests of the panel take, and what they read from the scene."""

from __future__ import annotations

from slicer_window import click, wait_until


def step(widget, button) -> str:
    """Click, wait for the end, and give back what the panel says then."""
    click(button)
    assert widget.logic.workflow.busy, widget.ui.statusLabel.text
    assert wait_until(lambda: not widget.logic.workflow.busy)
    return widget.ui.statusLabel.text


def label_of(segmentation, image):
    from DALESegmentLib.mrml.segmentations import labelFromSegmentation

    return labelFromSegmentation(segmentation, image)[0].copy()


def correct(segmentation, image) -> None:
    import slicer

    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    label = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, image).copy()
    label[:, :, :12] = 0
    label[6:10, 20:28, 36:] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, segment, image)


def choose(box, text: str) -> None:
    """As a reader does: the list is opened, and an entry clicked."""
    import standin

    combo = standin.unwrap(box)
    index = combo.findText(text)
    assert index >= 0, [combo.itemText(i) for i in range(combo.count())]
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def sign_in(widget, name: str, role: str = "radiologist", instruction: str = "1.2") -> None:
    """Say under Readers who sits there now."""
    import standin

    ui = widget.ui
    ui.readersCollapsibleButton.collapsed = False
    for edit, text in ((ui.reviewerEdit, name), (ui.roleEdit, role), (ui.instructionEdit, instruction)):
        edit.text = text
    standin.unwrap(ui.instructionEdit).editingFinished.emit()


def press_with(widget, modifier: str, key: str) -> None:
    from PySide6 import QtCore, QtTest

    widget.dock.activateWindow()
    widget.dock.setFocus()
    QtTest.QTest.qWaitForWindowActive(widget.dock)
    held = getattr(QtCore.Qt.KeyboardModifier, f"{modifier}Modifier")
    QtTest.QTest.keyClick(widget.dock, getattr(QtCore.Qt.Key, f"Key_{key}"), held)


def reading(widget):
    return widget.logic.workflow.review.reading


def sign_off(widget, score: int = 4) -> None:
    press_with(widget, "Alt", str(score))
    press_with(widget, "Shift", "S")


def read_blind(widget) -> None:
    click(widget.ui.blindButton)
    assert wait_until(lambda: not widget.logic.workflow.busy)
