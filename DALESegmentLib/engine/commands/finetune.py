"""The command finetune: continues training from a model with corrected cases.

Voxels that a clinician confirmed get full weight. The cases the model was trained on are replayed where they can still
be found, which prevents forgetting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from .. import __version__
from ..bundle.lineage import ancestry_of
from ..bundle.open_model import files_of_folds, open_model, write_back
from ..bundle.run_folder import RUN_FILE, find_bundle, run_folder, run_of
from ..bundle.validate import check_trainable
from ..core.device import choose_device
from ..core.distributed import Ranks, current
from ..core.errors import EngineError
from ..core.files import read_json
from ..core.progress import Progress
from ..dale.config import DaleConfig
from ..dale.correctors.annotator_bias import Bias, correct_bias
from ..dale.label_state import LabelState
from ..inference.measurements import inherit_calibration
from ..inference.predictor import Predictor
from ..io.case import CaseSource
from ..io.checks import check_foreground
from ..planning.data_shift import ImageStatistics, widened
from ..planning.plan import LARGEST_SEED, Plan, TrainSettings
from ..planning.preprocessing import CaseCache, PreparedCase, prepare_case
from ..training.build_trainer import finetuning
from ..training.checkpoint import Checkpoint, load_labels
from ..training.rater_labels import with_consensus
from ..training.run_log import Logger, check_logger
from ..training.trainer import Trainer
from ..training.validation import (
    load_held_out,
    load_recalibration,
    save_recalibration,
    validation_dice,
    with_outcome,
    with_outcomes_of_all,
)
from .dataset import check_image_order, check_names_known, find_labelled, read_labelled, report_held_out_for_test
from .model_acceptance import ReviewedCase, compare_scores, score_reviewed
from .parameters import CasesParameter, Parameters
from .prepared_cases import check_enough, check_fits, of_source, prepare_source
from .pretrained import still_held_out
from .training_run import ENCODING, Run, describe_accepted, train_and_record

TRUSTED_SHARE = 0.5
"""Of the cross-entropy of a batch that holds trusted voxels, about so much is theirs at least."""
REPLAY_READ, LEARNING = 0.2, 0.2
"""Of the budget: earlier cases are read until so much is spent; so much is for learning, however long the rest is."""
SAFETY, WRITING = 1.2, 0.3
"""Of the time that judging takes; seconds for the model's files."""
UNLIMITED = 9_999
"""Epochs, and steps in each."""


