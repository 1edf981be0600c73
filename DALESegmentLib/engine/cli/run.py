"""Runs one command, from its parameters to its exit code: asks the engine, shows progress, prints the answer.

Progress goes to standard error: a bar in a terminal, a line now and then in a file. Under `torchrun` the command runs
in this process, which is one of several, instead of in an engine process of its own.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from ..bundle.run_folder import CHECKPOINT_FILE
from ..core.errors import EngineError, SaidElsewhere, cancellable
from ..core.progress import Progress
from ..rpc.client import ENGINE_VARIABLE, EngineClient, Pending, serving
from ..rpc.error_messages import crash_report, explain
from ..rpc.job_registry import JOBS, PATHS
from ..rpc.protocol import plain

FAILED, NOT_ACCEPTED, CANCELLED, TERMINATED = 1, 3, 130, 143

Show = Callable[[dict[str, Any]], None]


def perform(
    command: str,
    parameters: dict[str, Any],
    as_json: bool,
    show: Show,
    quiet: bool = False,
    refusal: Callable[[dict[str, Any]], str] = lambda result: "",
    is_bad: Callable[[dict[str, Any]], bool] = lambda result: False,
) -> dict[str, Any]:
    """Print the result with `show`, as JSON, or of it the paths alone; return it. Raises typer.Exit: 1 with a sentence
    on standard error, or where `is_bad` says so of the result; 130 when cancelled, 143 when terminated, 3 with the
    sentence of `refusal` where it has one."""
    parameters = _in_utf8(plain(parameters))
    with _terminated_as_cancelled() as ended:
        try:
            with _progress(as_json, quiet) as progress:
                work = shared if several() else _in_engine
                result = work(command, parameters, progress)
        except EngineError as error:
            fail(_resumable(error, command, parameters), ended.by_signal)
        except KeyboardInterrupt:
            fail(EngineError("cancelled", "Stopped before the work began."), ended.by_signal)
    if silent():
        return result
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=not _takes_all_names()))
    elif quiet:
        for path in _paths_of(command, result):
            print(path)
    else:
        show(result)
    if sentence := refusal(result):
        errors.print(sentence, markup=False)
        raise typer.Exit(NOT_ACCEPTED)
    if is_bad(result):
        raise typer.Exit(FAILED)
    return result


def _resumable(error: EngineError, command: str, parameters: dict[str, Any]) -> EngineError:
    """Of a training that was stopped, with what is typed to go on."""
    out = parameters.get("out")
    if (
        isinstance(error, SaidElsewhere)
        or command != "train"
        or error.code != "cancelled"
        or not (Path(str(out)) / CHECKPOINT_FILE).is_file()
    ):
        return error
    go_on = f"go on with dalesegment train --resume --out {shlex.quote(str(out))}"
    return EngineError(error.code, f"{error.sentence.removesuffix('.')}; {go_on}.")


def _progress(as_json: bool, quiet: bool) -> Bar | Lines:
    return Nothing() if quiet or silent() else view(quiet=as_json)


def _paths_of(command: str, result: dict[str, Any]) -> list[str]:
    """Of the result as a whole; those of single cases lie below them."""
    names = ("csv", "json") if command == "evaluate" else PATHS.get(command, ())
    return [result[name] for name in names if "." not in name and result.get(name)]


class _Ended:
    """by_signal: the signal that ends the work, 0 where there was none."""

    by_signal = 0


@contextmanager
def _terminated_as_cancelled() -> Iterator[_Ended]:
    """For the block, SIGTERM ends the work as Ctrl-C does: with what was finished kept, and a sentence."""
    ended = _Ended()
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield ended
        return

    def end(number: int, _frame: Any) -> None:
        ended.by_signal = number
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield ended
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_utf8(value: Any) -> Any:
    """Texts of the command line as the user meant them, where the locale (C, as in many containers) knows no umlauts
    and Python kept their bytes. The engine reads paths in UTF-8."""
    if isinstance(value, dict):
        return {key: _in_utf8(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_utf8(item) for item in value]
    if isinstance(value, str) and not value.isascii():
        with suppress(UnicodeError):
            return os.fsencode(value).decode("utf-8")
    return value


def write_any_name() -> None:
    """Print a name that the output cannot hold as escapes. Pipes and consoles of Windows have some old code page."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _takes_all_names() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def fail(error: EngineError, by_signal: int = 0) -> NoReturn:
    """Raises typer.Exit after the sentence, which another process may have said."""
    if not isinstance(error, SaidElsewhere):
        errors.print(f"Error: {error.sentence}", markup=False)
    cancelled = TERMINATED if by_signal == signal.SIGTERM else CANCELLED
    raise typer.Exit(cancelled if error.code == "cancelled" else FAILED) from None


