"""The real property, signal and slot tables of the ctk and qMRML classes that the module uses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

SUBSET = Path(__file__).parents[1] / "qt_api_subset.json"


@cache
def tables() -> dict[str, dict]:
    return json.loads(SUBSET.read_text(encoding="utf-8"))


def table(class_name: str) -> dict | None:
    """{"props": {name: [type, writable]}, "signals": [...], "slots": [...]} or None for Qt's own classes."""
    return tables().get(class_name)


def slot_names(class_name: str) -> set[str]:
    return {signature.split("(")[0] for signature in tables()[class_name]["slots"]}


def signal_names(class_name: str) -> set[str]:
    return {signature.split("(")[0] for signature in tables()[class_name]["signals"]}
