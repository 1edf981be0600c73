"""The stand-in refuses what PythonQt refuses and gives what it gives; measured in a real Slicer 5.13."""

from __future__ import annotations

import functools

import pytest
from slicer_window import wait_until


@pytest.fixture
def qt(desktop):
    import qt

    return qt


@pytest.fixture
def ctk(desktop):
    import ctk

    return ctk


def test_properties_are_attributes_and_not_callable(qt):
    button = qt.QPushButton("go")
    assert button.text == "go"
    assert button.enabled is True
    for name in ("text", "width", "objectName"):
        with pytest.raises(TypeError, match="not callable"):
            getattr(button, name)()


def test_getters_of_another_name_stay_methods(qt):
    button, combo = qt.QPushButton("go"), qt.QComboBox()
    combo.addItem("a")
    combo.addItem("b")
    assert button.isEnabled()
    assert not button.isVisible()
    assert combo.itemText(1) == "b"
    assert (combo.count, combo.currentText) == (2, "a")
    assert button.layout() is None
    assert bool(button.layout), "without the call it is a slot object"


def test_setters_and_assignment_both_work(ctk):
    slider = ctk.ctkSliderWidget()
    slider.setValue(5)
    assert slider.value == 5.0
    slider.value = 7
    assert slider.value == 7.0


def test_new_attributes_are_refused(qt, ctk):
    for widget in (qt.QPushButton("go"), ctk.ctkSliderWidget()):
        with pytest.raises(AttributeError):
            widget.foo = 1


def test_a_read_only_property_cannot_be_set(qt):
    with pytest.raises(AttributeError):
        qt.QComboBox().count = 3


def test_names_that_ctk_does_not_have_are_refused(ctk):
    slider = ctk.ctkSliderWidget()
    for name in ("setRange", "sliderMoved", "_spin"):
        with pytest.raises(AttributeError):
            getattr(slider, name)


def test_widgets_that_nobody_built_here_are_refused(ctk, qt):
    with pytest.raises(AttributeError):
        ctk.ctkRangeWidget
    for name in ("Signal", "QTest", "QWebEngineView", "QSvgRenderer"):
        with pytest.raises(AttributeError):
            getattr(qt, name)


def test_connect_takes_signatures_and_answers(qt):
    button, hits = qt.QPushButton("go"), []
    assert button.connect("clicked(bool)", lambda checked: hits.append(checked)) is True
    assert button.connect("clicked()", lambda: hits.append("none")) is True
    assert button.clicked.connect(lambda: hits.append("signal")) is True
    for wrong in ("clickd(bool)", "clicked", "clicked(int)"):
        assert button.connect(wrong, hits.append) is False
    button.click()
    assert hits == [False, "none", "signal"]


def test_signals_of_ctk_and_qmrml_go_by_the_real_tables(ctk, desktop):
    import slicer

    combo = slicer.qMRMLNodeComboBox()
    assert combo.connect("currentNodeChanged(vtkMRMLNode*)", print) is True
    assert combo.connect("currentNodeChanged()", print) is False
    assert ctk.ctkSliderWidget().connect("valueChanged(int)", print) is False
    with pytest.raises(NotImplementedError):
        combo.connect("nodeActivated(vtkMRMLNode*)", print)


def test_disconnect_ends_it(qt):
    button, hits = qt.QPushButton("go"), []

    def hit() -> None:
        hits.append(1)

    button.connect("clicked()", hit)
    assert button.disconnect("clicked()", hit)
    button.click()
    assert not hits


def test_surplus_arguments_are_trimmed_for_functions_but_not_for_partial(qt, desktop):
    button, hits = qt.QPushButton("go"), []
    button.connect("clicked(bool)", lambda: hits.append("function"))
    button.click()
    assert hits == ["function"]
    button.connect("clicked(bool)", functools.partial(lambda word: hits.append(word), "partial"))
    button.click()
    assert "partial" not in hits
    assert "TypeError" in desktop.slot_errors.pop()


