"""What training and fine-tuning share: the record of a run, preparing its cases, running it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..cases.case import Case
from ..cases.source import CaseSource
from ..distributed.joined import told_by_all
from ..distributed.ranks import Ranks, current
from ..errors import EngineError
from ..learn.case_cache import CaseCache
from ..learn.extent_scales import save_extents
from ..learn.folder import BUNDLE_FOLDER, RUN_FILE, claim_run_folder, write_json
from ..learn.held_out import HeldOut, save_held_out
from ..learn.outlines import classes_added, classes_drawn, outline_moved
from ..learn.plan import Plan
from ..learn.prepare import PreparedCase, label_classes, prepare_case
from ..learn.remembered import Remembered, labels_of, save_labels
from ..learn.settings import TrainSettings
from ..learn.trainer import Trainer
from ..process.progress import Progress
from .parameters import CasesParameter
from .survey import read_labelled


@dataclass
class Run:
    """A training as it was asked for and planned; run.json holds it."""

    folder: Path
    plan: Plan
    settings: TrainSettings
    cases: CasesParameter
    training: list[CaseSource]
    validation: list[CaseSource]
    held_out: HeldOut = field(default_factory=HeldOut)
    """What the models this one comes from are validated on."""
    earlier: list[Mapping[str, Any]] = field(default_factory=list)
    """The cases those were trained on, see `earlier_cases`."""

    def write(self, status: str, history: list[dict[str, Any]]) -> None:
        write_json(
            self.folder / RUN_FILE,
            {
                "version": __version__,
                "status": status,
                "plan": self.plan.model_dump(mode="json"),
                "settings": self.settings.model_dump(mode="json"),
                "cases": self.cases.model_dump(mode="json"),
                "training": [s.name for s in self.training],
                "validation": [s.name for s in self.validation],
                "held_out": sorted(self.held_out.names | {s.name for s in self.validation}),
                "earlier": self.earlier,
                "history": history,
            },
        )


def validation_count(share: float, patients: int) -> int:
    """How many of the patients are validated on; none of fewer than five, where a validation would say nothing."""
    return round(share * patients) if patients >= 5 else 0


def prepare_all(sources: Sequence[CaseSource], plan: Plan, cache: CaseCache, progress: Progress) -> list[PreparedCase]:
    cases = []
    for i, source in enumerate(sources):
        progress.report(100.0 * i / len(sources), "reading", f"Preparing case {i + 1} of {len(sources)}")
        cases.append(cache.keep(prepare_source(source, plan, progress)))
    return cases


def prepare_source(source: CaseSource, plan: Plan, progress: Progress) -> PreparedCase:
    progress.check()
    case = read_labelled(source, plan.class_names)
    check_fits(case, plan)
    progress.check()
    return prepare_case(case, plan)


def check_fits(case: Case, plan: Plan) -> None:
    """Raises EngineError for a class or a number of channels that the plan does not have."""
    label_classes(case, plan)
    if case.channels != plan.channels:
        raise EngineError(
            "wrong-channels",
            f"{case.name} has {case.channels} channel(s), but the model was trained on {plan.channels}.",
        )


def train_and_record(
    run: Run,
    network: nn.Module,
    device: torch.device,
    progress: Progress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    remembered: Mapping[str, Remembered] | None = None,
    prepared: tuple[list[PreparedCase], list[PreparedCase]] | None = None,
    trainer_of: Callable[..., Trainer] = Trainer,
) -> dict[str, Any]:
    """Train and record how it ended. remembered: by case name, from the run the network comes from; prepared: the
    cases to learn from and to validate on, where they were read already.

    Until every case is prepared, by every rank, the folder is left as it is."""
    started = time.monotonic()
    ranks = current()
    _check_enough(len(run.training), ranks)
    left_aside = run.cases.left_aside()  # now: at the end the data may have gone
    cases, validation = prepared or _prepared(run, ranks, progress)
    held_out = run.held_out.with_images(ranks.together([(c.name, c.fingerprint) for c in validation]))
    held_out.check_unseen(cases)
    for case in cases:
        recall(case, (remembered or {}).get(case.name))
    ranks.check(progress)
    trainer = trainer_of(run.plan, run.settings, network, cases, validation, run.folder, device, progress.part(10, 100))
    ranks.check(progress)
    if resume:
        trainer.resume()
    labels = {} if resume else labels_of(cases, ranks)
    if ranks.leads:
        if not resume:
            claim_run_folder(run.folder, overwrite=overwrite)
        save_held_out(run.folder, held_out)
        run.write("training", trainer.history)
        if not resume:
            save_labels(run.folder, labels)
    try:
        with told_by_all():
            history = trainer.run()
            if prepared is None or run.settings.seconds is None:  # a budget has no time for it
                save_extents(run.folder / BUNDLE_FOLDER, validation, run.plan, trainer.predictor, progress, ranks)
    except EngineError as error:
        if ranks.leads:
            run.write("cancelled" if error.code == "cancelled" else "failed", trainer.history)
        raise
    if ranks.leads:
        run.write("finished", history)
    empty = sum(ranks.together([not classes_drawn(case) for case in cases]))
    anew = ranks.together([(outline_moved(case), bool(classes_added(case))) for case in cases])
    drawn_anew, left_out = (sum(each) for each in zip(*anew, strict=True))
    scores = [row["validation_dice"] for row in history if row.get("validation_dice") is not None]
    return {
        "model": str(run.folder / BUNDLE_FOLDER),
        "run": str(run.folder),
        "epochs": len(history),
        "seconds": round(time.monotonic() - started, 2),
        "validation_dice": scores[-1] if scores else None,
        "history": history,
        "device": str(device),
        "left_aside": left_aside,
        "empty_labels": empty,
        "drawn_anew": drawn_anew,
        "left_out": left_out,
    }


def _prepared(run: Run, ranks: Ranks, progress: Progress) -> tuple[list[PreparedCase], list[PreparedCase]]:
    cache = CaseCache(run.folder)
    return (
        prepare_all(ranks.share(run.training), run.plan, cache, progress.part(0, 8)),
        prepare_all(ranks.share(run.validation), run.plan, cache, progress.part(8, 10)),
    )


def _check_enough(cases: int, ranks: Ranks) -> None:
    if ranks.size > cases:
        few = f"{cases} case{'' if cases == 1 else 's'}"
        raise EngineError(
            "too-many-ranks",
            f"{ranks.size} processes cannot share {few} to learn from; start {cases} at most, for instance with "
            f"torchrun --nproc_per_node={cases}.",
        )


def recall(case: PreparedCase, remembered: Remembered | None) -> None:
    """Start from what an earlier run learned about this very label; one that was confirmed or corrected has nothing
    to be held against it."""
    known = None
    if remembered is not None:
        remembered.go_on(case)
        known = remembered.about(case.label)
    if known is not None:
        case.disagreement.copy_(known)
    case.disagreement[case.trusted] = 0.0
