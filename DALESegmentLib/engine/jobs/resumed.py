"""A training that goes on: as it was started, never with other settings without a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..cases.patients import patient_of
from ..cases.source import CaseSource
from ..errors import EngineError
from ..learn.folder import RUN_FILE, read_json
from ..learn.held_out import held_out_of_run
from ..learn.plan import Plan
from ..learn.settings import TrainSettings
from .parameters import CasesParameter
from .training import Run, validation_count

if TYPE_CHECKING:
    from .train import TrainParameters

OF_THE_PLAN = ("network", "dims", "normalise", "batch_size")

Setting = tuple[str, Any, Any]  # name, as asked for now, as the training was started


def resumed(asked: TrainParameters) -> Run:
    """The run in the folder `asked.out`.

    Raises EngineError("settings-changed") where a setting was given that differs from the run's,
    ("unreadable-file", "case-gone") and what finding the cases raises.
    """
    stored = read_json(asked.out / RUN_FILE)
    try:
        cases = CasesParameter.model_validate(stored["cases"])
        settings, plan = TrainSettings.model_validate(stored["settings"]), Plan.model_validate(stored["plan"])
        names = stored["training"], stored["validation"]
    except (KeyError, ValidationError) as error:
        raise EngineError("unreadable-file", f"{RUN_FILE} is damaged; train again without resume.") from error
    for setting in (*_of_the_training(asked, settings, plan), *_of_the_cases(asked.cases, cases)):
        _check_same(asked.out.name, *setting)
    by_name = {source.name: source for source in cases.find_to_learn()}
    try:
        training, validation = ([by_name[name] for name in part] for part in names)
    except KeyError as error:
        raise EngineError("case-gone", f"Case {error} of this training is no longer there; put it back.") from error
    for setting in _of_the_validation(asked, training, validation):
        _check_same(asked.out.name, *setting)
    return Run(asked.out, plan, settings, cases, training, validation, held_out_of_run(asked.out))


def _of_the_training(asked: TrainParameters, settings: TrainSettings, plan: Plan) -> Iterator[Setting]:
    for name in type(asked).model_fields:
        if name == "dale" or name not in asked.model_fields_set:
            continue
        if name in TrainSettings.model_fields:
            yield name, getattr(asked, name), getattr(settings, name)
        elif name in OF_THE_PLAN:
            yield name, getattr(asked, name), getattr(plan, name)
    if "dale" in asked.model_fields_set:
        for name in sorted(asked.dale.model_fields_set):
            yield f"dale.{name}", getattr(asked.dale, name), getattr(settings.dale, name)


def _of_the_validation(
    asked: TrainParameters, training: list[CaseSource], validation: list[CaseSource]
) -> Iterator[Setting]:
    """The share itself is not recorded, but what it came to is: so many patients, whose cases stay together."""
    held, all_of_them = (len({patient_of(s) for s in part}) for part in (validation, [*training, *validation]))
    if "validation" in asked.model_fields_set and validation_count(asked.validation, all_of_them) != held:
        yield "validation", asked.validation, f"{held} of {all_of_them} {_unit(all_of_them, training, validation)}"


def _unit(patients: int, training: list[CaseSource], validation: list[CaseSource]) -> str:
    return "cases" if patients == len(training) + len(validation) else "patients"


def _of_the_cases(asked: CasesParameter | None, stored: CasesParameter) -> Iterator[Setting]:
    if asked is not None:
        for name in sorted(asked.model_fields_set):
            yield f"cases.{name}", getattr(asked, name), getattr(stored, name)


def _check_same(run: str, name: str, asked: Any, stored: Any) -> None:
    """None says that nothing was asked for."""
    if asked is None or _comparable(asked) == _comparable(stored):
        return
    now, then = _shown(asked), _shown(stored)
    elsewhere = " in another place" if now == then else ""
    raise EngineError(
        "settings-changed",
        f"The setting {name} is {now}{elsewhere}, but the training in {run} was started with {then}; "
        "leave it out to go on, or start a new training in another folder.",
    )


def _comparable(value: Any) -> Any:
    return value.resolve() if isinstance(value, Path) else value


def _shown(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, list) and not all(isinstance(part, str) for part in value):
        return f"a list of {len(value)}"
    return "its default" if value is None else str(value)