def _in_engine(command: str, parameters: dict[str, Any], progress: Bar | Lines) -> dict[str, Any]:
    with EngineClient(serving(os.environ.get(ENGINE_VARIABLE))) as engine:
        pending = engine.start(command, parameters)
        try:
            return pending.wait(progress.show)
        except KeyboardInterrupt:
            return _stop(engine, pending, progress)


def _stop(engine: EngineClient, pending: Pending, progress: Bar | Lines) -> dict[str, Any]:
    """The first Ctrl-C asks and waits, the second does not wait."""
    errors.print("Stopping; press Ctrl-C again to stop at once.")
    try:
        pending.cancel()
        return pending.wait(progress.show)
    except EngineError as error:
        if error.code != "engine-gone":
            raise
        # the signal went to the engine as well, which ended first
        raise EngineError("cancelled", "Cancelled; everything finished before is kept.") from None
    except KeyboardInterrupt:
        engine.kill()
        raise EngineError("cancelled", "Stopped at once; the last step may not have been kept.") from None


LINE_PERCENT, LINE_SECONDS = 10.0, 30.0

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """A rich progress bar; gone when the job is done."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.fields[stage]:<10}"), BarColumn(), TaskProgressColumn())
        self._progress = RichProgress(
            *columns,
            TextColumn("{task.description}", markup=False),
            console=errors,
            transient=True,
        )
        self._task = self._progress.add_task("", total=100.0, stage="starting")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: dict[str, Any]) -> None:
        self._progress.update(self._task, completed=event["percent"], description=_words(event), stage=event["stage"])


class Lines:
    """A line at each new stage, every ten percent and every half minute."""

    def __init__(self) -> None:
        self._stage, self._percent, self._at = "", 0.0, 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clear."""

    def show(self, event: dict[str, Any]) -> None:
        stage, percent, now = event["stage"], event["percent"], time.monotonic()
        far = percent - self._percent >= LINE_PERCENT or now - self._at >= LINE_SECONDS
        if stage != self._stage or far:
            self._stage, self._percent, self._at = stage, percent, now
            errors.print(f"{percent:3.0f} %  {stage}: {_words(event)}", markup=False)


class Nothing(Lines):
    """For scripts."""

    def show(self, event: dict[str, Any]) -> None:
        pass


def view(quiet: bool) -> Bar | Lines:
    """What fits where standard error goes; quiet: nothing but a bar in a terminal."""
    if errors.is_terminal:
        return Bar()
    return Nothing() if quiet else Lines()


def _words(event: dict[str, Any]) -> str:
    numbers = [f"{name.replace('_', ' ')} {_number(value)}" for name, value in event["values"].items()]
    left = event["seconds_left"]
    return ", ".join([event["message"], *numbers, *([] if left is None else [f"{duration(left)} left"])])


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """As a person says it: 12 s, 3 min, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


SHARED = ("train", "finetune")
"""What several processes can do together."""


def several() -> bool:
    """Whether there are others, of which torchrun tells by these variables."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def silent() -> bool:
    """Whether another one shows progress and result."""
    return several() and os.environ.get("RANK", "0") != "0"


def shared(command: str, parameters: dict[str, Any], progress: Bar | Lines) -> dict[str, Any]:
    """This process's part. The first process that fails says why; in the others it is a SaidElsewhere."""
    if command not in SHARED:
        raise (SaidElsewhere if silent() else EngineError)(
            "not-for-ranks",
            f"{command} works in one process; start it without torchrun, which is for {' and '.join(SHARED)}.",
        )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from ..core.distributed import joined  # torch takes seconds to import

    def explained(problem: BaseException) -> EngineError:
        error = explain(problem, command, parameters)
        if error.code == "internal":
            print(crash_report(problem), file=sys.stderr)
        return error

    with joined(stop, explained) as ranks:
        told = Progress(progress.show if ranks.is_main else None, stop)
        with cancellable(told.check):
            return JOBS[command](parameters, told)
