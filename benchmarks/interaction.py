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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from DALESegmentLib.engine.commands import review, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.dale.reasons import given_value
from DALESegmentLib.engine.dale.review_rows import is_below_line
from DALESegmentLib.engine.geometry.distance import bounding_box, margin_voxels
from DALESegmentLib.engine.geometry.runs import mask_of
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.images import read_image, read_label

from .cell import ROOT
from .simulated_errors import OneCase, dice, simulated_errors
from .strokes import answer_times, measure_corrections, measure_prompts

FIRST_ROWS = 10


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
        {item["name"]: json.loads(Path(item["suggestions"]).read_text(encoding="utf-8")) for item in answer["items"]},
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
