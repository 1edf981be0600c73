"""Prints the results of commands for people."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..commands.doctor import report
from .run import duration

_IN_FILE = 1000  # columns: a line is a row, however long its paths
console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _IN_FILE)

Result = dict[str, Any]


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Numbers stand on the right; None is left empty."""
    listed = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        numbers = all(isinstance(row[i], (int, float)) or row[i] is None for row in listed)
        table.add_column(name, justify="right" if numbers and listed else "left", overflow="fold")
    for row in listed:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def training(result: Result) -> None:
    score = result["validation_dice"]
    console.print(f"Model: {result['model']}")
    console.print(f"{result['epochs']} epochs in {duration(result['seconds'])} on {result['device']}")
    if result["held_out_for_test"]:
        console.print(f"Cases held out for testing: {result['held_out_for_test']} (--split all learns from them, too)")
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
    for objection in result["objections"]:
        console.print(f"Not accepted: {objection}")
    if not result["accepted"]:
        console.print("The earlier model is unchanged; use the new one only if you know why.")
    if not result["confirmed_voxels"]:
        console.print("No voxel of these cases is confirmed; their labels counted as before")
        return
    kept = result["confirmed_voxels"] - result["confirmed_violated"]
    console.print(f"{kept} of {result['confirmed_voxels']} confirmed voxels are kept by the new model")


def predictions(result: Result) -> None:
    rows = [
        (item["name"], _counts(item["voxels"], item["classes"]), item["seconds"], item["segmentation"])
        for item in result["items"]
    ]
    _table(("Case", "Voxels", "Seconds", "Segmentation"), rows)
    extents(result)


def confidences(result: Result) -> None:
    _table(
        ("Case", "Mean confidence", "Map"),
        [(item["name"], item["mean_confidence"], item["confidence"]) for item in result["items"]],
    )
    too_weak(result)
    learned_otherwise(result)
    extents(result)


def regions(result: Result) -> None:
    """RAS mm, as Slicer shows it."""
    from ..dale.issues import Region  # brings scipy, which most commands print without
    from ..dale.reasons import reason
    from ..dale.review_rows import is_below_line

    found = [Region.from_dict(region) for region in result["regions"]]
    rows = [
        (
            region["rank"],
            region["case"],
            region["class_name"],
            region["suspicion"],
            float(region["size_mm3"]),
            region["mean_confidence"],
            len(region["pieces"]) or 1,
            ", ".join(f"{x:.1f}" for x in region["centre_ras"]),
        )
        for region in result["regions"]
    ]
    _table(("Rank", "Case", "Class", "Suspected", "mm³", "Confidence", "Pieces", "Centre R, A, S"), rows)
    for row in found:
        if row.note or reason(row):
            console.print(f"Rank {row.rank}: {'; '.join(text for text in (row.note, reason(row)) if text)}")
    below = sum(is_below_line(row) for row in found)
    if below:
        console.print(f"The last {below} are small, like the intensities, or recur: probably no label errors")
    if result["expected_real"]["sentence"]:
        console.print(result["expected_real"]["sentence"])
    too_weak(result)
    console.print(f"List: {result['csv']}")
    learned_otherwise(result)
    extents(result)
    if "audit" in result:
        console.print(f"Places to judge: {result['audit']}; write right, wrong or unsure, then evaluate --audit")


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


def extents(result: Result) -> None:
    """Volumes and diameters, with what is known of their intervals."""
    rows = []
    for item in result["items"]:
        for e in item["extents"].values():
            size = _interval(e["volume_ml"], "ml") if "volume_ml" in e else _interval(e["area_mm2"], "mm²")
            rows.append((item["name"], e["name"], size, _interval(e["diameter_mm"], "mm")))
    if not rows:
        return
    _table(("Case", "Class", "Size (90 % interval)", "Longest diameter (90 % interval)"), rows)
    if any(e["diameter_mm"]["low"] is None for item in result["items"] for e in item["extents"].values()):
        console.print("Intervals need a model that was validated on at least 9 cases with that class")


def _interval(figure: dict[str, Any], unit: str) -> str:
    ends = "" if figure["low"] is None else f" ({_cell(figure['low'])} to {_cell(figure['high'])})"
    return f"{_cell(figure['value'])} {unit}{ends}"


def evaluation(result: Result) -> None:
    """Every case, then the means; one table for each thing that was compared."""
    for what in result["mean"]:
        rows = [(item["name"], _scores(item[what])) for item in result["items"] if what in item]
        rows.append(("mean", _scores(result["mean"][what])))
        names = list(rows[-1][1])
        console.print(what.replace("_", " ").capitalize())
        _table(("Case", *names), [(name, *(scores.get(score) for score in names)) for name, scores in rows])

    biases = [
        (row["class"], row["annotator"], row["offset_mm"], row["low_mm"], row["high_mm"], row["cases"])
        for row in result["bias"]
    ]
    if biases:
        console.print("Outlines of the labels (mm, positive: drawn too large; 95 % interval)")
        _table(("Class", "Annotator", "Offset", "From", "To", "Cases"), biases)
    if "errors_left" in result:
        console.print(f"Audit: {result['errors_left']['sentence']}")


def _scores(of: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a case: over its classes their mean, over its voxels all of them."""
    numbers = of.get("mean") or of.get("overall") or of
    return {name: value for name, value in numbers.items() if value is None or isinstance(value, (int, float))}


def simulation(result: Result) -> None:
    rows = [(item["name"], item["dice"], item["label"]) for item in result["items"]]
    _table(("Case", "Dice with the given label", "New label"), rows)


def plan(result: Result) -> None:
    _table(("Plan", ""), [(name, _text(value)) for name, value in result.items()])


def _labelled(case: dict[str, Any]) -> str:
    if "voxels" not in case:
        return ""
    return _counts(case["voxels"], case["classes"]) or "an empty label"


def inspection(result: Result) -> None:
    rows = []
    for case in result["cases"]:
        geometry = case.get("geometry") or {}
        rows.append(
            (
                case["name"],
                _grid(geometry.get("size")),
                _grid(geometry.get("spacing")),
                case.get("channels"),
                _labelled(case),
                case["split"],
                case["problem"],
            )
        )
    _table(("Case", "Size", "Spacing, mm", "Channels", "Voxels", "Split", "Problem"), rows)
    console.print(f"{len(rows)} cases, {result['problems']} with a problem")


def checks(result: Result) -> None:
    rows = [("ok" if c["ok"] else "!!", c["name"], c["value"], c["advice"]) for c in result["checks"]]
    _table(("", "", "Found", "Advice"), rows)


def public_checks(result: Result) -> None:
    print(report(result["checks"]))


def _counts(voxels: dict[str, int], names: dict[str, str] | None = None) -> str:
    return ", ".join(f"{(names or {}).get(value, value)}: {count}" for value, count in voxels.items())


def _grid(numbers: Sequence[float] | None) -> str:
    return " × ".join(f"{number:g}" for number in numbers or ())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {item}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)
