"""Volumes and longest diameters of a label and of a model's segmentation, with intervals, and their calibration.

The calibration is computed on the validation cases at the end of a training, and stored in the bundle as
docs/extent.json, with how well the model agrees with their labels (`dale.agreement`). `metrics.measurement_interval`
has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy import ndimage

from ..bundle.validate import inside
from ..core.distributed import Ranks
from ..core.errors import EngineError
from ..core.files import read_json, write_json
from ..core.progress import Progress
from ..dale.agreement import Agreements, ClassAgreement, class_agreement
from ..dale.label_state import IGNORED
from ..geometry.grid import Geometry
from ..geometry.objects import longest_diameter
from ..io.case import Case
from ..metrics.measurement_interval import (
    LEVEL,
    Calibration,
    Interval,
    fit_calibration,
    interval_for_label,
    interval_for_prediction,
)
from ..planning.plan import Plan
from ..planning.preprocessing import PreparedCase, to_native
from .predictor import Predictor

FIGURES = ("size", "diameter")
MM3_IN_ML = 1000.0


@dataclass(frozen=True)
class Measured:
    """size: mm³ (mm² in 2D); diameter: mm; both in pixels where there is no spacing."""

    size: float
    diameter: float


Who = Literal["labelled", "predicted"]
Calibrations = Mapping[str, Calibration]
"""By `calibration_name`."""


def measure(mask: np.ndarray, geometry: Geometry) -> Measured:
    """mask: (*grid) bool."""
    size = float(np.count_nonzero(mask)) * geometry.voxel_volume
    return Measured(size, longest_diameter(mask, geometry.array_spacing))


def overlapping_objects(drawn: np.ndarray, label: np.ndarray, geometry: Geometry) -> Measured:
    """What the model measures of a labelled structure: its own objects that meet the label, corners included. They are
    taken whole: an object cut at the label would repeat the label's measurement.

    drawn: (*grid) bool, where the class is the most probable one; label: (*grid) bool.
    """
    objects, count = ndimage.label(drawn, np.ones((3,) * drawn.ndim))
    met = np.zeros(count + 1, bool)
    met[np.unique(objects[label])] = True
    met[0] = False
    return measure(met[objects], geometry)


def measurements_of_label(
    case: Case, probabilities: np.ndarray, plan: Plan, calibrations: Calibrations, *, unseen: bool
) -> dict[str, Any]:
    """What `confidence` and `review` report of each class in a case's label, by label value.

    probabilities: (K, *grid); unseen: whether the model did not learn from this label.
    """
    found, most = {}, probabilities.argmax(0)
    label, geometry = np.asarray(case.label), case.geometry
    for index, value in foreground(plan):
        mask = label == value
        if not mask.any():
            continue
        given, share = measure(mask, geometry), _open_share(mask, case.trusted)
        model = overlapping_objects(most == index, mask, geometry)
        intervals = {}
        for name in FIGURES:
            calibration = calibrations.get(calibration_name(value, "labelled", name))
            intervals[name] = interval_for_label(getattr(given, name), getattr(model, name), calibration, unseen, share)
        found[str(value)] = _row(value, intervals, geometry, plan)
    return found


def measurements_of_prediction(
    segmentation: np.ndarray, geometry: Geometry, plan: Plan, calibrations: Calibrations
) -> dict[str, Any]:
    """What `predict` reports of each class it found, by label value. segmentation: (*grid) values."""
    found = {}
    for _, value in foreground(plan):
        mask = segmentation == value
        if mask.any():
            given = measure(mask, geometry)
            intervals = {
                name: interval_for_prediction(
                    getattr(given, name), calibrations.get(calibration_name(value, "predicted", name))
                )
                for name in FIGURES
            }
            found[str(value)] = _row(value, intervals, geometry, plan)
    return found


def foreground(plan: Plan) -> list[tuple[int, int]]:
    return [(index, value) for index, value in enumerate(plan.class_values) if value]


def calibration_name(value: int, who: Who, figure: str) -> str:
    return f"{value} {who} {figure}"


def _open_share(mask: np.ndarray, trusted: np.ndarray | None) -> float:
    """Of the voxels at the mask's surface, how many nobody has confirmed."""
    if trusted is None:
        return 1.0
    surface = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return float(1.0 - np.asarray(trusted, bool)[surface].mean()) if surface.any() else 0.0


def _row(value: int, intervals: dict[str, Interval], geometry: Geometry, plan: Plan) -> dict[str, Any]:
    flat, pixels = geometry.dims == 2, geometry.unit == "pixel"
    size = asdict(intervals["size"])
    if not flat and not pixels:
        size = {end: None if number is None else number / MM3_IN_ML for end, number in size.items()}
    name = ("area_px" if flat else "volume_px") if pixels else ("area_mm2" if flat else "volume_ml")
    return {
        "name": plan.class_names.get(value, f"class {value}"),
        name: size,
        "diameter_px" if pixels else "diameter_mm": asdict(intervals["diameter"]),
        "unit": geometry.unit,
        "level": LEVEL,
    }


EXTENT = Path("docs") / "extent.json"
VERSION = 1
WITHOUT_VALIDATION = 5
"""Cases that were learned from whose agreement is computed where there is no case to validate on."""
Pair = tuple[float, float]
Agreement = dict[int, ClassAgreement]


