"""Every parameter of a job that is a path is known as one; any other would be passed on to the engine as it is."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import pytest

from DALESegmentLib.engine.commands.parameters import CaseItem, CasesParameter, Parameters
from DALESegmentLib.engine.rpc.job_registry import GIVEN_PATHS, ITEM_PATHS, JOBS


def parameters_of(job: str) -> Iterator[type[Parameters]]:
    module = importlib.import_module(f"DALESegmentLib.engine.commands.{job}")
    for found in vars(module).values():
        if inspect.isclass(found) and issubclass(found, Parameters) and found.__module__ == module.__name__:
            yield found


def paths_in(model: type) -> set[str]:
    return {name for name, field in model.model_fields.items() if "Path" in str(field.annotation)}


@pytest.mark.parametrize("job", sorted(JOBS))
def test_every_path_is_named(job):
    unknown = set().union(*map(paths_in, parameters_of(job))) - set(GIVEN_PATHS)
    assert not unknown


def test_paths_of_cases_are_named():
    assert paths_in(CaseItem) == {*ITEM_PATHS, "images"}
    assert paths_in(CasesParameter) == {"folder", "list"}
