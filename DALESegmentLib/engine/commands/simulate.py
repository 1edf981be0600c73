"""Spoil labels the way annotators do, for studies where the truth is known.

Beside the new labels a list of the cases is written, `cases.csv`: with it the images are learned from with the new
labels, and compared with the old ones as their reference.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..core.errors import EngineError
from ..core.progress import Progress
from ..io.case import CaseSource
from ..io.class_names import IGNORE, write_names
from ..io.label_facts import value_of_ignored
from ..metrics.segmentation import mean_dice
from ..metrics.simulated_annotators import check_kind, simulate_annotator
from .case_checks import enumerated, is_labelled
from .case_list import write_list
from .dataset import find_labelled, names_itself, names_of_all, read_labelled
from .parameters import CasesParameter, Parameters
from .result_files import write_map
from .results_folder import check_apart, results_folder


class SimulateParameters(Parameters):
    cases: CasesParameter
    out: Path
    kind: str
    amount: float
    relative: bool = False
    share: float = Field(1.0, ge=0.0, le=1.0, description="of the cases that are spoiled")
    seed: int = Field(0, ge=0)
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = SimulateParameters.model_validate(parameters)
    check_kind(asked.kind, asked.amount)
    with results_folder(asked.out, overwrite=asked.overwrite, data=asked.cases.folder) as files:
        return _simulate(asked, progress) | files.about()


def _simulate(asked: SimulateParameters, progress: Progress) -> dict[str, Any]:
    found = asked.cases.find()
    _check_labelled(found)
    check_apart(asked.out, found)
    sources = find_labelled(asked.cases, progress, found)
    names = names_of_all(sources)
    used: dict[int, str] = {}
    items = []
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "writing", f"Case {i + 1} of {len(sources)}")
        case = read_labelled(source, names if names_itself(source) else None)
        used |= case.class_names
        label = np.asarray(case.label)
        # seeded by the case's name, so that adding a case changes no other
        random = np.random.default_rng([asked.seed, zlib.crc32(case.name.encode())])
        if random.random() < asked.share:
            spoiled = simulate_annotator(
                label, case.geometry.array_spacing, asked.kind, asked.amount, random, relative=asked.relative
            )
        else:
            spoiled = label
        dice = mean_dice(spoiled, label)
        if case.annotated is not None:
            ignored = value_of_ignored(sources, names)
            spoiled = np.where(case.annotated, spoiled, ignored)
            used[ignored] = IGNORE
        path = write_map(source, asked.out, "label", spoiled, case.geometry)
        items.append({"name": case.name, "label": path, "dice": dice})
    write_names(asked.out, {value: used[value] for value in sorted(used)})
    return {"items": items, "list": write_list(sources, items, asked.out)}


def _check_labelled(sources: Sequence[CaseSource]) -> None:
    without = [source.name for source in sources if not is_labelled(source)]
    if without:
        verb = "has" if len(without) == 1 else "have"
        raise EngineError(
            "no-label", f"{enumerated(without)} {verb} no label to spoil; say with --label which file it is."
        )
