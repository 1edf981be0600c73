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
from ..errors import EngineError
from ..learn.confidence_map import label_classes
from ..learn.folder import BUNDLE_FOLDER, RUN_FILE, claim_run_folder, write_json
from ..learn.held_out import HeldOut, save_held_out
from ..learn.plan import Plan
from ..learn.prepare import PreparedCase, prepare_case
from ..learn.remembered import Remembered, save_labels
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


def validation_count(share: float, cases: int) -> int:
    """How many of the cases are validated on; none of fewer than five, where a validation would say nothing."""
    return round(share * cases) if cases >= 5 else 0


def prepare_all(sources: Sequence[CaseSource], plan: Plan, progress: Progress) -> list[PreparedCase]:
    cases = []
    for i, source in enumerate(sources):
        progress.report(100.0 * i / len(sources), "reading", f"Preparing case {i + 1} of {len(sources)}")
        cases.append(prepare_source(source, plan, progress))
    return cases


def prepare_source(source: CaseSource, plan: Plan, progress: Progress) -> PreparedCase:
    progress.check()
    case = read_labelled(source, plan.class_names)
    check_fits(case, plan)
    progress.check()
    return prepare_case(case, plan, progress.check)


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

    Until every case is prepared, the folder is left as it is."""
    started = time.monotonic()
    left_aside = run.cases.left_aside()  # now: at the end the data may have gone
    cases, validation = prepared or (
        prepare_all(run.training, run.plan, progress.part(0, 8)),
        prepare_all(run.validation, run.plan, progress.part(8, 10)),
    )
    held_out = run.held_out.with_cases(validation)
    held_out.check_unseen(cases)
    for case in cases:
        recall(case, (remembered or {}).get(case.name))
    progress.check()
    trainer = trainer_of(run.plan, run.settings, network, cases, validation, run.folder, device, progress.part(10, 100))
    progress.check()
    if resume:
        trainer.resume()
    else:
        claim_run_folder(run.folder, overwrite=overwrite)
    save_held_out(run.folder, held_out)
    run.write("training", trainer.history)
    if not resume:
        save_labels(run.folder, cases)
    try:
        history = trainer.run()
    except EngineError as error:
        run.write("cancelled" if error.code == "cancelled" else "failed", trainer.history)
        raise
    run.write("finished", history)
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
    }


def recall(case: PreparedCase, remembered: Remembered | None) -> None:
    """Start from what an earlier run learned about this very label; one that was confirmed or corrected has nothing
    to be held against it."""
    known = remembered.about(case.label) if remembered is not None else None
    if known is not None:
        case.disagreement.copy_(known)
    case.disagreement[case.trusted] = 0.0
