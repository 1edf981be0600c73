"""One request to the engine at a time, and what happens when its answer comes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from .background import Background, importInAdvance
from .engine_process import EngineProcess
from .session import Session
from .signals import showProblemSoon

BACKGROUND = "beside"  # in the place of a request's id while arrays are written or read beside the user interface

SHOWING = "showing"  # and while an answer is put into the scene, part by part

PAUSE_MS = 1  # between these parts; with none, Qt would not look for other events

DECLINED = "declined"
"""Code of what `prepare` raises where the user was asked and did not agree."""


@dataclass
class _Step:
    command: str
    parameters: dict[str, Any]
    onDone: Callable[[Any], Iterator[None] | None]
    read: Callable[[dict], Any] | None
    token: str
    onProgress: Callable[[dict], None]
    onFailed: Callable[[], None]
    cancelled: bool = False


class Requests:
    """Sends requests and never waits.

    engine: the process; prepare: called before each request, makes sure that the engine can run.
    onChanged() is called when a request starts or ends, onProgress(event) in between, onMessage(sentence) with
    what came of it. One that fails shows the sentence and changes nothing in the scene.
    """

    def __init__(self, engine: EngineProcess, prepare: Callable[[], Any]) -> None:
        self.engine = engine
        self.prepare = prepare
        self.session: Session | None = None
        self.running: str | None = None  # id of the request under way, or BACKGROUND, or SHOWING
        self.succeeded = True  # whether the last step did
        self.applying = False  # whether an answer is being put into the scene: its parts are shown together
        self.onChanged: Callable[[], None] = lambda: None
        self.onProgress: Callable[[dict], None] = lambda event: None
        self.onMessage: Callable[[str], None] = lambda sentence: None
        self._background = Background()
        self._step: _Step | None = None
        self._parts: Iterator[None] = iter(())  # of the answer that is being put into the scene, those to come

    @property
    def busy(self) -> bool:
        return self.running is not None

    @property
    def command(self) -> str:
        """The command under way, "" where there is none."""
        return self._step.command if self.busy and self._step is not None else ""

    @property
    def state(self) -> Any:
        return self.session.state

    def cancel(self) -> None:
        if self.running == BACKGROUND:
            self._step.cancelled = True
        elif self.running not in (None, SHOWING):
            self.engine.cancel(self.running)

    def abandon(self) -> None:
        """End the step where asking did not help: the engine is stopped, and the next step starts a fresh one."""
        if self.running == BACKGROUND:
            self._step.cancelled = True
        elif self.running not in (None, SHOWING):
            self.engine.kill()

    def close(self) -> None:
        """Nothing is to come any more."""
        self._background.forget()
        self._parts = iter(())
        if self.running == SHOWING:
            self.running, self.applying = None, False
        self.engine.stop()

    def request(
        self,
        command: str,
        parameters: dict[str, Any],
        onDone: Callable[[Any], Iterator[None] | None],
        writeCase: Callable[[], dict[str, Any]] | None = None,
        read: Callable[[dict], Any] | None = None,
        onProgress: Callable[[dict], None] = lambda event: None,
        onFailed: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask the engine; onDone(answer) is called while the same scene is open, and may ask again; so are
        onProgress(event) before it and, in its place, onFailed(). Where onDone yields, the viewer may go on there.

        writeCase() writes what the engine needs and returns the request's `cases`; read(answer) makes of the answer
        what onDone then gets. Both run beside the user interface: they touch neither the scene nor a widget.
        """
        if self.busy:
            raise EngineError("busy", "A step is still running; wait for it or cancel it.")
        try:
            self.prepare()
        except EngineError as problem:
            if problem.code != DECLINED:
                raise
            self.onMessage(problem.sentence)  # no dialog: the user has just closed the one that asked
            return
        self.succeeded = True
        step = self._step = _Step(command, parameters, onDone, read, self.state.token, onProgress, onFailed)
        if writeCase is None:
            self._send(step)
        else:
            importInAdvance()
            self._runInBackground(step, writeCase, lambda cases: self._sendWithCases(step, cases))
        self.onChanged()

    def beside(self, work: Callable[[], Any], onDone: Callable[[Any], None]) -> None:
        """A step without the engine: work() runs beside the user interface, then onDone(what it returned) here, while
        the same scene is open. Raises EngineError "busy"."""
        if self.busy:
            raise EngineError("busy", "A step is still running; wait for it or cancel it.")
        self.succeeded = True
        step = self._step = _Step("", {}, onDone, None, self.state.token, lambda event: None, lambda: None)
        self._runInBackground(step, work, lambda value: self._deliver(step, value))
        self.onChanged()

    def waitFor(self, condition: Callable[[], bool], seconds: float) -> bool:
        """For scripts and tests: go on until condition() holds. The module itself never waits."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or not self.busy:
                return condition()
            if self.running == BACKGROUND:
                self._background.poll()
            elif self.running == SHOWING:
                self._goOn()
            else:
                self.engine.waitFor(lambda: condition() or self.running in (BACKGROUND, SHOWING, None), 0.2)
        return True

    def _runInBackground(self, step: _Step, work: Callable[[], Any], onDone: Callable[[Any], None]) -> None:
        self.running = BACKGROUND

        def done(value: Any) -> None:
            if step.cancelled:
                self._failed("cancelled", _("Cancelled."))
            else:
                onDone(value)

        def error(problem: Exception) -> None:
            if isinstance(problem, EngineError):
                self._failed(problem.code, problem.sentence)
            else:
                self._unusable(step, problem)

        self._background.start(work, done, error)

    def _sendWithCases(self, step: _Step, cases: dict[str, Any]) -> None:
        step.parameters = {**step.parameters, "cases": cases}
        try:
            self._send(step)
        except EngineError as problem:
            self._failed(problem.code, problem.sentence)

    def _send(self, step: _Step) -> None:
        def result(answer: dict) -> None:
            if step.read is None:
                self._deliver(step, answer)
            else:
                self._runInBackground(step, lambda: step.read(answer), lambda value: self._deliver(step, value))

        self.running = self.engine.request(
            step.command, step.parameters, lambda event: self._progressed(step, event), result, self._failed
        )

    def _progressed(self, step: _Step, event: dict) -> None:
        self.onProgress(event)
        if self._stillOpen(step):
            step.onProgress(event)

    def _stillOpen(self, step: _Step) -> bool:
        """Whether the scene that was asked about is."""
        return self.session is not None and self.state.token == step.token

    def _deliver(self, step: _Step, value: Any) -> None:
        self.running = None
        self.applying = True
        try:
            if not self._stillOpen(step):
                self.onMessage(_("The scene was closed meanwhile; the result was left out."))
            elif (parts := step.onDone(value)) is not None:
                self.running, self._parts = SHOWING, parts
                self._goOn()
                return
        except EngineError as problem:
            self._failed(problem.code, problem.sentence)
        except Exception as problem:
            self._unusable(step, problem)
        finally:
            self.applying = self.running == SHOWING
        self.onChanged()

    def _goOn(self) -> None:
        """Put the next part of the answer into the scene, and the one after it once other events were handled."""
        if self.running != SHOWING:
            return
        step = self._step
        try:
            if self._stillOpen(step):
                next(self._parts)
                qt.QTimer.singleShot(PAUSE_MS, self._goOn)
                return
            self.onMessage(_("The scene was closed meanwhile; the result was left out."))
        except StopIteration:
            pass
        except EngineError as problem:
            self._failed(problem.code, problem.sentence)
        except Exception as problem:
            self._unusable(step, problem)
        self._parts = iter(())
        self.running, self.applying = None, False
        self.onChanged()

    def _unusable(self, step: _Step, problem: Exception) -> None:
        logging.error("DALESegment: what %s needs or answers could not be used.", step.command, exc_info=problem)
        self._failed("internal", _("The result could not be put into the scene; the log says more. Try again."))

    def _failed(self, code: str, sentence: str) -> None:
        self.running = None
        self.applying = self.succeeded = False
        if self._step is not None and self._stillOpen(self._step):
            self._step.onFailed()
        self.onMessage(sentence)
        self.onChanged()
        if code != "cancelled":
            showProblemSoon(sentence)
