"""How much memory this process may still take: of the machine, and of what a container, a cluster or a shell allows.

The machine's own figure says nothing about the limits of a container or of a job on a cluster; who goes beyond those is
killed. So the least counts of

- what the machine has free (psutil),
- the limits of the control group (versions 1 and 2) of this process and of all groups above it, less what is used there
  without the pages of files that can be dropped at any moment,
- the memory that SLURM gave the job on this machine, less this process's own: on many clusters it is also a control
  group, on others it is looked at from time to time,
- the limit of the address space (`ulimit -v`), less this process's own.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

UNKNOWN = sys.maxsize
_MEGABYTE = 1 << 20
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
"""The files of a limit and of what is used, and the line of memory.stat about what can be dropped."""


class Memory(NamedTuple):
    """Bytes that are free, and the bytes there are in all: of what bounds this process."""

    available: int
    total: int


def available_memory(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Bytes that this process may still take, never less than 0; UNKNOWN where nothing tells.

    root: where the system's own files lie.
    """
    known = memory(root, environment)
    return UNKNOWN if known is None else known.available


def memory(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Memory | None:
    """What is free and what there is in all; None where nothing tells. root: where the system's own files lie."""
    known = [*_machine(), *_control_groups(root), *_slurm(environment), *_address_space()]
    if not known:
        return None
    return Memory(max(0, min(each.available for each in known)), min(each.total for each in known))


def _machine() -> Iterator[Memory]:
    try:
        import psutil  # not at file scope: Slicer may not have it
    except ImportError:
        return
    found = psutil.virtual_memory()
    yield Memory(found.available, found.total)


def _control_groups(root: Path) -> Iterator[Memory]:
    """Of the groups that are seen from here: in a container those above its own are not."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            yield from _from_group_up(root / "sys/fs/cgroup", group, _V2)
        elif "memory" in controllers.split(","):
            yield from _from_group_up(root / "sys/fs/cgroup/memory", group, _V1)


def _from_group_up(mounted: Path, group: str, names: tuple[str, str, str]) -> Iterator[Memory]:
    parts = [part for part in group.split("/") if part]
    if ".." in parts:  # outside what is seen from here
        parts = []
    for depth in range(len(parts), -1, -1):
        folder = mounted.joinpath(*parts[:depth])
        limit, used = _number(folder / names[0]), _number(folder / names[1])
        if limit is not None and used is not None:
            yield Memory(limit - used + _droppable(folder, names[2]), limit)


def _number(path: Path) -> int | None:
    """None where there is no such file, or "max" in it."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _droppable(folder: Path, name: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _slurm(environment: Mapping[str, str]) -> Iterator[Memory]:
    """SLURM tells in megabytes, a node or a CPU; 0 is all of the node's."""
    a_node, a_cpu, cpus = (
        int(text) if (text := environment.get(f"SLURM_{name}", "")).isdecimal() else 0
        for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE")
    )
    limit = (a_node or a_cpu * cpus) * _MEGABYTE
    if limit:
        yield Memory(limit - _own("rss"), limit)


def _address_space() -> Iterator[Memory]:
    if sys.platform == "win32":
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield Memory(limit - _own("vms"), limit)


def _own(kind: str) -> int:
    """Bytes of this process, resident ("rss") or of its address space ("vms")."""
    try:
        import psutil
    except ImportError:
        return 0
    return int(getattr(psutil.Process().memory_info(), kind))


@contextmanager
def without_collecting() -> Iterator[None]:
    """Without looking for garbage in cycles: Python does so each time so many objects were made, and looks at all there
    are, which takes a third of the time in which the headers of a long series are read."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
