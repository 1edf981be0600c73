"""What a model was made from, read from its files; nothing of it is executed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DALESegmentLib.engine.bundle.run_folder import RUN_FILE, find_bundle, kind_of
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import read_json

from .foreign_model import monaiInfo, nnunetInfo


def modelInfo(model: str) -> str:
    """Network, segments, date, training cases and validation Dice in a sentence each; of another program's model what
    it is, and what cannot be done with it; "" without a model."""
    if not model:
        return ""
    try:
        bundle = find_bundle(Path(model))
        kind = kind_of(bundle)
        if kind == "nnunet":
            return nnunetInfo(bundle, Path(model))
        if kind == "monai":
            return monaiInfo(bundle)
        plan = read_json(bundle / "configs" / "metadata.json")["dalesegment"]["plan"]
    except EngineError as problem:
        return problem.sentence
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _("This is no model that is known here; choose one of DALESegment, nnU-Net v2 or MONAI.")
    parts = [
        _("{network} in {dims}D for {names}").format(
            network=plan["network"], dims=plan["dims"], names=", ".join(plan["class_names"].values())
        ),
        *_training(bundle),
    ]
    return "; ".join(parts) + "."


def _training(bundle: Path) -> list[str]:
    """About the training, from the bundle's files and those of its run folder where it has one."""
    file = bundle / "docs" / "training.json"
    parts = []
    if file.is_file():
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
        parts.append(_("trained {day}").format(day=day))
    run = _read(bundle.parent / RUN_FILE)
    if run.get("training"):
        parts.append(_("training cases: {count}").format(count=len(run["training"])))
    history = _read(file).get("history", [])
    scores = [row["validation_dice"] for row in history if row.get("validation_dice") is not None]
    parts.append(_("validation Dice {dice:.2f}").format(dice=scores[-1]) if scores else _("not validated"))
    return parts


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except (EngineError, OSError, ValueError):
        return {}
