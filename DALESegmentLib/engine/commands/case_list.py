"""A list of cases with other labels than the data has, for the commands that take a list."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.files import replacing
from ..io.case import CaseSource

LIST = "cases.csv"


def write_list(sources: Sequence[CaseSource], items: Sequence[Mapping[str, Any]], out: Path) -> str | None:
    """The path of a list that `train` and `evaluate` take; None where a case is no file."""
    if any(source.arrays is not None for source in sources):
        return None
    channels = max(len(source.images) for source in sources)
    images = ["image", *(f"image{n}" for n in range(2, channels + 1))]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ("name", *images, "label", "reference", "trusted", "split", "patient"), lineterminator="\n"
    )
    writer.writeheader()
    for source, item in zip(sources, items, strict=True):
        row = dict(zip(images, (_beside(path, out) for path in source.images), strict=False))
        row |= {"name": source.name, "label": _beside(Path(item["label"]), out), "split": source.split}
        row |= {"reference": _beside(source.label, out), "trusted": _beside(source.trusted, out)}
        writer.writerow(row | {"patient": source.patient})
    with replacing(out / LIST) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return str(out / LIST)


def _beside(path: Path | None, folder: Path) -> str:
    """As seen from the folder; on another drive of Windows, where it is."""
    if path is None:
        return ""
    try:
        return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return path.absolute().as_posix()
