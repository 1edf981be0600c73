"""How far a model's volumes and diameters can be trusted: docs/extent.json in the bundle, made on the validation cases
at the end of a training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from ..distributed.ranks import Ranks
from ..errors import EngineError
from ..measure.extent_interval import LEVEL, Scale, calibrated
from ..process.progress import Progress
from .extent import FIGURES, Measured, Scales, Who, foreground, outlined, scale_name, touching
from .folder import read_json, write_json
from .foreign_model import inside
from .plan import Plan
from .predictor import Predictor
from .prepare import PreparedCase, to_native

EXTENT = Path("docs") / "extent.json"
VERSION = 1
Pair = tuple[float, float]


def save_extents(
    bundle: Path,
    validation: Sequence[PreparedCase],
    plan: Plan,
    predictor: Predictor,
    progress: Progress,
    ranks: Ranks | None = None,
) -> None:
    """Measure the validation cases and keep what follows from them with the model. validation: the rank's own; the
    first writes what follows from all."""
    ranks = ranks or Ranks()
    pairs: dict[str, list[Pair]] = {}
    for case_pairs in ranks.together([_pairs(case, plan, predictor, progress) for case in validation]):
        for name, pair in case_pairs:
            pairs.setdefault(name, []).append(pair)
    scales = {name: calibrated(*zip(*figures, strict=True)) for name, figures in pairs.items()}
    known = {name: asdict(scale) for name, scale in scales.items() if scale is not None}
    if ranks.leads and pairs:
        write_json(bundle / EXTENT, {"version": VERSION, "level": LEVEL, "scales": known})


def inherit_extents(earlier: Path, bundle: Path) -> None:
    """For a fine-tune that was given no validation cases: what is known of the model it comes from."""
    if (earlier / EXTENT).is_file() and not (bundle / EXTENT).is_file():
        shutil.copyfile(inside(earlier, EXTENT), bundle / EXTENT)


def load_extents(bundle: Path) -> Scales:
    """Empty where the model was not validated. Raises EngineError("unreadable-file")."""
    if not (bundle / EXTENT).is_file():
        return {}
    try:
        stored = read_json(inside(bundle, EXTENT))["scales"]
        found = {name: Scale(float(s["shift"]), float(s["half"]), int(s["cases"])) for name, s in stored.items()}
        if not all(abs(s.shift) < 50 and 0 <= s.half < 50 for s in found.values()):
            raise ValueError("no logarithm of a ratio")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError("unreadable-file", f"{EXTENT.name} does not hold what it should; delete it.") from error
    return found


def _pairs(case: PreparedCase, plan: Plan, predictor: Predictor, progress: Progress) -> list[tuple[str, Pair]]:
    """Each figure of one case under its name: as the model has it, and as the label does."""
    progress.check()
    probabilities = to_native(predictor.prepared_probabilities(case.image, progress), case.affine, case.geometry)
    progress.check()
    label, most, geometry = _native_label(case, plan), probabilities.argmax(0), case.geometry
    found: list[tuple[str, Pair]] = []
    for index, value in foreground(plan):
        mask, drawn = label == index, most == index
        given = outlined(mask, geometry)
        models: dict[Who, Measured] = {"predicted": outlined(drawn, geometry)}
        if mask.any():
            models["labelled"] = touching(drawn, mask, geometry)
        for who, model in models.items():
            found += [(scale_name(value, who, n), (getattr(model, n), getattr(given, n))) for n in FIGURES]
    return found


def _native_label(case: PreparedCase, plan: Plan) -> np.ndarray:
    """Network classes on the case's own grid."""
    label = case.labels.target()
    each = torch.stack([(label == index).float() for index in range(plan.classes)])
    return to_native(each, case.affine, case.geometry).argmax(0)
