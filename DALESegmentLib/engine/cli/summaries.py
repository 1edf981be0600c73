"""Prints the results of commands for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..commands.doctor import report
from ..review.reviewed_voxels import followed
from .run import duration
from .tables import MOST_ROWS, cell, console, print_table, some

Result = dict[str, Any]


def notes(result: Result) -> None:
    """What was said before the work, and what was kept."""
    if result.get("left_out"):
        names = some(result["left_out"])
        console.print(f"Left out, since no label was found: {names}")
    left_over(result)
    for item in result.get("items", ())[:MOST_ROWS]:
        for sentence in item.get("unlike_training", ()):
            console.print(f"{sentence} No interval is given for it.")
    if result.get("kept"):
        console.print(f"Changed since they were written, and kept beside the new ones: {some(result['kept'])}")


def left_over(result: Result) -> None:
    if result.get("left_over"):
        console.print(result["left_over"])


def training(result: Result) -> None:
    score = result["validation_dice"]
    console.print(f"Model: {result['model']}")
    if result.get("written_back"):
        console.print(f"For the program that the model came from: {result['written_back']}")
    console.print(f"{result['epochs']} epochs in {duration(result['seconds'])} on {result['device']}")
    if result["held_out_for_test"]:
        console.print(f"Cases held out for testing: {result['held_out_for_test']} (--split all learns from them, too)")
    left_over(result)
    label_values(result)
    if result["empty_labels"]:
        console.print(f"Empty labels: {result['empty_labels']}, taken for images where there is nothing to be labelled")
    for sentence in result.get("decision", {}).get("sentences", ()):
        console.print(sentence)
    if "volume_calibration" in result:
        console.print(result["volume_calibration"]["sentence"])
    if result["refined"]:
        cases = result["refined"]
        console.print(
            f"Images and model agreed against the labels of {cases} case{'' if cases == 1 else 's'}, "
            "which were learned with refined outlines (the labels stay as they are)"
        )
    if result["completed"]:
        cases = result["completed"]
        console.print(
            f"In {cases} case{'' if cases == 1 else 's'} an object was found that the label has none of, and learned "
            "(the labels stay as they are; the review list says where)"
        )
    raters(result)
    console.print("No validation cases" if score is None else f"Validation Dice {score:.3f}")
    too_weak(result)


def folds(result: Result) -> None:
    """A row each once all have ended; else where they come."""
    if result.get("jobs"):
        console.print(f"Jobs: {', '.join(result['jobs'])}")
    if not result["folds"]:
        console.print(f"The runs come to {result['runs'][0]} and beside it, the table of all to {result['table']}")
        return
    rows = [(row["fold"], row.get("validation", ""), _number(row["validation_dice"], 3)) for row in result["folds"]]
    print_table(("Fold", "Validation cases", "Validation Dice"), rows, result["table"])


def raters(result: Result) -> None:
    """A row each, where several raters' labels were learned from or compared."""
    rows = result.get("raters", [])
    if not rows:
        return
    unit = "mm" if "bias_mm" in rows[0] else "px"
    table = [
        (
            row["rater"],
            row["cases"],
            _signed(row[f"bias_{unit}"]),
            f"{_signed(row[f'low_{unit}'])} to {_signed(row[f'high_{unit}'])}",
            _number(row[f"noise_{unit}"]),
            _number(row["dice"], 3),
            row["left_out"],
            row["drawn_alone"],
            _number(row["confidence"]),
        )
        for row in rows
    ]
    head = ("Rater", "Cases", f"Bias ({unit})", "95 % interval", f"Noise ({unit})", "Dice", "Left out", "Alone")
    print_table((*head, "Confidence"), table, "--json")
    console.print(f"Bias: + is larger than the consensus. {result['consensus']}")


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def too_weak(result: Result) -> None:
    """Which labels the model cannot judge, and whose probabilities hardly are theirs."""
    others = (result.get(key, ()) for key in ("weak_since_training", "unlike_labels"))
    for sentence in [*(weak["sentence"] for weak in result["too_weak"]), *(one for told in others for one in told)]:
        console.print(sentence)