class FinetuneParameters(Parameters):
    model: Path
    cases: CasesParameter
    out: Path
    seconds: float | None = Field(None, gt=0)
    epochs: int = Field(10, ge=1)
    steps_per_epoch: int = Field(20, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    device: str = "auto"
    overwrite: bool = False
    logger: Logger | None = None
    bias_correction: bool = True
    """Undo elsewhere the systematic bias that corrections in many places show."""


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = FinetuneParameters.model_validate(parameters)
    check_logger(asked.logger)
    source = find_bundle(asked.model).resolve()
    if asked.out.resolve() in (run_of(source), *source.parents[:1], source):
        raise EngineError(
            "run-exists", "A fine-tune needs a folder of its own, so that the model it starts from is kept."
        )
    with run_folder(asked.out, overwrite=asked.overwrite):
        return _finetune(asked, progress)


def _finetune(asked: FinetuneParameters, progress: Progress) -> dict[str, Any]:
    started = time.monotonic()
    budget = Budget(started, asked.seconds)
    device, ranks = choose_device(asked.device), current()
    ranks.check_same("commands, versions or devices", (__version__, device.type, asked.model_dump(mode="json")))
    network, plan = open_model(asked.model, device, to_train=True)
    check_trainable(plan, asked.model.name)
    folds = len(files_of_folds(asked.model))
    if folds > 1:
        progress.report(0, "reading", f"Of {folds} folds the first one learns; name another one by its own folder")
    run_folder = run_of(find_bundle(asked.model))
    earlier, held_out = _earlier_run(run_folder), load_held_out(find_bundle(asked.model))
    found = asked.cases.find_to_learn()
    report_held_out_for_test(asked.cases, progress)
    found = find_labelled(asked.cases, progress.part(0, 1), found, plan.class_names)
    check_names_known(found, plan.class_names)
    training, validation = still_held_out(found, [], held_out.names)
    check_enough(training, ranks)
    cache = CaseCache(asked.out)
    own_training, own_validation = ranks.shard(training), ranks.shard(validation)
    read = _read([*own_training, *own_validation], plan, cache, progress.part(0, 8))
    seen = ranks.all_gather([read[s.name].statistics for s in own_training])
    plan = plan.model_copy(update={"trained_on": widened(plan.trained_on, seen)})
    cases = [read[s.name].case for s in own_training]
    kept = with_consensus([read[s.name].case for s in own_validation])
    # where a clinician says so, nothing may be there
    there = [bool((case.labels.target() > 0).any() or case.labels.reviewed.any()) for case in cases]
    check_foreground(dict(zip((s.name for s in training), ranks.all_gather(there), strict=True)))
    records = records_of(earlier)
    unseen = {s.name for s in [*training, *validation]} | held_out.names
    known_images = set[str]().union(*ranks.gather_all({c.fingerprint for c in [*cases, *kept]}))

    def prepare(sources: list[CaseSource]) -> list[PreparedCase]:
        found = prepare_earlier(sources, plan, cache, budget.at(REPLAY_READ), progress.part(8, 12))
        return [case for case in found if case.fingerprint not in known_images]

    replay = prepare_replay(find_earlier(records, unseen, asked.seed), len(training), prepare, ranks)
    settings = _settings(asked, earlier)
    record = Run(asked.out, plan, settings, asked.cases, training, validation, held_out, records)
    record.ancestry = ancestry_of(find_bundle(asked.model))
    labels, known = load_labels(run_folder), load_recalibration(run_folder)

    bias = None
    if settings.method == "dale" and settings.dale.bias_correction:
        bias = _undo_bias([*cases, *replay], kept, labels, settings.dale, progress.part(12, 13))

    def looked(case: PreparedCase, probabilities: Tensor) -> None:
        nonlocal known
        known = with_outcome(known, case, labels.get(case.name), probabilities)

    predictor = Predictor(network, plan, device)
    judging = time.monotonic()
    confirmed = [case for case in (read[s.name].confirmed for s in own_training) if case is not None]
    before = score_reviewed(confirmed, predictor, progress.part(13, 14), looked)
    dice = validation_dice(kept, predictor, progress.part(14, 16), ranks)
    deadline = budget.learning_ends(time.monotonic() - judging)
    torch.manual_seed(asked.seed)
    checkpoint = Checkpoint(asked.out, ranks)

    def make(learned: list[PreparedCase], validated: list[PreparedCase], part: Progress) -> Trainer:
        trainer = partial(finetuning, deadline=deadline, logger=asked.logger)
        return trainer(plan, settings, network, learned, validated, checkpoint, device, part)

    result = train_and_record(
        record,
        ([*cases, *replay], kept),
        make,
        progress.part(16, 95),
        overwrite=asked.overwrite,
        earlier=labels,
        extents=settings.seconds is None,  # a budget has no time for it
    )
    known = with_outcomes_of_all(load_recalibration(run_folder), known, ranks)
    if ranks.is_main:
        save_recalibration(asked.out, known)
        inherit_calibration(find_bundle(asked.model), find_bundle(asked.out))
        back = plan.imported and write_back(asked.model, asked.out / plan.imported.folder, network, plan)
        result |= {} if back is None else {"written_back": str(back)}
    network.eval()
    after = score_reviewed(confirmed, predictor, progress.part(95, 100))
    result |= {"seconds": round(time.monotonic() - started, 2), "replayed": sum(ranks.gather_all(len(replay)))}
    result["bias"] = bias.describe() if bias is not None else None
    result |= compare_scores(before, after, dice, result["validation_dice"], ranks)
    if ranks.is_main:
        describe_accepted(record, result)
    return result


def _undo_bias(
    cases: list[PreparedCase],
    kept: list[PreparedCase],
    earlier: Mapping[str, LabelState],
    config: DaleConfig,
    progress: Progress,
) -> Bias | None:
    """In validation cases too: they share the bias, and a model is not to be held to it."""
    for case in cases:
        if (before := earlier.get(case.name)) is not None:
            case.labels.restore_given(before.given)
    bias = correct_bias(cases, kept, config.annotator_bias_config, current().gather_all)
    if bias is not None:
        progress.report(0, "reading", f"{bias.describe()}; the other outlines are learned as if drawn so too")
    return bias


@dataclass(frozen=True)
class Budget:
    """started: on the monotonic clock; seconds: for everything, reading and judging too, or None."""

    started: float
    seconds: float | None

    def at(self, share: float) -> float | None:
        """The moment when so much of it is spent."""
        return None if self.seconds is None else self.started + share * self.seconds

    def learning_ends(self, judging: float) -> float | None:
        """judging: how long it took once, and will take again. A part of the budget is learned in any case."""
        if self.seconds is None:
            return None
        deadline = self.started + self.seconds - SAFETY * judging - WRITING
        return max(deadline, time.monotonic() + LEARNING * self.seconds)


@dataclass(frozen=True)
class _ReadCase:
    case: PreparedCase
    confirmed: ReviewedCase | None
    statistics: ImageStatistics


def _read(sources: list[CaseSource], plan: Plan, cache: CaseCache, progress: Progress) -> dict[str, _ReadCase]:
    """Each once, by name. Raises EngineError for the first that does not fit the model."""
    read: dict[str, _ReadCase] = {}
    prepared: PreparedCase | None = None
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Preparing case {i + 1} of {len(sources)}")
        check_image_order(source.name, source.image_names, plan)
        case = read_labelled(source, plan.class_names)
        check_fits(case, plan)
        progress.check()
        like = prepared if source.of_case and prepared is not None and prepared.of_case == source.of_case else None
        prepared = cache.keep(of_source(prepare_case(case, plan, like), source, case), like)
        read[source.name] = _ReadCase(prepared, ReviewedCase.of(case, prepared), ImageStatistics.of(case))
    return read


def _settings(asked: FinetuneParameters, earlier: dict[str, Any]) -> TrainSettings:
    """DALE (or plain) as the model was trained, without a warm-up: the model is warm. With a budget the clock alone
    counts, unless steps are asked for."""
    try:
        stored = TrainSettings.model_validate(earlier["settings"]) if earlier else TrainSettings()
    except (KeyError, ValidationError) as error:
        raise EngineError(
            "unreadable-file",
            f"{RUN_FILE} of this model is damaged or one of another version; move its folder bundle elsewhere and name "
            "that one, or train the model again.",
        ) from error
    clock_alone = asked.seconds is not None and not {"epochs", "steps_per_epoch"} & asked.model_fields_set
    return stored.model_copy(
        update={
            "dale": replace(stored.dale, warm_up=0.0, bias_correction=asked.bias_correction),
            "epochs": UNLIMITED if clock_alone else asked.epochs,
            "steps_per_epoch": UNLIMITED if clock_alone else asked.steps_per_epoch,
            "seconds": asked.seconds,
            "seed": asked.seed,
            "learning_rate": asked.learning_rate,
            "trusted_share": TRUSTED_SHARE,
        }
    )


def _earlier_run(run_folder: Path) -> dict[str, Any]:
    """run.json of the training the model came from; empty for a bundle on its own."""
    path = run_folder / RUN_FILE
    return read_json(path) if path.is_file() else {}


MOST = 40
"""More would not be seen in a fine-tune's few steps."""

Record = Mapping[str, Any]
"""`cases` as a run's record has them, and the names of those `training` was on."""


def records_of(run: Record) -> list[Record]:
    """Of a run.json: its own cases, and those of the runs before it, the newest first."""
    own = {key: run[key] for key in ("cases", "training", "label_encoding") if key in run}
    return [*([own] if {"cases", "training"} <= set(own) else []), *run.get("earlier", [])]


def find_earlier(records: Sequence[Record], known: Collection[str], seed: int) -> list[CaseSource]:
    """In an order that is drawn, without those whose names are known. What has gone or is damaged is passed over."""
    found: dict[str, CaseSource] = {}
    for record in records:
        with suppress(EngineError, ValidationError, OSError, TypeError):
            wanted = set(record["training"]) - set(known) - set(found)
            sources = CasesParameter.model_validate(record["cases"]).find_to_learn() if wanted else []
            encoding = ENCODING.validate_python(record["label_encoding"]) if "label_encoding" in record else None
            found |= {s.name: replace(s, encoding=encoding) for s in sources if s.name in wanted}
    names = sorted(found)
    order = np.random.default_rng(seed).permutation(len(names))[:MOST]
    return [found[names[int(i)]] for i in order]


def prepare_replay(
    sources: Sequence[CaseSource],
    first: int,
    prepare: Callable[[list[CaseSource]], list[PreparedCase]],
    ranks: Ranks,
) -> list[PreparedCase]:
    """The rank's own of the earlier cases, which come after `first` others. prepare: those that can be used; one that
    some rank cannot use moves the others to another rank."""
    left, read = list(sources), dict[str, PreparedCase]()
    while True:
        own = [source for i, source in enumerate(left, first) if ranks.owns(i)]
        read |= {case.name: case for case in prepare([source for source in own if source.name not in read])}
        unusable = set().union(*ranks.gather_all({source.name for source in own} - set(read)))
        if not unusable:
            return [read[source.name] for source in own]
        left = [source for source in left if source.name not in unusable]


def prepare_earlier(
    sources: Sequence[CaseSource], plan: Plan, cache: CaseCache, until: float | None, progress: Progress
) -> list[PreparedCase]:
    """As many as can be read until then, on the monotonic clock."""
    cases: list[PreparedCase] = []
    for i, source in enumerate(sources):
        if until is not None and time.monotonic() >= until:
            break
        progress.report(100.0 * i / len(sources), "reading", f"Preparing earlier case {i + 1} of {len(sources)}")
        with suppress(EngineError, OSError):
            cases.append(cache.keep(prepare_source(source, plan, progress)))
    return cases
