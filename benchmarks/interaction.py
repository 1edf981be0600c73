"""What a review costs: rows put right by one key, strokes to an outline, and both against painting by hand.

    python -m benchmarks.interaction --data FOLDER [--sets lidc_4rater,msd_hippocampus] [--cases 30] [--seconds 120]

Cases get labels with local errors: an outline that spills over or lacks a bite, an object that was invented or missed.
A model is trained on them, with the defaults of `dalesegment train` and a time budget, and its review list of these
very cases is walked by a simulated reader, who looks at the truth where a row says to and nowhere else: where most of
what the row would change is wrong, that is taken (A), else the label kept (C). In a second walk the reader takes all
that is likely wrong where that is better, which costs a key more (]).

Prompts are measured on other cases. A reader draws a stroke through the innermost place of the largest error, along it,
until the lesion has a Dice of .95, ten strokes at most: of a label with simulated errors (a correction), and where
nothing is drawn yet. By hand a stroke fills all that is missing in a slice, or puts right a connected place in it, and
spills nothing: painting at its best, until the Dice is that of the prompts. By hand a row costs E, a stroke for each
connected place in each slice, and D; what is drawn is then right in the whole row.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.commands import review, train
from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.interactive import corrected_by_strokes, segment_strokes, stroke_box
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.dale.reasons import given_value
from DALESegmentLib.engine.dale.rows import is_below_line
from DALESegmentLib.engine.geometry.distance import bounding_box, margin_voxels, signed_distance
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.objects import components, object_radius
from DALESegmentLib.engine.geometry.runs import mask_of
from DALESegmentLib.engine.inference.predictor import cached_predictor
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.images import read_image, read_label

from .cell import ROOT

FIRST_ROWS = 10
GOOD = 0.95
MOST_STROKES = 10
CORRECTION_SEED = 9000


def simulated_errors(truth: np.ndarray, spacing: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """(*grid) as `truth`, with one to three local errors."""
    label = truth.copy()
    for kind in rng.choice(("spill", "bite", "extra", "missed"), int(rng.integers(1, 4)), p=(0.4, 0.4, 0.1, 0.1)):
        values = np.unique(truth[truth > 0])
        if not len(values):
            break
        value = int(rng.choice(values))
        drawn = label == value
        radius = object_radius(truth == value, spacing)
        if kind == "missed" and len(list(components(drawn))) > 1:
            objects = list(components(drawn))
            box, part = objects[int(rng.integers(len(objects)))]
            label[box][part] = 0
            continue
        at = _surface_point(truth == value, rng) if kind != "extra" else _free_point(truth, spacing, radius, rng)
        size = radius * float(rng.uniform(0.4, 0.8))
        ball = _ball(truth.shape, at, spacing, size)
        if kind in ("spill", "extra"):
            label[ball & (label == 0)] = value
        elif (drawn & ~ball).sum() > 0.3 * drawn.sum():
            label[ball & drawn] = 0
    return label


def _surface_point(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    return edge[int(rng.integers(len(edge)))]


def _free_point(truth: np.ndarray, spacing: Sequence[float], radius: float, rng: np.random.Generator) -> np.ndarray:
    far = np.argwhere(signed_distance(truth > 0, spacing) > 1.5 * radius)
    return far[int(rng.integers(len(far)))] if len(far) else _surface_point(truth > 0, rng)


def _ball(shape: Sequence[int], at: np.ndarray, spacing: Sequence[float], radius: float) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, at, spacing, strict=True)) <= radius**2


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(int(a.sum() + b.sum()), 1))


OneCase = tuple[str, np.ndarray, np.ndarray, Geometry]
"""name, image (C, *grid), truth, geometry."""


def load_cases(data: Path, name: str, count: int) -> tuple[list[OneCase], list[OneCase]]:
    """Training and test cases of a set, cropped round what is labelled."""
    folder = data / name
    split = json.loads((folder / "split.json").read_text())
    found = []
    for names in (split["train"], split["test"]):
        part = []
        for case in names[:count]:
            image, geometry = read_image(folder / case / "image.nii.gz")
            votes = folder / case / "votes.nii.gz"
            truth = read_label(votes)[0] >= 2 if votes.is_file() else read_label(folder / case / "label.nii.gz")[0]
            truth = np.asarray(truth).astype(np.uint8)
            box = bounding_box(truth > 0, margin_voxels(20.0, geometry.array_spacing))
            if box is None:
                continue
            first = tuple(s.start for s in reversed(box))
            last = tuple(s.stop - 1 for s in reversed(box))
            part.append((case, image[np.index_exp[:] + box], truth[box], geometry.part(first, last)))
        found.append(part)
    return found[0], found[1]


@dataclass
class ReviewedCases:
    """A review list, and what it is about, by name of the case."""

    rows: list[Region]
    labels: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    places: dict[str, np.ndarray]
    changes: dict[str, dict[str, Any]]


def list_rows(
    cases: Sequence[OneCase], labels: dict[str, np.ndarray], model: Path, folder: Path, out: Path
) -> ReviewedCases:
    items = [{"name": name, "arrays": str(folder / name)} for name, *_ in cases]
    answer = review.run({"model": str(model), "cases": {"items": items}, "out": str(out), "device": "cpu"}, Progress())
    return ReviewedCases(
        [Region.from_dict(r) for r in answer["regions"]],
        labels,
        {name: truth for name, _image, truth, _g in cases},
        {item["name"]: np.load(item["regions_map"]) for item in answer["items"]},
        {item["name"]: json.loads(Path(item["suggestions"]).read_text()) for item in answer["items"]},
    )


def changed_label(label: np.ndarray, row: Region, changes: dict[str, Any], part: str) -> np.ndarray:
    """The label where the reader takes the sure or the likely part of what is suggested at a row."""
    after = label.copy()
    for one in (changes[str(leaf.region_id)] for leaf in row.leaves if str(leaf.region_id) in changes):
        corners = zip(reversed(one["first_voxel"]), reversed(one["last_voxel"]), strict=True)
        view = after[tuple(slice(a, b + 1) for a, b in corners)]
        view[mask_of(one[part], view.shape) & (view == given_value(row))] = row.suggested_value
    return after


def walk_rows(listed: ReviewedCases, parts: Sequence[str]) -> dict[str, Any]:
    """The first rows of the list, and all above the line, answered with A or C. parts: what the reader looks at, of
    what is suggested; a key more for the second."""
    truth = listed.truth
    now = {name: label.copy() for name, label in listed.labels.items()}
    keys = {"rows": 0, "accepted": 0, "accepted_where_the_label_was_right": 0}
    tally = {**keys, "wrong_voxels": 0, "put_right": 0, "changed": 0, "changed_wrongly": 0}
    first: dict[str, int] = {}
    before = _wrong(now, truth)
    scores = [_mean_dice(now, truth)]
    effort = {"keys": 0, "points": 0.0, "keys_by_hand": 0, "points_by_hand": 0.0}
    for number, row in enumerate(r for r in listed.rows if not is_below_line(r)):
        place = np.isin(listed.places[row.case], [piece.region_id for piece in row.leaves])
        label, right = now[row.case], truth[row.case]
        choices = [changed_label(label, row, listed.changes[row.case], part) for part in parts]
        gains = [int((after == right).sum()) - int((label == right).sum()) for after in choices]
        best = int(np.argmax(gains))
        after, changed = choices[best], choices[best] != label
        tally["rows"] += 1
        wrong = place & (label != right)
        tally["wrong_voxels"] += int(wrong.sum())
        effort["keys"] += 1
        effort["keys_by_hand"] += 1
        if gains[best] > 0:
            tally["accepted"] += 1
            tally["accepted_where_the_label_was_right"] += int(2 * wrong.sum() < place.sum())
            tally["put_right"] += int((changed & (after == right)).sum())
            tally["changed"] += int(changed.sum())
            tally["changed_wrongly"] += int((changed & (label == right)).sum())
            drawn = np.where(place, right, label)
            effort["keys"] += best
            effort["points"] += 100 * (dice(after > 0, right > 0) - dice(label > 0, right > 0))
            effort["points_by_hand"] += 100 * (dice(drawn > 0, right > 0) - dice(label > 0, right > 0))
            effort["keys_by_hand"] += 1 + strokes_by_slice(wrong)  # E, the strokes, D
            now[row.case] = after
        if number + 1 == FIRST_ROWS:
            first = dict(tally)
    scores.append(_mean_dice(now, truth))
    return {
        "wrong_voxels_in_all_labels": before,
        "wrong_voxels_left": _wrong(now, truth),
        "mean_dice_before_and_after": scores,
        "first_10_rows": _shares(first or tally),
        "rows_above_the_line": _shares(tally),
        "effort": {name: round(value, 2) for name, value in effort.items()},
        "effort_against_hand": round(
            effort["keys"] / max(effort["points"], 1e-6) * effort["points_by_hand"] / effort["keys_by_hand"], 3
        ),
    }


def strokes_by_slice(wrong: np.ndarray) -> int:
    """One for each connected place in each slice. wrong: (*grid) bool."""
    planes = wrong if wrong.ndim == 3 else wrong[None]
    return sum(ndimage.label(plane, np.ones((3, 3)))[1] for plane in planes if plane.any())


def _wrong(labels: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> int:
    return sum(int((labels[name] != truth[name]).sum()) for name in labels)


def _mean_dice(labels: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> float:
    return round(float(np.mean([dice(labels[name] > 0, truth[name] > 0) for name in labels])), 4)


def _shares(tally: dict[str, int]) -> dict[str, Any]:
    return {
        **tally,
        "share_put_right": round(tally["put_right"] / max(tally["wrong_voxels"], 1), 3),
        "share_changed_wrongly": round(tally["changed_wrongly"] / max(tally["changed"], 1), 3),
    }


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


def answer_times() -> dict[str, float]:
    """Seconds of one answer with a model's probabilities on made-up volumes, strokes in the middle; (i, j, k)."""
    found = {}
    for size in ((128, 128, 24), (256, 256, 160)):
        shape = size[::-1]
        rng = np.random.default_rng(0)
        image = rng.normal(0, 1, (1, *shape)).astype(np.float32)
        ball = _ball(shape, np.array(shape) // 2, (1.0, 1.0, 1.0), 10)
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


def measure(data: Path, name: str, cases: int, seconds: float) -> dict[str, Any]:
    learn, other = load_cases(data, name, cases)
    with tempfile.TemporaryDirectory() as root:
        folder, labels = Path(root) / "cases", {}
        for number, (case, image, truth, geometry) in enumerate(learn):
            labels[case] = simulated_errors(truth, geometry.array_spacing, np.random.default_rng(number))
            whole = Case(case, np.asarray(image, np.float32), geometry, class_names={})
            whole.label = labels[case]
            save_array_case(whole, folder / case)
        items = [{"name": case, "arrays": str(folder / case)} for case in labels]
        trained = train.run(
            {"cases": {"items": items}, "out": f"{root}/run", "seconds": seconds, "device": "cpu"}, Progress()
        )
        model = Path(trained["model"])
        listed = list_rows(learn, labels, model, folder, Path(root) / "review")
        return {
            "cases": len(learn),
            "training_s": seconds,
            "rows_by_one_key": walk_rows(listed, ("sure",)),
            "rows_with_a_step_further": walk_rows(listed, ("sure", "likely")),
            "corrections_with_model": measure_corrections(other, model),
            "corrections_by_intensities": measure_corrections(other, None),
            "prompts_with_model": measure_prompts(other, model),
            "prompts_by_intensities": measure_prompts(other, None),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.interaction", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DALESEGMENT_DATA"))
    parser.add_argument("--sets", default="lidc_4rater,msd_hippocampus")
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "interaction.json")
    asked = parser.parse_args()
    record: dict[str, Any] = {"answer_s": answer_times()}
    for name in asked.sets.split(","):
        record[name] = measure(Path(asked.data), name, asked.cases, asked.seconds)
    text = json.dumps(record, indent=1) + "\n"
    asked.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
