"""Work beside the user interface: it is delivered once, its errors are heard, and it can be forgotten or cancelled."""

from __future__ import annotations

import threading

import pytest
from slicer_window import click, wait_until


@pytest.fixture
def background(desktop):
    from DALESegmentLib.ui.background import Background

    return Background()


def test_the_outcome_comes_on_the_main_thread(background):
    told = []
    background.start(threading.get_ident, lambda value: told.append((value, threading.get_ident())), told.append)
    assert wait_until(lambda: told, 5)
    (worker, main), *rest = told
    assert not rest
    assert main == threading.get_ident() != worker


def test_an_error_reaches_its_callback(background):
    told = []
    background.start(lambda: 1 / 0, lambda value: told.append("done"), told.append)
    assert wait_until(lambda: told, 5)
    assert isinstance(told[0], ZeroDivisionError)


def test_the_result_of_forgotten_work_is_dropped(background):
    told, go = [], threading.Event()
    background.start(lambda: go.wait(5), told.append, told.append)
    background.forget()
    go.set()
    wait_until(lambda: False, 0.1)
    background.poll()
    assert not told


def test_a_step_can_be_cancelled_while_its_case_is_written(widget, monkeypatch):
    from DALESegmentLib.ui import case_snapshot as taken

    go = threading.Event()
    write = taken.save_array_case
    monkeypatch.setattr(taken, "save_array_case", lambda case, folder: (go.wait(5), write(case, folder)))
    click(widget.ui.trainButton)
    click(widget.ui.cancelButton)
    go.set()
    assert wait_until(lambda: not widget.logic.workflow.busy, 5)
    assert widget.ui.statusLabel.text == "Cancelled."
    assert not widget.logic.workflow.engine.running or not widget.logic.workflow.engine._requests
    assert widget.ui.trainButton.enabled


def test_an_error_beside_is_a_sentence_and_the_panel_stays_usable(widget, monkeypatch, caplog):
    from DALESegmentLib.ui import case_snapshot as taken

    def broken(case, folder):
        raise RuntimeError("of a kind that nobody thought of")

    with monkeypatch.context() as patched:
        patched.setattr(taken, "save_array_case", broken)
        click(widget.ui.trainButton)
        assert wait_until(lambda: not widget.logic.workflow.busy, 5)
    assert "the log says more" in widget.ui.statusLabel.text
    assert "nobody thought of" in caplog.text
    assert widget.ui.trainButton.enabled


def test_nothing_of_an_answer_is_shown_once_the_module_is_closed(widget):
    workflow, told = widget.logic.workflow, []

    def parts(_answer):
        workflow.close()
        told.append("closed")
        workflow.onChanged = lambda: told.append("shown")
        yield
        told.append("shown")

    workflow.beside(lambda: None, parts)
    assert wait_until(lambda: told, 5)
    wait_until(lambda: False, 0.1)
    assert told == ["closed"]
    assert not workflow.busy
