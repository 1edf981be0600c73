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
    for item in result.get("items", ())[:MOST_ROWS]:
        for sentence in item.get("unlike_training", ()):
            console.print(f"{sentence} No interval is given for it.")
    if result.get("kept"):
        console.print(f"Changed since they were written, and kept beside the new ones: {some(result['kept'])}")


def training(result: Result) -> None:
    score = result["validation_dice"]
    console.print(f"Model: {result['model']}")
    console.print(f"{result['epochs']} epochs in {duration(result['seconds'])} on {result['device']}")
    if result["held_out_for_test"]:
        console.print(f"Cases held out for testing: {result['held_out_for_test']} (--split all learns from them, too)")
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
    console.print("No validation cases" if score is None else f"Validation Dice {score:.3f}")
    too_weak(result)


def too_weak(result: Result) -> None:
    """Which labels the model cannot judge."""
    for weak in result["too_weak"]:
        console.print(weak["sentence"])


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
        (item["name"], _counts(item["voxels"], item["classes"]), item["seconds"], item["segmentation"])
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
    notes(result)


def regions(result: Result) -> None:
    """Places in RAS mm, as Slicer shows it; of pictures in pixels."""
    from ..dale.issues import Region  # brings scipy, which most commands print without
    from ..dale.reasons import reason, size_words
    from ..dale.rows import is_below_line

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
    print_table(("Rank", "Case", "Class", "Suspected", "Size", "Confidence", "Pieces", centre), rows, "regions.csv")
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


ACROSS = {"mean": "mean", "median": "median", "quartile_1": "first quartile", "quartile_3": "third quartile"}


def evaluation(result: Result) -> None:
    """Every case, then the means; one table for each thing that was compared."""
    for what in result["mean"]:
        rows = [(item["name"], _scores(item[what])) for item in result["items"] if what in item]
        across = [(word, _scores(result.get(of, {}).get(what, {}))) for of, word in ACROSS.items()]
        last = [row for row in across if row[1]]
        names = list(dict.fromkeys(name for _, scores in (*rows, *last) for name in scores))
        console.print(what.replace("_", " ").capitalize())
        titles = [name.replace("_mm", ", mm").replace("_px", ", px") for name in names]
        table, below = (
            [(name, *(scores.get(score) for score in names)) for name, scores in part] for part in (rows, last)
        )
        print_table(("Case", *titles), table, "evaluate.csv (--out)", below)
    for tolerance in sorted({_tolerance(item) for item in result["items"]} - {""}):
        console.print(f"nsd: share of the surfaces that lie within {tolerance} of each other")

    for short in ("mm", "px"):
        biases = [
            (
                *(
                    row[name]
                    for name in ("class", "annotator", f"offset_{short}", f"low_{short}", f"high_{short}", "cases")
                ),
            )
            for row in result["bias"]
            if f"offset_{short}" in row
        ]
        if biases:
            console.print(f"Outlines of the labels ({short}, positive: drawn too large; 95 % interval)")
            print_table(("Class", "Annotator", "Offset", "From", "To", "Cases"), biases)
    label_values(result)
    notes(result)
    if "csv" in result:
        console.print(f"Table: {result['csv']}")
    if "errors_left" in result:
        console.print(f"Audit: {result['errors_left']['sentence']}")


def _tolerance(item: dict[str, Any]) -> str:
    compared = item.get("prediction") or item.get("label") or {}
    for name, unit in (("nsd_tolerance_mm", "mm"), ("nsd_tolerance_px", "px")):
        if name in compared:
            return f"{compared[name]:.3g} {unit}"
    return ""


