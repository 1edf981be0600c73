"""Which job answers which command. A job's module, and torch with it, is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..core.progress import Progress

Job = Callable[[dict[str, Any], Progress], dict[str, Any]]

COMMANDS = (
    *("inspect", "plan", "train", "finetune", "predict", "confidence", "review", "evaluate", "raters", "simulate"),
    "export",
)
INTERACTIVE = ("refresh", "prompt")
"""NewDecision for by the application alone, between two clicks; the command line has the steps it is made of."""

OF_OPTIONS = ("train_folds",)
"""What the command line calls by an option of another command (train --folds)."""

RECORDS = ("verify", "decisions", "sign_off", "agreement", "report")
"""Of what readers decided; they work on the records in a folder of results, on the machine where it is."""

MODELS = ("export_onnx",)
"""Of a model alone, without cases."""

WARM = (
    "numpy",
    "SimpleITK",
    "torch",
    *(f"DALESegmentLib.engine.commands.{name}" for name in ("predict", "train", "prompt")),
)
"""Imported while there is nothing to do, so that the first job does not wait for it."""

PATHS: dict[str, tuple[str, ...]] = {
    "train": ("model", "run", "written_back"),
    "finetune": ("model", "run", "written_back"),
    "train_folds": ("runs", "table"),
    "predict": ("extents_csv", "items.segmentation", "items.probabilities"),
    "confidence": ("extents_csv", "items.confidence", "items.shown", "items.label_source"),
    "review": (
        *("csv", "json", "extents_csv", "audit", "html", "items.report"),
        *(
            "items.confidence",
            "items.shown",
            "items.label_source",
            "items.regions_map",
            "items.suggestions",
            "items.probabilities",
        ),
    ),
    "simulate": ("list", "items.label"),
    "export": tuple(
        f"items.{stem}" for stem in ("segmentation", "confidence", "label_source", "regions_map", "report", "reviewed")
    ),
    "decisions": ("log",),
    "agreement": ("json", "csv"),
    "report": ("html", "json", "items.report"),
    "export_onnx": ("onnx",),
    "refresh": ("model", "run", "items.confidence", "items.shown", "items.label_source", "items.segmentation"),
}
"""Where the result of a job holds paths, all below its `out`: names of values, "items.x" for x of each of the items.
Any other text in a result is no path, whatever it looks like. A job that is not named returns none."""

GIVEN_PATHS = (
    *("model", "pretrained_weights", "predictions", "confidence", "results", "audit", "probabilities", "decisions"),
    *("verdicts", "corrected", "folder", "against", "out"),
)
"""Parameters of jobs that are paths where they are texts; in `cases` it is the folder (and the list), in its items
`ITEM_PATHS` and the images."""
ITEM_PATHS = ("label", "trusted", "confidence", "reference", "arrays")


@dataclass(frozen=True)
class LateJob:
    """The function `run` of a module that is imported at the first call, or before it by who cannot wait that long."""

    module: str

    def __call__(self, parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
        return import_module(self.module).run(parameters, progress)


JOBS: dict[str, Job] = {
    command: LateJob(f"DALESegmentLib.engine.commands.{command}")
    for command in (*COMMANDS, *OF_OPTIONS, *MODELS, *INTERACTIVE, *RECORDS)
}
