"""One request to the engine at a time, and what happens when its answer comes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from DALESegmentLib.engine.errors import EngineError

from .engine_process import EngineProcess
from .session import Session
from .signals import showProblemSoon


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
        self.running: str | None = None  # id of the request under way
        self.onChanged: Callable[[], None] = lambda: None
        self.onProgress: Callable[[dict], None] = lambda event: None
        self.onMessage: Callable[[str], None] = lambda sentence: None

    @property
    def busy(self) -> bool:
        return self.running is not None

    @property
    def state(self) -> Any:
        return self.session.state

    def cancel(self) -> None:
        if self.running is not None:
            self.engine.cancel(self.running)

    def request(self, command: str, parameters: dict[str, Any], onDone: Callable[[dict], None]) -> None:
        """Ask the engine; onDone(answer) is called while the same scene is open, and may ask again."""
        if self.busy:
            raise EngineError("busy", "A step is still running; wait for it or cancel it.")
        self.prepare()
        token = self.state.token

        def result(answer: dict) -> None:
            self.running = None
            try:
                if self.session is not None and self.state.token == token:
                    onDone(answer)
                else:
                    self.onMessage(_("The scene was closed meanwhile; the result was left out."))
            except EngineError as problem:
                error(problem.code, problem.sentence)
            except Exception:
                logging.exception("DALESegment: the answer to %s could not be used.", command)
                error("internal", _("The result could not be put into the scene; the log says more. Try again."))
            self.onChanged()

        def error(code: str, sentence: str) -> None:
            self.running = None
            self.onMessage(sentence)
            self.onChanged()
            if code != "cancelled":
                showProblemSoon(sentence)

        self.running = self.engine.request(command, parameters, lambda event: self.onProgress(event), result, error)
        self.onChanged()