def test_an_exception_in_a_slot_goes_no_further_and_is_recorded(qt, desktop, capfd):
    button = qt.QPushButton("go")
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in desktop.slot_errors.pop()
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_constructors_take_no_keywords_and_no_wrong_count(qt):
    with pytest.raises(ValueError, match="keyword"):
        qt.QPushButton(text="x")
    with pytest.raises(ValueError, match="overload"):
        qt.QLabel("x").setText("a", "b")


def test_numbers_become_texts_and_fractions_integers(qt):
    label, spin = qt.QLabel("x"), qt.QSpinBox()
    label.setText(5)
    assert label.text == "5"
    spin.value = 3.7
    assert spin.value == 3


def test_both_enum_spellings_are_integers(qt):
    assert qt.Qt.Checked == qt.Qt.CheckState.Checked == 2
    assert isinstance(qt.QMessageBox.Ok | qt.QMessageBox.Cancel, int)
    assert qt.QSizePolicy.Expanding == qt.QSizePolicy.Policy.Expanding
    with pytest.raises(AttributeError):
        qt.Qt.Chequed


def test_lists_come_back_as_tuples(qt, desktop):
    import slicer

    box = qt.QWidget()
    row = qt.QHBoxLayout(box)
    row.addWidget(qt.QPushButton("go"))
    assert isinstance(box.children(), tuple)
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert combo.nodeTypes == ("vtkMRMLScalarVolumeNode",)


def test_there_is_no_inheritance_among_the_classes(qt, ctk):
    button = qt.QPushButton("go")
    assert not isinstance(button, qt.QAbstractButton)
    assert not isinstance(ctk.ctkSliderWidget(), qt.QWidget)
    assert button.inherits("QAbstractButton")
    assert ctk.ctkSliderWidget().className() == "ctkSliderWidget"


def test_items_of_a_table_are_no_qobjects(qt):
    table = qt.QTableWidget(1, 1)
    table.setItem(0, 0, qt.QTableWidgetItem("cell"))
    assert table.item(0, 0).text() == "cell"
    assert table.rowCount == 1


def test_a_deleted_object_is_an_error(qt, desktop):
    import shiboken6

    label = qt.QLabel("x")
    shiboken6.delete(desktop.unwrap(label))
    with pytest.raises(ValueError, match="deleted"):
        label.text


def test_a_process_answers_in_bytes(qt):
    process, ended = qt.QProcess(), []
    assert process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.start("PythonSlicer", ["-c", "print(input())"])
    assert process.waitForStarted()
    process.write("text\n")
    process.closeWriteChannel()
    assert wait_until(lambda: bool(ended), 5)
    answer = process.readAllStandardOutput()
    assert answer.data() == b"text\n"
    with pytest.raises(TypeError):
        bytes(answer)
    assert process.state() == qt.QProcess.NotRunning


def test_a_killed_process_ends_with_nine_and_crashed(qt):
    process, ended = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.start("PythonSlicer", ["-c", "input()"])
    assert process.waitForStarted()
    process.kill()
    assert wait_until(lambda: bool(ended), 5)
    assert ended == [(9, 1)]


def test_a_timer_takes_a_callable(qt):
    hits = []
    qt.QTimer.singleShot(1, lambda: hits.append(1))
    assert wait_until(lambda: bool(hits), 2)


def test_process_events_is_refused(desktop):
    import slicer

    with pytest.raises(AttributeError):
        slicer.app.processEvents()


def test_the_parameter_node_keeps_types_and_refuses_others(desktop):
    import slicer

    import DALESegment

    slicer.mrmlScene.Clear(True)
    logic = DALESegment.DALESegmentLogic()
    node = logic.getParameterNode()
    node.minutes = 12.5
    node.method = DALESegment.TrainingMethod.plain
    again = logic.getParameterNode()
    assert (again.minutes, again.method) == (12.5, DALESegment.TrainingMethod.plain)
    assert again.image is None
    for wrong in (lambda: setattr(node, "minutes", 1000.0), lambda: setattr(node, "model", 3)):
        with pytest.raises(ValueError, match=r"range|takes"):
            wrong()