def finetuning(result: Result) -> None:
    training(result)
    if result["bias"]:
        console.print(f"Systematic bias: {result['bias']}; undone in what nobody corrected")
    if not result["confirmed_voxels"]:
        console.print("No voxel of these cases is confirmed; their labels counted as before")
    else:
        console.print(f"The new model follows {followed(result['confirmed_voxels'], result['confirmed_violated'])}")


def refusal(result: Result) -> str:
    """Why a fine-tuned model should not take the place of the earlier one, in one sentence; "" where it may."""
    if result["accepted"]:
        return ""
    why = " and ".join(_inside(objection) for objection in result["objections"])
    return f"Not accepted, since {why}; the earlier model is unchanged, use the new one only if you know why."


def _inside(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


def predictions(result: Result) -> None:
    rows = [
        (
            item["name"],
            counts(item["voxels"], item["classes"]) or "nothing found",
            item["seconds"],
            item["segmentation"],
        )
        for item in result["items"]
    ]
    print_table(("Case", "Voxels", "Seconds", "Segmentation"), rows, "--json; the files lie beside each other")
    extents(result)
    notes(result)


def confidences(result: Result) -> None:
    print_table(
        ("Case", "Mean confidence", "Map"),
        [(item["name"], item["mean_confidence"], item["confidence"]) for item in result["items"]],
    )
    too_weak(result)
    learned_otherwise(result)
    extents(result)
    label_values(result)
    notes(result)


def regions(result: Result) -> None:
    """Places in RAS mm, as Slicer shows it; of pictures in pixels."""
    from ..dale.issues import Region  # brings scipy, which most commands print without
    from ..dale.reasons import reason, size_words
    from ..dale.review_rows import is_below_line

    found = [Region.from_dict(region) for region in result["regions"]]
    rows = [
        (
            region["rank"],
            region["case"],
            region["class_name"],
            region["suspicion"],
            size_words(row),
            region["mean_confidence"],
            len(region["pieces"]) or 1,
            _place(row),
        )
        for region, row in zip(result["regions"], found, strict=True)
    ]
    pixels = found and all(row.unit == "pixel" for row in found)
    centre = "Centre i, j" if pixels else "Centre R, A, S"
    columns = ("Rank", "Case", "Class", "Suspected", "Size", "Confidence", "Pieces", centre)
    if rows:
        print_table(columns, rows, "regions.csv")
    else:
        console.print("No place is listed")
    for row in found[:MOST_ROWS]:
        if row.note or reason(row):
            console.print(f"Rank {row.rank}: {'; '.join(text for text in (row.note, reason(row)) if text)}")
    below = sum(is_below_line(row) for row in found)
    if below:
        console.print(f"The last {below} are small, like the intensities, or recur: probably no label errors")
    if result["expected_real"]["sentence"]:
        console.print(result["expected_real"]["sentence"])
    too_weak(result)
    label_values(result)
    console.print(f"List: {result['csv']}")
    if "html" in result:
        console.print(f"With pictures, for any browser: {result['html']}")
    learned_otherwise(result)
    extents(result)
    notes(result)
    if "audit" in result:
        console.print(f"Places to judge: {result['audit']}; write right, wrong or unsure, then evaluate --audit")


def _place(region: Any) -> str:
    if region.unit == "pixel":
        return ", ".join(str(n) for n in region.centre_voxel)
    edge = (region.size_mm3 / max(region.voxels, 1)) ** (1 / len(region.centre_voxel))
    digits = 1 if edge >= 0.05 else 2 - math.floor(math.log10(edge))
    return ", ".join(f"{x:.{digits}f}" for x in region.centre_ras)


def exported(result: Result) -> None:
    rows = []
    for item in result["items"]:
        written = [name.replace("_", " ") for name in item if name not in ("name", "reviewer")]
        rows.append((item["name"], ", ".join(written), item["reviewer"]))
    print_table(("Case", "Written", "Reviewed by"), rows)


def exported_network(result: Result) -> None:
    console.print(f"Written: {result['onnx']}", markup=False)
    for what in ("input", "output"):
        shape = " x ".join(map(str, result[what]["shape"]))
        console.print(f"{what.capitalize()} {result[what]['name']}: {shape}, float32")
    console.print(
        f"Its answer differs from torch's by {result['largest_difference']:.1g} at most, as {result['checked_with']} "
        "computes it."
    )


def learned_otherwise(result: Result) -> None:
    """Over all cases; nothing where every voxel was learned as it was given."""
    counts: Counter[str] = Counter()
    for item in result["items"]:
        counts.update(item["learned_otherwise"])
    if not counts:
        return
    cases = sum(bool(item["learned_otherwise"]) for item in result["items"])
    sources = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.most_common())
    voxels = "1 voxel" if counts.total() == 1 else f"{counts.total():,} voxels"
    console.print(
        f"{voxels} learned otherwise than given: {sources} "
        f"(where: label_source in the folder of {'the case' if cases == 1 else f'each of {cases} cases'})"
    )


