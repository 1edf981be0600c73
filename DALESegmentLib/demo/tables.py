"""The figures of a demonstration as JSON and as tables people read; bad results stay in."""

from __future__ import annotations

import os
import platform
from typing import Any

from .data import DemoData
from .rounds import STEPS, Rounds

NAMES = {"plain": "plain", "dale": "DALE", "tuned": "DALE, fine-tuned"}


def results(data: DemoData, done: Rounds, seed: int, seconds: float) -> dict[str, Any]:
    """Everything in the tables, and what they were made with."""
    import torch

    return {
        "data": {"notes": list(data.notes), "train": len(data.train), "test": len(data.test)},
        "seed": seed,
        "steps": {name: len(history) * STEPS for name, history in done.histories.items() if name != "tuned"},
        "machine": {
            "cores": os.cpu_count(),
            "device": done.device,
            "torch": torch.__version__.split("+")[0],
            "python": platform.python_version(),
        },
        "seconds": {**done.seconds, "all": round(seconds, 1)},
        "held_out": {name: scores["prediction"] for name, scores in done.scores.items()},
        "labels": {
            "dice": done.labels["label"]["dice"],
            "errors": {place: _without_bins(done.labels["label_errors"][place]) for place in ("overall", "band")},
        },
        "worst_regions": done.worst,
        "fine_tune": done.tuned,
    }


def held_out_rows(found: dict[str, Any]) -> list[list[str]]:
    """Header and one row a model: Dice, IoU, HD95, NSD against the reference of the held-out cases."""
    rows = [["model", "Dice", "IoU", "HD95, mm", "NSD, 2 mm"]]
    for name, scores in found["held_out"].items():
        rows.append([NAMES[name], *(_number(scores[key]) for key in ("dice", "iou", "hd95_mm", "nsd"))])
    return rows


def label_rows(found: dict[str, Any]) -> list[list[str]]:
    """Header and rows on the labels that were learned from."""
    errors, worst, tuned = found["labels"]["errors"], found["worst_regions"], found["fine_tune"]
    return [
        ["the labels learned from", "value"],
        ["Dice of the labels as given against the reference", _number(found["labels"]["dice"])],
        ["label-error AUROC, all voxels", _number(errors["overall"]["auroc"])],
        ["label-error AUROC, within 3 mm of the outline", _number(errors["band"]["auroc"])],
        ["label-error AUPRC, all voxels", _number(errors["overall"]["auprc"])],
        ["calibration error (ECE) of the confidence", _number(errors["overall"]["ece"])],
        [f"truly wrong voxels in the {worst['regions']} worst regions", _percent(worst["truly_wrong"])],
        ["truly wrong voxels within 3 mm of the outline", _percent(worst["wrong_in_band"])],
        ["Dice of the corrected labels, before", _number(worst["label_dice_before"])],
        ["Dice of the corrected labels, after", _number(worst["label_dice_after"])],
        ["confirmed voxels", str(tuned["confirmed_voxels"])],
        ["of these, contradicted after the fine-tune", str(tuned["confirmed_violated"])],
    ]


def as_markdown(found: dict[str, Any]) -> str:
    parts = ["# DALESegment: the demonstration's results", *found["data"]["notes"]]
    for rows in (held_out_rows(found), label_rows(found)):
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        parts.append("\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]))
    machine = found["machine"]
    steps = ", ".join(f"{NAMES[name]} {count}" for name, count in found["steps"].items())
    parts.append(
        f"Seed {found['seed']}; steps: {steps}; {machine['cores']} cores, device {machine['device']}, "
        f"torch {machine['torch']}, Python {machine['python']}; {found['seconds']['all']:.0f} s in all."
    )
    return "\n\n".join(parts) + "\n"


def as_text(rows: list[list[str]]) -> str:
    """Columns lined up for a terminal."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join("   " + "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _without_bins(scores: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in scores.items() if key != "reliability"}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
