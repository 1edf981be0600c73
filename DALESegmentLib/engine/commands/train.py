"""The command train: a new training, or the resumption of an interrupted one. That has the settings that it was started
with; others are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, ValidationError, model_validator

from .. import __version__
from ..bundle.lineage import ancestry_of
from ..bundle.open_model import write_back
from ..bundle.run_folder import RUN_FILE, find_bundle, run_folder
from ..core.device import choose_device
from ..core.distributed import current
from ..core.errors import EngineError
from ..core.files import read_json
from ..core.progress import Progress
from ..dale.config import DaleConfig
from ..io.case import CaseSource, patient_of
from ..planning.class_union import ClassUnion
from ..planning.networks import LEARNING_RATE, LEARNING_RATES, build
from ..planning.plan import LARGEST_SEED, Normalise, Plan, TrainSettings, make_plan
from ..planning.preprocessing import PreparedCase
from ..training.build_trainer import training
from ..training.checkpoint import Checkpoint
from ..training.run_log import Logger, check_logger
from ..training.trainer import Trainer
from ..training.validation import held_out_of_run, load_held_out
from .case_checks import enumerated
from .dataset import (
    find_labelled,
    image_names_of,
    report_held_out_for_test,
    survey,
    unite_with_model,
    unused_files_said,
)
from .parameters import CasesParameter, Parameters
from .pretrained import Pretrained, following, recorded_model, still_held_out
from .training_run import ENCODING, Run, data_changed, prepare_run, train_and_record, validation_count


class TrainParameters(Parameters):
    cases: CasesParameter | None = None
    out: Path
    pretrained_weights: Path | None = None
    """The model to start from, of this or another program."""
    method: Literal["dale", "plain"] = "dale"
    network: str | None = None
    dims: Literal[2, 3] | None = None
    normalise: Normalise | None = None
    epochs: int = Field(50, ge=1)
    steps_per_epoch: int = Field(50, ge=1)
    batch_size: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    learning_rate: float | None = Field(None, gt=0)
    device: str = "auto"
    dale: DaleConfig = DaleConfig()
    validation: float = Field(0.2, ge=0.0, lt=1.0)
    folds: int | None = Field(None, ge=2)
    fold: int | None = Field(None, ge=0)
    """Validate on this one of so many parts of the patients, from 0, in place of a share."""
    resume: bool = False
    overwrite: bool = False
    logger: Logger | None = None
    _dale_fields_set: frozenset[str] = PrivateAttr(default=frozenset())

    @model_validator(mode="wrap")
    @classmethod
    def _with_dale_fields_set(cls, given: Any, handler: ModelWrapValidatorHandler[TrainParameters]) -> TrainParameters:
        """Keeps which of DALE's settings were given, which a dataclass does not know of itself."""
        asked = handler(given)
        if isinstance(given, Mapping) and isinstance(given.get("dale"), Mapping):
            asked._dale_fields_set = frozenset(given["dale"])
        return asked

    def settings(self, plan: Plan) -> TrainSettings:
        shared = set(TrainSettings.model_fields) & set(type(self).model_fields)
        values = {name: getattr(self, name) for name in shared}
        rate = self.learning_rate or LEARNING_RATES.get(plan.network, LEARNING_RATE)
        return TrainSettings(**{**values, "learning_rate": rate})


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = TrainParameters.model_validate(parameters)
    check_logger(asked.logger)
    with run_folder(asked.out, resume=asked.resume, overwrite=asked.overwrite):
        return _train(asked, progress)


def _train(asked: TrainParameters, progress: Progress) -> dict[str, Any]:
    ranks = current()
    device = choose_device(asked.device)
    ranks.check_same("commands, versions or devices", (__version__, device.type, asked.model_dump(mode="json")))
    beside = unused_files_said(asked.cases, progress) if ranks.is_main else {}
    record = _record(asked, device, progress.part(0, 10)) if ranks.is_main else None
    record = ranks.broadcast(record)
    assert record is not None
    plan, settings, start = record.plan, record.settings, _start_of(record, device)
    torch.manual_seed(settings.seed)
    network = build(plan.network, plan.network_arguments) if start is None else start.widened(plan)
    prepared = prepare_run(record, progress.part(10, 19 if start is None else 15))
    if start is not None:
        start.rehearse([case for part in prepared for case in part], record.classes, progress.part(15, 19))
    with_files = Checkpoint(asked.out, ranks)

    def make(cases: list[PreparedCase], validation: list[PreparedCase], part: Progress) -> Trainer:
        return training(plan, settings, network, cases, validation, with_files, device, part, logger=asked.logger)

    answer = train_and_record(
        record, prepared, make, progress.part(19, 100), resume=asked.resume, overwrite=asked.overwrite
    )
    if start is not None and plan.imported is not None and ranks.is_main:
        back = write_back(start.folder, asked.out / plan.imported.folder, network, plan)
        answer |= {} if back is None else {"written_back": str(back)}
    return answer | beside