def save_calibration(
    bundle: Path,
    validation: Sequence[PreparedCase],
    plan: Plan,
    predictor: Predictor,
    progress: Progress,
    ranks: Ranks | None = None,
    learned: Sequence[PreparedCase] = (),
) -> Agreements:
    """Measure the validation cases and keep what follows from them with the model. validation, learned: the rank's own;
    the first writes what follows from all. learned: the cases that were learned from, of which some tell how well the
    model agrees with labels where there are none to validate on.

    Returns the agreement with labels, by label value.
    """
    ranks = ranks or Ranks()
    validated = ranks.all_gather([_of_case(case, plan, predictor, progress) for case in validation])
    pairs: dict[str, list[Pair]] = {}
    for name, pair in (each for case_pairs, _ in validated for each in case_pairs):
        pairs.setdefault(name, []).append(pair)
    calibrations = {name: fit_calibration(*zip(*figures, strict=True)) for name, figures in pairs.items()}
    known = {name: asdict(calibration) for name, calibration in calibrations.items() if calibration is not None}
    some = [] if validated else learned[: -(-WITHOUT_VALIDATION // ranks.size)]
    looked = validated or ranks.all_gather([_of_case(case, plan, predictor, progress) for case in some])
    agreements: dict[int, list[ClassAgreement]] = {}
    for value, one in (each for _, of_case in looked for each in of_case.items()):
        if one.labelled:
            agreements.setdefault(value, []).append(one)
    if ranks.is_main and looked:
        stored = {str(value): [[one.dice, one.expected_dice] for one in each] for value, each in agreements.items()}
        write_json(bundle / EXTENT, {"version": VERSION, "level": LEVEL, "scales": known, "agreement": stored})
    return agreements


def inherit_calibration(earlier: Path, bundle: Path) -> None:
    """For a fine-tune that was given no validation cases: what is known of the model it comes from, but for its
    agreement with labels, which a fine-tune is to make another."""
    if (earlier / EXTENT).is_file() and not (bundle / EXTENT).is_file():
        write_json(bundle / EXTENT, {**read_json(inside(earlier, EXTENT)), "agreement": {}})


def load_calibration(bundle: Path) -> Calibrations:
    """Empty where the model was not validated. Raises EngineError("unreadable-file")."""
    if not (bundle / EXTENT).is_file():
        return {}
    try:
        stored = read_json(inside(bundle, EXTENT))["scales"]
        found = {name: Calibration(float(s["shift"]), float(s["half"]), int(s["cases"])) for name, s in stored.items()}
        if not all(abs(s.shift) < 50 and 0 <= s.half < 50 for s in found.values()):
            raise ValueError("no logarithm of a ratio")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError("unreadable-file", f"{EXTENT.name} does not hold what it should; delete it.") from error
    return found


def load_agreement(bundle: Path) -> Agreements:
    """How well the model agreed with labels at the end of its training, by label value; empty where that is not known.
    Raises EngineError("unreadable-file")."""
    if not (bundle / EXTENT).is_file():
        return {}
    try:
        stored = read_json(inside(bundle, EXTENT)).get("agreement", {})
        found = {int(v): [ClassAgreement(float(a), float(b)) for a, b in each] for v, each in stored.items()}
        if not all(0 <= one.dice <= 1 and 0 <= one.expected_dice <= 1 for each in found.values() for one in each):
            raise ValueError("no Dice")
    except (TypeError, ValueError, AttributeError) as error:
        raise EngineError("unreadable-file", f"{EXTENT.name} does not hold what it should; delete it.") from error
    return found


def _of_case(
    case: PreparedCase, plan: Plan, predictor: Predictor, progress: Progress
) -> tuple[list[tuple[str, Pair]], Agreement]:
    """Each figure of one case under its name: as the model has it, and as the label does; and how well they agree."""
    progress.check()
    probabilities = to_native(predictor.prepared_probabilities(case.image, progress), case.affine, case.geometry)
    progress.check()
    label, most, geometry = _native_label(case, plan), probabilities.argmax(0), case.geometry
    annotated = _native_annotated(case)
    if annotated is not None:
        most = np.where(annotated, most, 0)
    found: list[tuple[str, Pair]] = []
    for index, value in foreground(plan):
        mask, drawn = label == index, most == index
        given = measure(mask, geometry)
        models: dict[Who, Measured] = {"predicted": measure(drawn, geometry)}
        if mask.any():
            models["labelled"] = overlapping_objects(drawn, mask, geometry)
        for who, model in models.items():
            found += [(calibration_name(value, who, n), (getattr(model, n), getattr(given, n))) for n in FIGURES]
    if annotated is not None:
        label, probabilities = label[annotated], probabilities[:, annotated]
    return found, class_agreement(label, probabilities, plan.class_values)


def _native_annotated(case: PreparedCase) -> np.ndarray | None:
    """(*grid) bool on the case's own grid; None where all of it is annotated."""
    ignored = case.labels.target() == IGNORED
    if not bool(ignored.any()):
        return None
    return to_native(ignored[None].float(), case.affine, case.geometry, "nearest")[0] < 0.5


def _native_label(case: PreparedCase, plan: Plan) -> np.ndarray:
    """Network classes on the case's own grid."""
    label = case.labels.target()
    each = torch.stack([(label == index).float() for index in range(plan.classes)])
    return to_native(each, case.affine, case.geometry).argmax(0)
