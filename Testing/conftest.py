"""What holds for all tests: one thread each, and processes that start as quickly as they can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch and SimpleITK are imported. On small arrays a thread waits longer for another one than it computes.
for variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(variable, "1")

MOST_SECONDS = 2.0
"""Of the processor, for a test that is not marked slow."""

STARTUP = Path(__file__).with_name("startup")


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


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Graphs of networks that tests make do not go to the user's cache, and none that lie there are used."""
    before = os.environ.get("DALESEGMENT_CACHE")
    os.environ["DALESEGMENT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["DALESEGMENT_CACHE"]
    else:
        os.environ["DALESEGMENT_CACHE"] = before


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker begins a long one when the others have nothing left."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Warn of a test that makes `make test-quick` slow. Processes that it started and waited for count as well."""
    before = processor_seconds()
    yield
    took = processor_seconds() - before
    if took > MOST_SECONDS and not item.get_closest_marker("slow"):
        item.warn(pytest.PytestWarning(f"it took {took:.1f} s of the processor; mark it slow"))


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
