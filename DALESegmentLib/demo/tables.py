"""The figures of a demonstration as JSON and as tables people read; bad results included."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

from ..engine.review.reviewed_voxels import followed
from .data import DemoData
from .demonstration import DemoResults

NAMES = {"plain": "plain training", "dale": "DALE", "tuned": "DALE, after the corrections"}
SCORES = {"dice": ("Dice", 3), "hd95_mm": ("HD95, mm", 2), "nsd": ("NSD, 2 mm", 3)}
IN_PIXELS = {"dice": ("Dice", 3), "hd95_px": ("HD95, px", 2), "nsd": ("NSD, 2 px", 3)}
LEVEL = 0.005  # Dice; below this two models are called level

Rows = list[list[str]]


def results(data: DemoData, done: DemoResults, seed: int, seconds: dict[str, float]) -> dict[str, Any]:
    """Everything in the tables, and what they were made with. seconds: by step."""
    effort = done.effort
    return {
        "data": {
            "notes": list(data.notes),
            "given": data.given,
            "train": list(data.train),
            "test": list(data.test),
            "normalise": data.normalise or "automatic",
        },
        "seed": seed,
        "steps": {
            "plain": effort.epochs * effort.steps,
            "dale": effort.epochs * effort.steps,
            "tuned": effort.tune_epochs * effort.tune_steps,
        },
        "machine": {
            "cores": _cores(),
            "device": done.device,
            "torch": version("torch").split("+")[0],
            "monai": version("monai"),
            "python": platform.python_version(),
        },
        "seconds": {name: round(s, 1) for name, s in seconds.items()} | {"all": round(sum(seconds.values()), 1)},
        "held_out": _agreement(done.held_out),
        "training_cases": _agreement(done.training),
        "label_errors": {
            place: {key: value for key, value in scores.items() if key != "reliability"}
            for place, scores in done.labels["label_errors"].items()
        },
        "review": {**done.review, "notes": done.notes},
        "fine_tune": done.tuned,
    }


def _agreement(scores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By model, and as "given" the labels as given on the same cases: what a person reached."""
    given = next(iter(scores.values()))["label"]
    return {"given": given} | {name: mean["prediction"] for name, mean in scores.items()}


def verdict(found: dict[str, Any]) -> list[str]:
    """The results in three sentences, whether the method gained or lost."""
    dice = {name: scores["dice"] for name, scores in found["held_out"].items()}
    gain, tuned = dice["dale"] - dice["plain"], dice["tuned"] - dice["dale"]
    if abs(gain) < LEVEL:
        first = "On the held-out cases DALE and plain training are level"
    elif gain > 0:
        first = f"On the held-out cases DALE is better than plain training by {100 * gain:.1f} Dice points"
    else:
        first = f"On the held-out cases plain training is better than DALE by {-100 * gain:.1f} Dice points"
    count, cases = found["review"]["regions"], len(found["data"]["test"])
    return [
        f"{first}.",
        f"Correcting the {count} worst regions and fine-tuning changed DALE by {100 * tuned:+.1f} Dice points.",
        f"One seed, {cases} test cases: another seed gives another difference; --seed 1 shows how much.",
    ]


def agreement_rows(found: dict[str, Any], where: str) -> Rows:
    """Header and one row a model; where: "held_out" or "training_cases"."""
    names = NAMES | {"given": f"to compare: {found['data']['given']}"}
    columns = IN_PIXELS if "hd95_px" in found[where]["given"] else SCORES
    rows = [["", *(title for title, _ in columns.values())]]
    for name in (*NAMES, "given"):
        scores = found[where][name]
        rows.append([names[name], *(_number(scores[key], digits) for key, (_, digits) in columns.items())])
    return rows


def label_rows(found: dict[str, Any]) -> Rows:
    """Header and rows on the labels that were learned from."""
    overall, band = found["label_errors"]["overall"], found["label_errors"]["band"]
    review, tuned = found["review"], found["fine_tune"]
    dice = [_number(review[f"label_dice_{when}"], 4) for when in ("before", "after")]
    rows = [
        ["Dice of the labels, as given → corrected", " → ".join(dice)],
        ["wrong voxels found (AUROC)", _number(overall["auroc"])],
        ["   the same within 3 mm of the outline", _number(band["auroc"])],
        ["wrong voxels found (AUPRC; by chance)", f"{_number(overall['auprc'])} ({_number(overall['prevalence'])})"],
        ["calibration error of the confidence (ECE)", _number(overall["ece"])],
        [f"truly wrong in the {review['regions']} worst regions", _percent(review["truly_wrong"])],
        ["   anywhere; within 3 mm of the outline", _chance(review)],
        ["share of all label errors in these regions", _percent(review["share_of_all_errors"])],
        ["the fine-tuned model follows", _followed(tuned)],
    ]
    return [["the labels learned from", ""], *rows]


def _chance(review: dict[str, Any]) -> str:
    return f"{_percent(review['by_chance'])}; {_percent(review['by_chance_near_outline'])}"


def _followed(tuned: dict[str, Any]) -> str:
    return followed(tuned["confirmed_voxels"], tuned["confirmed_violated"])


def as_markdown(found: dict[str, Any]) -> str:
    parts = ["# DALESegment: what the demonstration found", *verdict(found)]
    for title, rows in _tables(found):
        lines = ["| " + " | ".join(cell.strip() for cell in row) + " |" for row in rows]
        parts += [f"## {title}", "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])]
    parts += ["## How it was made", *found["data"]["notes"], made_with(found)]
    return "\n\n".join(parts) + "\n"


def as_text(found: dict[str, Any]) -> str:
    """The same tables lined up for a terminal."""
    parts = []
    for title, rows in _tables(found):
        widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
        lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        parts.append("\n".join([title, "-" * len(title), *lines]))
    return "\n\n".join([*parts, "\n".join(verdict(found))])


def made_with(found: dict[str, Any]) -> str:
    machine, steps = found["machine"], found["steps"]
    return (
        f"Seed {found['seed']}; {steps['plain']} steps each for plain training and DALE, {steps['tuned']} for the "
        f"fine-tune; {machine['cores']} cores, device {machine['device']}; torch {machine['torch']}, "
        f"MONAI {machine['monai']}, Python {machine['python']}; {found['seconds']['all']:.0f} s without the pictures."
    )


def _tables(found: dict[str, Any]) -> list[tuple[str, Rows]]:
    return [
        ("Held-out cases against the reference", agreement_rows(found, "held_out")),
        ("Training cases against the reference", agreement_rows(found, "training_cases")),
        ("What was found in the labels", label_rows(found)),
    ]


def _cores() -> int:
    """Those this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