SIZES = {"volume_ml": "ml", "area_mm2": "mm²", "area_px": "pixels", "volume_px": "voxels"}


def extents(result: Result) -> None:
    """Volumes and diameters, with what is known of their intervals."""
    rows, unknown = [], False
    for item in result["items"]:
        for e in item["extents"].values():
            size = next(name for name in SIZES if name in e)
            diameter = e.get("diameter_mm") or e["diameter_px"]
            unknown = unknown or (diameter["low"] is None and not item.get("unlike_training"))
            words = _interval(diameter, "mm" if "diameter_mm" in e else "px")
            rows.append((item["name"], e["name"], _interval(*_readable(e[size], SIZES[size])), words))
    if not rows:
        return
    print_table(("Case", "Class", "Size (90 % interval)", "Longest diameter (90 % interval)"), rows, "extents.csv")
    if unknown:
        console.print("Intervals need a model that was validated on at least 9 cases with that class")


def _readable(figure: dict[str, Any], unit: str) -> tuple[dict[str, Any], str]:
    """A volume that is next to nothing in ml, in mm³."""
    if unit != "ml" or figure["value"] >= 0.001:
        return figure, unit
    return {end: None if number is None else 1000 * number for end, number in figure.items()}, "mm³"


def _interval(figure: dict[str, Any], unit: str) -> str:
    ends = "" if figure["low"] is None else f" ({cell(figure['low'])} to {cell(figure['high'])})"
    return f"{cell(figure['value'])} {unit}{ends}"


def plan(result: Result) -> None:
    """In words; every number of it is in --json."""
    for sentence in result["sentences"]:
        console.print(sentence)
    console.print(f"Device: {result['device']}. All numbers: --json")


def label_values(result: Result) -> None:
    """What the values in the labels mean."""
    for sentence in result.get("labels", ()):
        console.print(f"Labels: {sentence}")


def checks(result: Result) -> None:
    rows = [("ok" if c["ok"] else "!!", c["name"], c["value"], c["advice"]) for c in result["checks"]]
    print_table(("", "", "Found", "Advice"), rows, None)


def public_checks(result: Result) -> None:
    print(report(result["checks"]))


MOST_CLASSES = 8


def counts(voxels: dict[str, int], names: dict[str, str] | None = None) -> str:
    shown = [f"{(names or {}).get(value, value)}: {count}" for value, count in list(voxels.items())[:MOST_CLASSES]]
    more = len(voxels) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def grid(numbers: Sequence[float] | None) -> str:
    return " × ".join(f"{number:g}" for number in numbers or ())