def _scores(of: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a case: over its classes their mean, over its voxels all of them."""
    numbers = of.get("mean") or of.get("overall") or of
    return {name: value for name, value in numbers.items() if value is None or isinstance(value, (int, float))}


def simulation(result: Result) -> None:
    rows = [(item["name"], item["dice"], item["label"]) for item in result["items"]]
    print_table(("Case", "Dice with the given label", "New label"), rows, "cases.csv")
    notes(result)
    if result["list"]:
        console.print(f"To learn from them: dalesegment train --list {result['list']} -o <run>")


def plan(result: Result) -> None:
    """In words; every number of it is in --json."""
    for sentence in result["sentences"]:
        console.print(sentence)
    console.print(f"Device: {result['device']}. All numbers: --json")


def _labelled(case: dict[str, Any]) -> str:
    if "voxels" not in case:
        return ""
    counted = _counts(case["voxels"], case["classes"]) or "an empty label"
    return counted + (f", not annotated: {case['not_annotated']}" if case["not_annotated"] else "")


def inspection(result: Result, every: bool = False) -> None:
    """Cases with a problem come first. every: all of them, not the first 20 alone."""
    cases = sorted(result["cases"], key=lambda case: case["problem"] is None)
    rows = []
    for case in cases if every else cases[:MOST_ROWS]:
        geometry = case.get("geometry") or {}
        rows.append(
            (
                case["name"],
                ", ".join(_last(path) for path in case.get("image", ())),
                _label_files(case),
                _grid(geometry.get("size")),
                _grid(geometry.get("spacing")),
                case.get("channels"),
                _labelled(case),
                case["split"],
                case["problem"],
            )
        )
    print_table(("Case", "Image", "Label", "Size", "Spacing, mm", "Channels", "Voxels", "Split", "Problem"), rows)
    if len(rows) < len(cases):
        console.print(f"{len(cases) - len(rows)} more cases: type --all for every row, or --json")
    if result["layout"]:
        console.print(f"Layout: {result['layout']}")
    label_values(result)
    for note in dict.fromkeys(note for case in cases for note in case.get("notes", ())):
        count = sum(note in case.get("notes", ()) for case in cases)
        console.print(f"Note: {note}" + (f" ({count} cases)" if count > 1 else ""))
    if result["hint"]:
        console.print(f"Note: {result['hint']}")
    for group in result["left_over"][:MOST_ROWS]:
        where = "" if group["where"] == "." else f" in {group['where']}"
        files = "1 file" if group["files"] == 1 else f"{group['files']} files"
        console.print(f"Left over: {files} {group['kind']}{where}, for instance {group['example']}: {group['why']}")
    if result["problem"]:
        console.print(f"Problem: {result['problem']}")
    unlabelled = sum("voxels" not in case and not case["problem"] for case in cases)
    if unlabelled:
        console.print(f"{unlabelled} cases without a label: predict takes them, train does not")
    console.print(f"{len(cases)} cases, {result['problems']} with a problem")


def label_values(result: Result) -> None:
    """What the values in the labels mean."""
    for sentence in result.get("labels", ()):
        console.print(f"Labels: {sentence}")


def _last(path: str) -> str:
    """The file with its folder."""
    return "/".join(path.replace("\\", "/").rstrip("/").split("/")[-2:])


def _label_files(case: dict[str, Any]) -> str:
    found = [_last(path) for path in case.get("label", ())]
    return found[0] if len(found) == 1 else f"{len(found)} masks, {found[0]}, ..." if found else ""


def checks(result: Result) -> None:
    rows = [("ok" if c["ok"] else "!!", c["name"], c["value"], c["advice"]) for c in result["checks"]]
    print_table(("", "", "Found", "Advice"), rows, None)


def public_checks(result: Result) -> None:
    print(report(result["checks"]))


MOST_CLASSES = 8


def _counts(voxels: dict[str, int], names: dict[str, str] | None = None) -> str:
    shown = [f"{(names or {}).get(value, value)}: {count}" for value, count in list(voxels.items())[:MOST_CLASSES]]
    more = len(voxels) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _grid(numbers: Sequence[float] | None) -> str:
    return " × ".join(f"{number:g}" for number in numbers or ())
