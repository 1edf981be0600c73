"""The command finetune: continues training from a model with corrected cases.

Voxels that a clinician confirmed get full weight. The cases the model was trained on are replayed where they can still
be found, which prevents forgetting.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from ..bundle.lineage import ancestry_of
from ..bundle.open_model import files_of_folds, write_back
from ..bundle.run_folder import RUN_FILE, find_bundle, run_folder, run_of
from ..core.device import choose_device
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
from ..training.rehearsal import without_background
from ..training.trainer import Trainer
from ..training.validation import load_held_out, load_recalibration, save_recalibration, validation_dice, with_outcome
from .dataset import check_image_order, find_labelled, read_labelled, report_held_out_for_test, unite_with_model
from .model_acceptance import ReviewedCase, compare_scores, score_reviewed
from .parameters import CasesParameter, Parameters
from .prepared_cases import check_fits, of_source, prepare_source
from .pretrained import Pretrained, still_held_out
from .training_run import ENCODING, Run, describe_accepted, train_and_record

TRUSTED_SHARE = 0.5
"""Of the cross-entropy of a batch that holds trusted voxels, about so much is theirs at least."""
REPLAY_READ = 0.2
"""Earlier cases are read until so much of the budget is spent."""
LEARNING = 0.2
"""Of the budget, however long the rest takes."""
SAFETY = 1.2
WRITING = 0.3
"""Seconds for the model's files."""
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
    bias_correction: bool = True
    """Undo elsewhere the systematic bias that corrections in many places show."""


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = FinetuneParameters.model_validate(parameters)
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
    device = choose_device(asked.device)
    start = Pretrained.open(asked.model, device)
    plan = start.plan
    folds = len(files_of_folds(asked.model))
    if folds > 1:
        progress.report(0, "reading", f"Of {folds} folds the first one learns; name another one by its own folder")
    run_folder = run_of(find_bundle(asked.model))
    earlier, held_out = _earlier_run(run_folder), load_held_out(find_bundle(asked.model))
    found = asked.cases.find_to_learn()
    report_held_out_for_test(asked.cases, progress)
    found = find_labelled(asked.cases, progress.part(0, 1), found, plan.class_names)
    classes = unite_with_model(found, plan.class_names)
    if classes.new:
        plan = classes.widen(plan)
        progress.report(0, "reading", "; ".join(classes.sentences()))
    network = start.widened(plan)
    training, validation = still_held_out(found, [], held_out.names)
    cache = CaseCache(asked.out)
    read = _read([*training, *validation], plan, cache, progress.part(0, 8))
    seen = [read[s.name].statistics for s in training]
    plan = plan.model_copy(update={"trained_on": widened(plan.trained_on, seen)})
    cases, kept = [read[s.name].case for s in training], with_consensus([read[s.name].case for s in validation])
    # where a clinician says so, nothing may be there
    check_foreground(
        {case.name: bool((case.labels.target() > 0).any() or case.labels.reviewed.any()) for case in cases}
    )
    records = records_of(earlier)
    unseen = {s.name for s in [*training, *validation]} | held_out.names
    replay = prepare_earlier(
        find_earlier(records, unseen, asked.seed), plan, cache, budget.at(REPLAY_READ), progress.part(8, 12)
    )
    replay = [case for case in replay if case.fingerprint not in {c.fingerprint for c in [*cases, *kept]}]
    if classes.new:
        start.rehearse([*cases, *kept], classes, progress.part(12, 13))
        without_background(replay)
    settings = _settings(asked, earlier)
    record = Run(asked.out, plan, settings, asked.cases, training, validation, held_out, records)
    record.ancestry = ancestry_of(find_bundle(asked.model))
    record.pretrained = start.as_recorded(classes)
    record.said = list(classes.sentences()) if classes.new else []
    labels, known = load_labels(run_folder), load_recalibration(run_folder)

    bias = None
    if settings.method == "dale" and settings.dale.bias_correction:
        bias = _undo_bias([*cases, *replay], kept, labels, settings.dale, progress.part(12, 13))

    def looked(case: PreparedCase, probabilities: Tensor) -> None:
        nonlocal known
        known = with_outcome(known, case, labels.get(case.name), probabilities)

    before_it = start.padded(plan)
    predictor = Predictor(before_it, plan, device)
    judging = time.monotonic()
    confirmed = [case for case in (read[s.name].confirmed for s in training) if case is not None]
    before = score_reviewed(confirmed, predictor, progress.part(13, 14), looked)
    dice = validation_dice(kept, predictor, progress.part(14, 16))
    deadline = budget.learning_ends(time.monotonic() - judging)
    torch.manual_seed(asked.seed)
    checkpoint = Checkpoint(asked.out)

    def make(learned: list[PreparedCase], validated: list[PreparedCase], part: Progress) -> Trainer:
        return finetuning(
            plan, settings, network, learned, validated, checkpoint, device, part, deadline=deadline, before=before_it
        )

    result = train_and_record(
        record,
        ([*cases, *replay], kept),
        make,
        progress.part(16, 95),
        overwrite=asked.overwrite,
        earlier=labels,
        extents=settings.seconds is None,  # a budget has no time for it
    )
    save_recalibration(asked.out, known)
    inherit_calibration(find_bundle(asked.model), find_bundle(asked.out))
    back = None if plan.imported is None else write_back(asked.model, asked.out / plan.imported.folder, network, plan)
    network.eval()
    after = score_reviewed(confirmed, Predictor(network, plan, device), progress.part(95, 100))
    result |= {"seconds": round(time.monotonic() - started, 2), "replayed": len(replay)}
    result["bias"] = bias.describe() if bias is not None else None
    if back is not None:
        result["written_back"] = str(back)
    result |= compare_scores(before, after, dice, result["validation_dice"])
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
    bias = correct_bias(cases, kept, config.annotator_bias_config)
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