def _start_of(record: Run, device: torch.device) -> Pretrained | None:
    """The model that the training starts from, where it does not start from random weights."""
    if not record.pretrained:
        return None
    return Pretrained.open(recorded_model(record.pretrained, record.folder.name), device)


def _record(asked: TrainParameters, device: torch.device, progress: Progress) -> Run:
    return resumed(asked) if asked.resume else _started(asked, device, progress)


def _started(asked: TrainParameters, device: torch.device, progress: Progress) -> Run:
    if asked.cases is None:
        raise EngineError("no-cases", "Name the cases to learn from: a folder, a list or items.")
    start = _pretrained(asked, device)
    found = asked.cases.find_to_learn()
    report_held_out_for_test(asked.cases, progress)
    sources = find_labelled(asked.cases, progress, found, None if start is None else start.plan.class_names)
    classes_of_set, names = ClassUnion({}), image_names_of(sources)
    if start is None:
        facts = survey(sources, progress)
        plan = make_plan(facts, network=asked.network, dims=asked.dims, device=device.type, normalise=asked.normalise)
    else:
        classes_of_set = unite_with_model(sources, start.plan.class_names)
        facts = survey(sources, progress, classes_of_set.names)
        plan, names = following(start.plan, classes_of_set, sources, facts), start.plan.image_names or names
    # each rank has room for as many patches as were planned for one
    batch = asked.batch_size or plan.batch_size * current().size
    plan = plan.model_copy(update={"batch_size": batch, "image_names": names})
    classes = {fact.name: {value for value in fact.values if value} for fact in facts}
    if asked.folds is not None and asked.fold is not None:
        to_learn, validation = split_fold(sources, asked.fold, asked.folds, asked.seed)
    else:
        to_learn, validation = split(sources, asked.validation, asked.seed, classes)
    said = _rare(sources, classes, plan.class_names) if validation else []
    said += classes_of_set.sentences()
    run = Run(asked.out, plan, asked.settings(plan), asked.cases, to_learn, validation)
    if start is not None:
        bundle = find_bundle(start.folder)
        run.held_out, run.ancestry = load_held_out(bundle), ancestry_of(bundle)
        run.training, run.validation = still_held_out(to_learn, validation, run.held_out.names)
        run.pretrained = start.as_recorded(classes_of_set)
    for sentence in said:
        progress.report(100, "reading", sentence)
    run.said, run.validation_share = said, asked.validation if asked.folds is None else None
    return run


def _pretrained(asked: TrainParameters, device: torch.device) -> Pretrained | None:
    """Raises EngineError("settings-of-model") for what the model has decided already."""
    if asked.pretrained_weights is None:
        return None
    decided = [name for name in ("network", "dims", "normalise") if getattr(asked, name) is not None]
    if decided:
        raise EngineError(
            "settings-of-model",
            f"A training from a model keeps its {' and '.join(decided)}; leave --{' and --'.join(decided)} out, or "
            "--pretrained-weights.",
        )
    return Pretrained.open(asked.pretrained_weights, device)


def split(
    sources: list[CaseSource], share: float, seed: int, classes: Mapping[str, Collection[int]] | None = None
) -> tuple[list[CaseSource], list[CaseSource]]:
    """Training and validation cases, no patient in both. Fewer than five patients are all trained on: a validation
    would say nothing. classes: what is labelled in each case, by name; each stays in some case that is learned from, so
    that fewer may be held out than asked for."""
    patients = list(dict.fromkeys(patient_of(source) for source in sources))
    count = validation_count(share, len(patients))
    labelled = _of_patients(sources, classes or {})
    left = Counter(value for found in labelled.values() for value in found)
    chosen: set[str] = set()
    for i in np.random.default_rng(seed).permutation(len(patients)):
        own = labelled[patients[i]]
        if len(chosen) < count and all(left[value] > 1 for value in own):
            chosen.add(patients[i])
            left.subtract(own)
    training = [s for s in sources if patient_of(s) not in chosen]
    return training, [s for s in sources if patient_of(s) in chosen]


