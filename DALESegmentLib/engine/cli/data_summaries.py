"""Prints for people what inspect, evaluate and simulate found."""

from __future__ import annotations

from typing import Any

from .summaries import Result, counts, grid, label_values, notes, raters
from .tables import MOST_ROWS, console, print_table

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


def raters_compared(result: Result) -> None:
    raters(result)
    if result["one_rater"]:
        console.print(f"Cases that one rater alone labelled: {result['one_rater']}, not compared")


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


def _labelled(case: dict[str, Any]) -> str:
    if "voxels" not in case:
        return ""
    if not case["voxels"]:
        return "an empty label" + _not_annotated(case)
    without_voxels = {value: 0 for value in case["classes"] if value not in case["voxels"]}
    return counts(case["voxels"] | without_voxels, case["classes"]) + _not_annotated(case)


def _not_annotated(case: dict[str, Any]) -> str:
    return f", not annotated: {case['not_annotated']}" if case["not_annotated"] else ""


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
                grid(geometry.get("size")),
                grid(geometry.get("spacing")),
                case.get("channels"),
                _labelled(case),
                case["split"],
                case["problem"],
            )
        )
    columns = ("Case", "Image", "Label", "Size", "Spacing, mm", "Channels", "Voxels", "Split", "Problem")
    print_table(columns, rows, rest=None)
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
    if len(result["left_over"]) > MOST_ROWS:
        console.print(f"Left over: {len(result['left_over']) - MOST_ROWS} more kinds of files in --json")
    if result["problem"]:
        console.print(f"Problem: {result['problem']}")
    unlabelled = sum("voxels" not in case and not case["problem"] for case in cases)
    if unlabelled:
        them = "it" if unlabelled == 1 else "them"
        console.print(f"{_many(unlabelled)} without a label: predict takes {them}, train does not")
    console.print(f"{_many(len(cases))}, {result['problems']} with a problem")


def _many(cases: int) -> str:
    return "1 case" if cases == 1 else f"{cases} cases"


def _last(path: str) -> str:
    """The file with its folder."""
    return "/".join(path.replace("\\", "/").rstrip("/").split("/")[-2:])


def _label_files(case: dict[str, Any]) -> str:
    found = [_last(path) for path in case.get("label", ())]
    return found[0] if len(found) == 1 else f"{len(found)} masks, {found[0]}, ..." if found else ""
