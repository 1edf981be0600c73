"""What training and fine-tuning share: the record of a run, preparing its cases, running it to its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..cases.source import CaseSource
from ..errors import EngineError
from ..learn.folder import BUNDLE_FOLDER, RUN_FILE, write_json
from ..learn.plan import Plan
from ..learn.prepare import PreparedCase, prepare_case
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
                "history": history,
            },
        )


def prepare_all(sources: Sequence[CaseSource], plan: Plan, progress: Progress) -> list[PreparedCase]:
    cases = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Preparing case {i + 1} of {len(sources)}")
        cases.append(prepare_case(read_labelled(source, plan.class_names), plan))
    return cases


def train_and_record(
    run: Run,
    network: nn.Module,
    device: torch.device,
    progress: Progress,
    *,
    resume: bool = False,
    remembered: dict[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Train, keeping run.json true at every moment. remembered: disagreement by case from an earlier run."""
    started = time.monotonic()
    run.write("training", [])
    cases = prepare_all(run.training, run.plan, progress.part(0, 8))
    validation = prepare_all(run.validation, run.plan, progress.part(8, 10))
    for case in cases:
        recall(case, (remembered or {}).get(case.name))
    trainer = Trainer(run.plan, run.settings, network, cases, validation, run.folder, device, progress.part(10, 100))
    try:
        history = trainer.run(resume=resume)
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
    }


def recall(case: PreparedCase, remembered: torch.Tensor | None) -> None:
    """Start from what an earlier run learned about this case, where its grid is the same; a label that was
    confirmed or corrected since has nothing to be held against it."""
    if remembered is not None and remembered.shape == case.disagreement.shape:
        case.disagreement.copy_(remembered)
    case.disagreement[case.trusted] = 0.0
