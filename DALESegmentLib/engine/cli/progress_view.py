"""Progress for people, on standard error: a bar in a terminal, now and then a line in a file."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

LINE_PERCENT, LINE_SECONDS = 10.0, 30.0

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """A rich progress bar; gone when the job is done."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.fields[stage]:<10}"), BarColumn(), TaskProgressColumn())
        self._progress = Progress(
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
