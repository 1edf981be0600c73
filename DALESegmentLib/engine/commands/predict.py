"""Segment images with a model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..bundle.run_folder import find_bundle
from ..core.device import choose_device
from ..core.progress import Progress
from ..inference.measurements import load_calibration, measurements_of_prediction
from ..inference.predictor import Mode, cached_predictor
from ..io.case_files import read_case
from ..io.class_names import write_names
from .case_checks import CaseChecks, check_case, examine, tell_unlike
from .dataset import unused_files_said
from .measurement_table import write_measurements
from .parts import Part
from .result_files import FormatParameters, ResultFiles
from .results_folder import check_apart, results_folder


class PredictParameters(FormatParameters):
    probabilities: bool = False
    mode: Mode = "exact"
    part: str | None = None
    """Of the cases: "2/4" is the second of four parts."""


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = PredictParameters.model_validate(parameters)
    part = None if asked.part is None else Part.parse(asked.part)
    joins = asked.overwrite or (part is not None and part.shares(asked.out))
    with results_folder(asked.out, overwrite=joins, data=asked.cases.folder) as folder:
        return _predict(asked, part, progress) | folder.about()


def _predict(asked: PredictParameters, own: Part | None, progress: Progress) -> dict[str, Any]:
    device = choose_device(asked.device)
    predictor = cached_predictor(asked.model, device, asked.backend)
    bundle = find_bundle(asked.model)
    plan, calibrations, files = predictor.plan, load_calibration(bundle), ResultFiles.of(asked)
    # a label beside the image is of no use here, and must not keep it from being segmented
    sources = [source.without_label() for source in asked.cases.find()]
    cases = len(sources)
    if own is not None:
        sources = own.of(sources)
    check_apart(asked.out, sources)
    if own is not None:
        own.claim(asked.out)
        progress.report(0, "reading", f"Part {own.number} of {own.count}: {len(sources)} of {cases} cases")
    files.check(sources)
    beside = unused_files_said(asked.cases, progress)
    looked = CaseChecks()
    if len(sources) > 1:
        maps = plan.classes if asked.probabilities else 0
        examine(sources, plan, progress.part(0, 5), looked, labelled=False, out=asked.out, maps=maps)
        progress = progress.part(5, 100)
    items = []
    for i, source in enumerate(sources):
        progress.check()
        part = progress.part(100.0 * i / len(sources), 100.0 * (i + 1) / len(sources))
        message = f"Case {i + 1} of {len(sources)}"
        part.report(0, "predicting", message)
        started = time.monotonic()
        case = read_case(source)
        if len(sources) == 1:
            looked.unlike[case.name] = check_case(case, plan, source.image_names)
            tell_unlike(looked, part)
        progress.check()
        if asked.probabilities:
            probabilities = predictor.probabilities(case, part, asked.mode, message=message)
            progress.check()
            segmentation = predictor.segmentation(probabilities)
        else:
            segmentation = predictor.label(case, part, asked.mode, message)
        progress.check()
        values, counts = np.unique(segmentation, return_counts=True)
        item: dict[str, Any] = {
            "name": case.name,
            "segmentation": files.write(source, "segmentation", segmentation, case.geometry, plan.class_names),
            "probabilities": None,
            "classes": {str(v): name for v, name in plan.class_names.items()},
            "voxels": {str(int(v)): int(n) for v, n in zip(values, counts, strict=True) if v},
            "extents": measurements_of_prediction(
                segmentation, case.geometry, plan, calibrations if looked.intervals_hold(case.name) else {}
            ),
            **looked.of(case.name),
        }
        if asked.probabilities:
            progress.check()
            channels = {n: plan.class_names.get(v, "background") for n, v in enumerate(plan.class_values)}
            item["probabilities"] = files.write(source, "probabilities", probabilities, case.geometry, channels)
        if i == 0:
            write_names(asked.out, plan.class_names)
        items.append({**item, "seconds": round(time.monotonic() - started, 3)})
    if own is None:
        return {"items": items, "extents_csv": write_measurements(items, asked.out), **beside}
    table = write_measurements(items, asked.out, own.table)
    return {"items": items, "extents_csv": own.merge(asked.out) or table, **beside}
