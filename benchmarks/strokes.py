"""Strokes to an outline, by a simulated reader, against painting by hand; for `interaction`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.interactive import corrected_by_strokes, segment_strokes, stroke_box
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.objects import components
from DALESegmentLib.engine.inference.predictor import cached_predictor
from DALESegmentLib.engine.io.case import Case

from .simulated_errors import OneCase, ball_mask, dice, simulated_errors

GOOD = 0.95
MOST_STROKES = 10
CORRECTION_SEED = 9000


def stroke_through(error: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, float]:
    """(*grid) bool: a line in one slice through the innermost place of the largest error, along it; and how far inside
    it lies, mm. error: (*grid) bool, not empty."""
    box, part = max(components(error), key=lambda found: int(found[1].sum()))
    depth = ndimage.distance_transform_edt(np.pad(part, 1), spacing)[(slice(1, -1),) * part.ndim]
    k = int(np.unravel_index(depth.argmax(), depth.shape)[0]) if part.ndim == 3 else 0
    plane = depth[k] if part.ndim == 3 else depth
    core = plane >= 0.6 * plane.max()
    found, _ = ndimage.label(core, np.ones((3, 3)))
    core = np.argwhere(found == found[np.unravel_index(plane.argmax(), plane.shape)])
    middle = core.mean(0)
    one = core[np.linalg.norm((core - middle) * spacing[-2:], axis=1).argmax()]
    two = core[np.linalg.norm((core - one) * spacing[-2:], axis=1).argmax()]
    steps = int(np.abs(two - one).max()) + 1
    line = np.unique(np.rint(np.linspace(one, two, steps)).astype(int), axis=0)
    line = line[plane[line[:, 0], line[:, 1]] > 0]
    stroke = np.zeros(error.shape, bool)
    view = stroke[box][k] if part.ndim == 3 else stroke[box]
    view[line[:, 0], line[:, 1]] = True
    return stroke, float(plane[line[:, 0], line[:, 1]].min())


def prompt(
    image: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    probability: np.ndarray | None,
    drawn: np.ndarray | None = None,
) -> dict[str, Any]:
    """Strokes until the Dice is good, and the seconds of each answer. drawn: what is corrected; None to begin anew."""
    now = np.zeros(truth.shape, bool) if drawn is None else drawn
    inside, outside = np.zeros(truth.shape, bool), np.zeros(truth.shape, bool)
    scores, seconds = [], []
    for _ in range(MOST_STROKES):
        missing, extra = truth & ~now, now & ~truth
        sizes = [max((int(part.sum()) for _box, part in components(e)), default=0) for e in (missing, extra)]
        error, side = (missing, inside) if sizes[0] >= sizes[1] else (extra, outside)
        side |= stroke_through(error, spacing)[0]
        started = time.perf_counter()
        now = answered(image, inside, outside, spacing, probability, drawn)
        seconds.append(time.perf_counter() - started)
        scores.append(dice(now, truth))
        if scores[-1] >= GOOD:
            break
    return {"dice": scores, "seconds": seconds}


def answered(
    image: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    spacing: Sequence[float],
    probability: np.ndarray | None,
    drawn: np.ndarray | None,
) -> np.ndarray:
    """As the command `prompt` answers, and the panel takes it."""
    box = stroke_box(np.argwhere(inside | outside), inside.shape, spacing)
    at = np.index_exp[:] + box
    known = inside[box], outside[box], spacing, None if probability is None else probability[box]
    now = np.zeros(inside.shape, bool) if drawn is None else drawn.copy()
    found = None if drawn is None else corrected_by_strokes(image[at], drawn[box], *known)
    now[box] = now[box] | segment_strokes(image[at], *known) if found is None else found
    return now


def by_hand(truth: np.ndarray) -> list[float]:
    """Dice after each stroke where one stroke fills what is missing in a slice, nothing is spilled, and the slices with
    most of it come first."""
    areas = np.sort(truth.reshape(len(truth), -1).sum(1))[::-1] if truth.ndim == 3 else np.array([truth.sum()])
    drawn = np.cumsum(areas[areas > 0])
    return [float(2 * n / (n + drawn[-1])) for n in drawn]


def measure_corrections(cases: Sequence[OneCase], model: Path | None) -> dict[str, Any]:
    """Of structures whose label has simulated errors that take its Dice below the good one."""
    found, hand, seconds, before = [], [], [], []
    for number, (name, image, truth, geometry) in enumerate(cases):
        label = simulated_errors(truth, geometry.array_spacing, np.random.default_rng(CORRECTION_SEED + number))
        probabilities = None if model is None else _probabilities(name, image, geometry, model)
        for value in np.unique(truth[truth > 0]).tolist():
            drawn, right = label == value, truth == value
            if dice(drawn, right) >= GOOD:
                continue
            own = None if probabilities is None else probabilities[value]
            answers = prompt(np.asarray(image, np.float32), right, geometry.array_spacing, own, drawn)
            before.append(dice(drawn, right))
            found.append(answers["dice"])
            seconds += answers["seconds"]
            hand.append(correct_by_hand(drawn, right))
    good = [scores[-1] >= GOOD for scores in found]
    strokes = [len(scores) if right else MOST_STROKES + 1 for scores, right in zip(found, good, strict=True)]
    won = [100 * (max(scores) - start) for scores, start in zip(found, before, strict=True)]
    drawn_for = [scores.index(max(scores)) + 1 for scores in found]
    by_hand_for = [
        next(n for n, score in enumerate(scores, start=1) if score >= min(max(answers), GOOD))
        for scores, answers in zip(hand, found, strict=True)
    ]
    won_by_hand = [100 * (scores[n - 1] - start) for scores, n, start in zip(hand, by_hand_for, before, strict=True)]
    effort = sum(drawn_for) / max(sum(won), 1e-6), sum(by_hand_for) / max(sum(won_by_hand), 1e-6)
    return {
        "structures": len(found),
        "median_dice_before": round(float(np.median(before)), 3),
        "median_strokes_to_dice_95": float(np.median(strokes)),
        "reached_in_2_strokes": int(sum(n <= 2 for n in strokes)),
        "reached_in_10_strokes": int(sum(good)),
        "median_dice_after_2_strokes": round(float(np.median([s[min(1, len(s) - 1)] for s in found])), 3),
        "longest_answer_s": round(max(seconds), 3),
        "strokes_per_dice_point": round(effort[0], 4),
        "strokes_per_dice_point_by_hand": round(effort[1], 4),
        "effort_against_hand": round(effort[0] / effort[1], 3),
    }


def correct_by_hand(drawn: np.ndarray, truth: np.ndarray) -> list[float]:
    """Dice after each stroke where one puts right a connected place in a slice, the largest first."""
    wrong, now, scores = drawn != truth, drawn.copy(), []
    planes = wrong if wrong.ndim == 3 else wrong[None]
    view = now if wrong.ndim == 3 else now[None]
    places = []
    for k, plane in enumerate(planes):
        parts, count = ndimage.label(plane, np.ones((3, 3)))
        places += [(k, parts == number) for number in range(1, count + 1)]
    for k, part in sorted(places, key=lambda place: -int(place[1].sum())):
        view[k][part] = ~view[k][part]
        scores.append(dice(now, truth))
    return scores


def _probabilities(name: str, image: np.ndarray, geometry: Geometry, model: Path) -> dict[int, np.ndarray]:
    """By label value."""
    predictor = cached_predictor(model, choose_device("cpu"))
    case = Case(name, np.asarray(image, np.float32), geometry, class_names={})
    return dict(zip(predictor.plan.class_values, predictor.probabilities(case, Progress()), strict=True))


def measure_prompts(cases: Sequence[OneCase], model: Path | None) -> dict[str, Any]:
    """With a model that knows the class, or by intensities alone."""
    strokes, reached, seconds, first_two, effort, hand_effort = [], 0, [], [], [], []
    for name, image, label, geometry in cases:
        for value in np.unique(label[label > 0]).tolist():
            truth, spacing, probability = label == value, geometry.array_spacing, None
            if model is not None:
                probability = _probabilities(name, image, geometry, model)[value]
            found = prompt(image, truth, spacing, probability)
            good = found["dice"][-1] >= GOOD
            reached += good
            strokes.append(len(found["dice"]) if good else MOST_STROKES + 1)
            seconds += found["seconds"]
            first_two.append(found["dice"][min(1, len(found["dice"]) - 1)])
            best, hand = max(found["dice"]), by_hand(truth)
            strokes_by_hand = next(n for n, score in enumerate(hand, start=1) if score >= min(best, GOOD))
            effort.append((found["dice"].index(best) + 1) / (100 * best))
            hand_effort.append(strokes_by_hand / (100 * hand[strokes_by_hand - 1]))
    return {
        "structures": len(strokes),
        "median_strokes_to_dice_95": float(np.median(strokes)),
        "reached_in_10_strokes": reached,
        "median_dice_after_2_strokes": round(float(np.median(first_two)), 3),
        "longest_answer_s": round(max(seconds), 3),
        "strokes_per_dice_point": round(float(np.mean(effort)), 4),
        "strokes_per_dice_point_by_hand": round(float(np.mean(hand_effort)), 4),
        "effort_against_hand": round(float(np.mean(effort) / np.mean(hand_effort)), 3),
    }


def answer_times() -> dict[str, float]:
    """Seconds of one answer with a model's probabilities on made-up volumes, strokes in the middle; (i, j, k)."""
    found = {}
    for size in ((128, 128, 24), (256, 256, 160)):
        shape = size[::-1]
        rng = np.random.default_rng(0)
        image = rng.normal(0, 1, (1, *shape)).astype(np.float32)
        ball = ball_mask(shape, np.array(shape) // 2, (1.0, 1.0, 1.0), 10)
        image[0] += 2 * ball
        inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
        k, j, i = np.array(shape) // 2
        inside[k, j, i - 5 : i + 6] = True
        outside[k, j - 14, i - 5 : i + 6] = True
        probability = np.where(ball, 0.8, 0.1).astype(np.float32)
        times, corrections = [], []
        for _ in range(5):
            started = time.perf_counter()
            box = stroke_box(np.argwhere(inside | outside), shape, (1.0, 1.0, 1.0))
            at = np.index_exp[:] + box
            segment_strokes(image[at], inside[box], outside[box], (1.0, 1.0, 1.0), probability[box])
            times.append(time.perf_counter() - started)
            started = time.perf_counter()
            corrected_by_strokes(image[at], ball[box], outside[box], inside[box], (1.0, 1.0, 1.0), probability[box])
            corrections.append(time.perf_counter() - started)
        name = "x".join(map(str, size))
        found[name] = round(float(np.median(times)), 3)
        found[f"{name}, a correction"] = round(float(np.median(corrections)), 3)
    return found
