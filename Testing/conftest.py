"""What holds for all tests: one thread each, and processes that start as quickly as they can."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

# Before torch and SimpleITK are imported. On small arrays a thread waits longer for another one than it computes.
for variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(variable, "1")

STARTUP = Path(__file__).with_name("startup")


def import_without_extras(name: str, extras: tuple[str, ...]) -> None:
    """Import a package as it is where others, which it takes long to look for, are not installed."""
    hidden = [extra for extra in extras if extra not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)
    try:
        importlib.import_module(name)
    finally:
        for extra in hidden:
            del sys.modules[extra]


@pytest.fixture(scope="session", autouse=True)
def lean_processes():
    """Processes that tests start find the packages that Slicer has, and no others: see startup/."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(STARTUP), before)))
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