def split_fold(
    sources: list[CaseSource], fold: int, folds: int, seed: int
) -> tuple[list[CaseSource], list[CaseSource]]:
    """Training and validation cases of one fold; each patient is validated on in exactly one. Raises
    EngineError("too-many-folds")."""
    patients = sorted({patient_of(source) for source in sources})
    if fold >= folds or folds > len(patients):
        raise EngineError(
            "too-many-folds", f"There are {len(patients)} patients, not enough for {folds} folds; ask for fewer folds."
        )
    held = {patients[i] for i in np.random.default_rng(seed).permutation(len(patients))[fold::folds]}
    return [s for s in sources if patient_of(s) not in held], [s for s in sources if patient_of(s) in held]


def _of_patients(sources: list[CaseSource], classes: Mapping[str, Collection[int]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for source in sources:
        found.setdefault(patient_of(source), set()).update(classes.get(source.name, ()))
    return found


def _rare(sources: list[CaseSource], classes: Mapping[str, Collection[int]], names: Mapping[int, str]) -> list[str]:
    """What is said of the classes that one patient alone has."""
    having: dict[int, list[str]] = {}
    for patient, found in _of_patients(sources, classes).items():
        for value in found:
            having.setdefault(value, []).append(patient)
    return [
        f"{patients[0]} alone has {names.get(value, f'class {value}')}, so it is learned from and not held out"
        for value, patients in sorted(having.items())
        if len(patients) == 1
    ]


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
        encoding = ENCODING.validate_python(stored["label_encoding"]) if "label_encoding" in stored else None
    except (KeyError, ValidationError) as error:
        raise EngineError("unreadable-file", f"{RUN_FILE} is damaged; train again without resume.") from error
    for setting in (*_of_the_training(asked, settings, plan), *_of_the_cases(asked.cases, cases)):
        _check_same(asked.out.name, *setting)
    found = cases.find_to_learn()
    if encoding is not None:
        found = [replace(source, encoding=encoding) for source in found]
    else:
        found = find_labelled(cases, Progress(), found, plan.class_names)
    by_name = {source.name: source for source in found}
    try:
        training, validation = ([by_name[name] for name in part] for part in names)
    except KeyError as error:
        raise EngineError("case-gone", f"Case {error} of this training is no longer there; put it back.") from error
    added = [name for name in by_name if name not in {*names[0], *names[1]}]
    if added:
        raise data_changed(asked.out.name, [f"{enumerated(added)} {'was' if len(added) == 1 else 'were'} added"])
    share = stored.get("validation_share")
    for setting in _of_the_validation(asked, training, validation, share):
        _check_same(asked.out.name, *setting)
    inputs = stored.get("inputs", {})
    run = Run(asked.out, plan, settings, cases, training, validation, held_out_of_run(asked.out), inputs=inputs)
    run.pretrained = stored.get("pretrained", {})
    if asked.pretrained_weights is not None:
        then = run.pretrained.get("model")
        _check_same(
            asked.out.name, "pretrained_weights", asked.pretrained_weights, None if then is None else Path(then)
        )
    if run.pretrained:
        run.ancestry = ancestry_of(find_bundle(Path(run.pretrained["model"])))
    run.validation_share = share
    return run


def _of_the_training(asked: TrainParameters, settings: TrainSettings, plan: Plan) -> Iterator[Setting]:
    for name in type(asked).model_fields:
        if name == "dale" or name not in asked.model_fields_set:
            continue
        if name in TrainSettings.model_fields:
            yield name, getattr(asked, name), getattr(settings, name)
        elif name in OF_THE_PLAN:
            yield name, getattr(asked, name), getattr(plan, name)
    for name in sorted(asked._dale_fields_set):
        yield f"dale.{name}", getattr(asked.dale, name), getattr(settings.dale, name)


def _of_the_validation(
    asked: TrainParameters, training: list[CaseSource], validation: list[CaseSource], share: float | None
) -> Iterator[Setting]:
    """What the share comes to counts: so many patients, whose cases stay together. share: as it was recorded; a run of
    an earlier version has no record of it."""
    held, all_of_them = (len({patient_of(s) for s in part}) for part in (validation, [*training, *validation]))
    if share is not None:
        held = validation_count(share, all_of_them)
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
