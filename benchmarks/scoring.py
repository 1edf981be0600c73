"""All figures of one trained cell."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine import __version__
from DALESegmentLib.engine.commands.case_confidence import confidence_map
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.metrics.label_errors import ErrorSample, error_sample, pooled
from DALESegmentLib.engine.metrics.segmentation import agreement, mean_dice, mean_of
from DALESegmentLib.engine.planning.preprocessing import label_classes, native_disagreement, prepare_label

from .cell import Cell
from .loading import load
from .machine import machine
from .methods.cleanlab_filter import label_quality
from .methods.registry import EVEN_ODDS, REMEMBERS
from .review_found import real_rows, review_found
from .scored_label import ScoredLabel
from .training import Trained, train
from .user_path import train_as_the_user

VOXELS_SCORED = 200_000
REVIEWED = ("plain", "dale")
"""Methods whose review list is made: it costs as much as the other figures together."""
NSD_MM = 2.0


def run_cell(cell: Cell, data: Path, device: str = "auto") -> dict[str, Any]:
    """Train and score. Plain JSON values; test_* lists are by test case, in the order of their names' checksums."""
    started, cpu = time.monotonic(), time.process_time()
    result = _as_the_user(cell, data, device) if cell.path == "user" else _as_the_benchmark(cell, data, device)
    return result | {
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "version": __version__,
    }


def _as_the_benchmark(cell: Cell, data: Path, device: str) -> dict[str, Any]:
    trained = train(cell, data, device)
    result = test_scores(trained.predictor, cell, data)
    result |= label_scores([*score_labels(trained, cell)], cell)
    return result | {
        "train_seconds": round(trained.seconds, 2),
        "train_cpu_seconds": round(trained.cpu_seconds, 2),
        "steps_trained": trained.steps,
        "decision": None if trained.decision is None else trained.decision.to_json(),
        "dims": trained.plan.dims,
        "machine": machine(trained.predictor.device),
    }


def _as_the_user(cell: Cell, data: Path, device: str) -> dict[str, Any]:
    """Labels are not scored: what a user is shown of them comes from other commands."""
    with tempfile.TemporaryDirectory(prefix="user-path-") as folder:
        run = train_as_the_user(cell, data, Path(folder), device)
        return {
            **test_scores(run.predictor, cell, data),
            "train_seconds": run.seconds,
            "train_cpu_seconds": run.cpu_seconds,
            "steps_trained": run.steps,
            "decision": run.decision,
            "dims": run.predictor.plan.dims,
            "batch_size": run.predictor.plan.batch_size,
            "patch_size": list(run.predictor.plan.patch_size),
            "validation_cases": run.validation_cases,
            "machine": machine(run.predictor.device),
        }


def test_scores(predictor: Predictor, cell: Cell, data: Path) -> dict[str, Any]:
    samples = load(cell.data, data, "test", cell.draw)
    rows, sizes = [], []
    for sample in samples:
        found = predictor.segmentation(predictor.probabilities(sample.case, Progress()))
        truth = np.asarray(sample.case.label)
        classes = [v for v in predictor.plan.class_values if v]
        rows.append(agreement(found, truth, sample.case.geometry.array_spacing, classes, NSD_MM)["mean"])
        sizes.append(float((found > 0).sum() / max((truth > 0).sum(), 1)))
    return {
        "dice": mean_of(r["dice"] for r in rows),
        "hd95_mm": mean_of(r["hd95_mm"] for r in rows),
        "hd95_undefined": sum(r["hd95_mm"] is None for r in rows),
        "nsd_2mm": mean_of(r["nsd"] for r in rows),
        "volume_ratio": float(np.mean(sizes)),
        "test_dice": [r["dice"] for r in rows],
        "test_disagreement": [s.disagreement for s in samples],
    }


def score_labels(trained: Trained, cell: Cell):
    """Every training label with the model's probabilities and confidence, one `ScoredLabel` a case."""
    for sample, case, prepared in zip(trained.samples, trained.cases, trained.prepared, strict=True):
        p = trained.predictor.probabilities(case, Progress())
        s = None
        if cell.trained_as in REMEMBERS:
            known = prepared.labels.disagreement_of(prepare_label(case, trained.plan)[0])
            assert known is not None  # one and the same grid
            s = native_disagreement(known, prepared.affine, case.geometry)
        classes = label_classes(case, trained.plan)
        table = {value: n for n, value in enumerate(trained.plan.class_values)}
        truth = np.vectorize(table.__getitem__, otypes=[np.int64])(sample.case.label)
        confidence = confidence_map(case, trained.plan, p, s, even_odds=cell.method in EVEN_ODDS)
        trusted = None if case.trusted is None else np.asarray(case.trusted, bool)
        yield ScoredLabel(case.name, classes, truth, p, confidence, case.geometry, trusted, case.image)


def label_scores(scored: list[ScoredLabel], cell: Cell) -> dict[str, Any]:
    """How well the training labels' errors are found: ranking, calibration, review."""
    ours = pooled([_errors(j, j.confidence) for j in scored], VOXELS_SCORED)
    result = {
        "label_dice": mean_of(mean_dice(j.label, j.truth) for j in scored),
        "label_error_prevalence": ours["overall"]["prevalence"],
        "label_error_auroc": ours["overall"]["auroc"],
        "label_error_auroc_band": ours["band"]["auroc"],
        "label_error_auprc": ours["overall"]["auprc"],
        "ece": ours["overall"]["ece"],
        "ece_band": ours["band"]["ece"],
        "reliability": ours["overall"]["reliability"],
        "reliability_band": ours["band"]["reliability"],
    }
    if cell.trained_as in REVIEWED:
        result |= real_rows(scored)
    if ours["overall"]["auroc"] is None:
        return result
    if cell.trained_as == "plain":
        quality = label_quality([j.label for j in scored], [j.probabilities for j in scored])
        theirs = pooled([_errors(j, q) for j, q in zip(scored, quality, strict=True)], VOXELS_SCORED)
        result |= {"cleanlab_auroc": theirs["overall"]["auroc"], "cleanlab_auroc_band": theirs["band"]["auroc"]}
    return result | (review_found(scored) if cell.trained_as in REVIEWED else {})


def _errors(scored: ScoredLabel, confidence: np.ndarray) -> ErrorSample:
    return error_sample(scored.label, scored.truth, confidence, scored.geometry.array_spacing)