@pytest.fixture
def dock(desktop):
    """A module's panel of two labels in Slicer's dock."""
    from PySide6 import QtWidgets
    from standin.application import qSlicerScriptedLoadableModuleWidget
    from standin.module_panel import ModulePanel

    module = qSlicerScriptedLoadableModuleWidget()
    for text in ("first", "second"):
        module.layout().addWidget(QtWidgets.QLabel(text))
    made = ModulePanel(module)
    made.show()
    yield made
    made.close()


def test_the_dock_follows_what_its_content_asks_for_and_stays_wide(dock):
    from standin.module_panel import WIDTH

    label = dock.module.layout().itemAt(0).widget()
    assert dock.width() == WIDTH
    label.setText("A line that is not wrapped. " * 5)
    assert wait_until(lambda: dock.width() > WIDTH, 2)
    wide = dock.width()
    label.setText("short")
    assert not wait_until(lambda: dock.width() < wide, 0.2)


def test_a_panel_is_shown_from_its_top_whenever_its_module_is_chosen(dock):
    dock.module.layout().itemAt(1).widget().setMinimumHeight(2000)
    bar = dock.verticalScrollBar()
    assert wait_until(lambda: bar.maximum() > 500, 2)
    bar.setValue(300)
    dock.choose(False)
    assert not dock.module.isVisible()
    dock.choose(True)
    assert dock.module.isVisible()
    assert not wait_until(lambda: bar.value() != 0, 0.2)


def test_dialogs_appear_unless_slicer_was_started_for_testing(desktop):
    import slicer

    slicer.app.mainWindow = object()  # without one, warnings are written into the log alone
    assert not slicer.app.testingEnabled()
    slicer.util.warningDisplay("Something is wrong.")
    assert not slicer.util.confirmOkCancelDisplay("Shall it go on?")
    assert slicer.app.dialogs == ["Something is wrong.", "Shall it go on?"]
    slicer.app.agrees = True
    assert slicer.util.confirmOkCancelDisplay("Again?")
    slicer.app.testing = True
    slicer.util.warningDisplay("Nobody sees it.")
    assert "Nobody sees it." not in slicer.app.dialogs
    del slicer.app.mainWindow


def test_what_waits_in_the_queue_happens_inside_a_delayed_display(qt):
    import slicer

    hits = []
    qt.QTimer.singleShot(0, lambda: hits.append(1))
    slicer.util.delayDisplay("A step has passed.")
    assert hits
    assert slicer.app.popups == ["A step has passed."]


def test_the_layout_manager_is_an_object_with_the_views_of_its_layout(desktop):
    import slicer

    manager = slicer.app.layoutManager()
    assert manager.sliceViewNames() == ()
    assert manager.sliceWidget("Red") is None
    assert manager.connect("layoutChanged(int)", print) is True
    assert manager.disconnect("layoutChanged(int)", print)
    assert manager.connect("layoutChanged(QString)", print) is False
    with pytest.raises(AttributeError):
        manager.sliceNames


def test_a_box_that_is_opened_shows_what_was_not_hidden_while_it_was_open(ctk, desktop):
    """As CTK does: what is hidden already sends no event when it is hidden again."""
    from PySide6 import QtWidgets

    box = ctk.ctkCollapsibleButton()
    column = QtWidgets.QVBoxLayout(desktop.unwrap(box))
    hidden_open, hidden_collapsed, shown_collapsed = (QtWidgets.QLabel(text) for text in "abc")
    for label in (hidden_open, hidden_collapsed, shown_collapsed):
        column.addWidget(label)
    box.show()
    hidden_open.setVisible(False)
    shown_collapsed.setVisible(False)
    box.collapsed = True
    hidden_collapsed.setVisible(False)
    shown_collapsed.setVisible(True)
    assert not shown_collapsed.isVisible()
    box.collapsed = False
    assert [label.isVisible() for label in (hidden_open, hidden_collapsed, shown_collapsed)] == [False, True, True]
