"""Run the cells that are not there yet, several at once, and print how long it will take."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cell import Cell
from .data_set import QUICK, USER
from .keys import key_of
from .store import Store
from .tiers import SECONDS, USER_SECONDS, expected_work

Print = Callable[[str], None]
Outcome = tuple[Cell, dict[str, Any] | None, str]
"""The cell, its result, or None and why there is none."""


@dataclass
class Report:
    """failed: cells and why; left: cells the time did not reach."""

    failed: list[tuple[Cell, str]] = field(default_factory=list)
    left: list[Cell] = field(default_factory=list)


def missing(cells: Sequence[Cell], store: Store) -> list[Cell]:
    """One cell a key that has no result yet."""
    by_key: dict[str, Cell] = {}
    for cell in cells:
        by_key.setdefault(key_of(cell), cell)
    return [cell for key, cell in by_key.items() if key not in store.results]


def expected_seconds(cells: Sequence[Cell], store: Store, known: Sequence[Cell], workers: int) -> float | None:
    """From finished cells of the same set and path, or the constants measured for the quick tier and the user's path;
    None where neither is."""
    measured: dict[tuple[str, str], list[float]] = {}
    for cell in known:
        result = store.results.get(key_of(cell))
        if result is not None:
            measured.setdefault((cell.data.name, cell.path), []).append(result["seconds"] / expected_work(cell))
    total = 0.0
    for cell in cells:
        each = measured.get((cell.data.name, cell.path)) or _constant(cell)
        if not each:
            return None
        total += sum(each) / len(each) * expected_work(cell)
    return total / max(workers, 1)


def _constant(cell: Cell) -> list[float]:
    name = cell.data.name
    if cell.path == "user":
        return [USER_SECONDS[name]] if name in USER_SECONDS and name in USER else []
    return [SECONDS[name]] if name in SECONDS and cell.data == QUICK[name] else []


def run(
    cells: Sequence[Cell], store: Store, data: Path, device: str, workers: int, minutes: float | None, say: Print
) -> Report:
    """workers 0: in this process. After `minutes` no further cell is started."""
    todo = missing(cells, store)
    end = None if minutes is None else time.monotonic() + 60 * minutes
    report = Report()
    asked: list[Cell] = []
    for cell, result, why in _outcomes(todo, data, device, workers, end, asked):
        if result is None:
            report.failed.append((cell, why))
            say(f"  FAILED {cell.title}: {why}")
            continue
        store.add(cell, result)
        rest = [c for c in todo if key_of(c) not in store.results]
        left = expected_seconds(rest, store, cells, workers)
        dice = "none" if result["dice"] is None else f"{result['dice']:.3f}"
        say(
            f"  {len(todo) - len(rest)}/{len(todo)} {cell.title}: Dice {dice}, "
            f"{result['seconds']:.0f} s; {clock(left)} left"
        )
    started = {key_of(c) for c in asked}
    report.left = [c for c in todo if key_of(c) not in started]
    return report


def clock(seconds: float | None) -> str:
    return "unknown time" if seconds is None else f"{seconds / 60:.0f} min"


def _outcomes(
    todo: Sequence[Cell], data: Path, device: str, workers: int, end: float | None, asked: list[Cell]
) -> Iterator[Outcome]:
    def in_time() -> bool:
        return end is None or time.monotonic() < end

    queue = list(reversed(todo))
    if workers == 0:
        while queue and in_time():
            asked.append(queue.pop())
            yield _attempt(asked[-1], data, device)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        running: set[Future[Outcome]] = set()
        while (queue and in_time()) or running:
            while queue and in_time() and len(running) < workers:
                asked.append(queue.pop())
                running.add(pool.submit(_attempt, asked[-1], data, device))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _begin() -> None:
    """In each process: one thread for the work, and no life after the parent, however that ended."""
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process; a stopped worker prints nothing
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(cell: Cell, data: Path, device: str) -> Outcome:
    """One cell that fails (for instance, a training that diverged) must not cost the others."""
    from .scoring import run_cell

    try:
        return cell, run_cell(cell, data, device), ""
    except Exception as error:  # every reason is reported with its cell
        return cell, None, f"{type(error).__name__}: {error}"
