"""Cases named one by one: a CSV, a MONAI decathlon JSON, or the items of a request."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from .case import stem_of
from .case_folder import FoundCase
from .checks import check_exists
from .class_names import names_with_ignored, read_json
from .csv_files import read_csv

IMAGE_COLUMN = re.compile(r"image\d*$")
NEAR_NAMES = {
    "image": ("img", "images", "scan", "volume", "image_path", "img_path", "image_file", "filename", "file", "path"),
    "label": (
        *("labels", "mask", "masks", "seg", "segmentation", "gt", "ground_truth", "groundtruth", "annotation"),
        *("label_path", "mask_path", "seg_path", "label_file", "mask_file"),
    ),
    "name": ("case", "case_id", "id", "image_id"),
    "patient": ("patient_id", "subject", "subject_id"),
}
"""What columns are called elsewhere."""
SECTIONS = {"training": "train", "validation": "test", "test": "test"}
MOST_CASES = 20_000
ITEM_KEYS = {"name", "images", "label", "trusted", "confidence", "reference", "arrays", "split", "patient"}


def cases_in_list(path: Path) -> list[FoundCase]:
    """The cases of a CSV or decathlon JSON; its paths are relative to the list.

    Raises EngineError("missing-file", "bad-list", "bad-json" or "no-cases").
    """
    check_exists(path)
    if path.is_dir():
        raise EngineError("bad-list", f"{path.name} is a folder and no list; give it as the data instead.")
    cases = _decathlon(path) if path.suffix.lower() == ".json" else _table(path)
    if not cases:
        raise EngineError("no-cases", f"{path.name} lists no cases; add one line for each.")
    return cases


def cases_of_items(items: Iterable[Mapping[str, Any]]) -> list[FoundCase]:
    """The cases of a request's `items`. Raises EngineError("bad-item") for an unknown or missing key."""
    return [_item(item) for item in items]


def _item(item: Mapping[str, Any]) -> FoundCase:
    unknown = set(item) - ITEM_KEYS
    name = item.get("name")
    if unknown or not isinstance(name, str) or not name:
        problem = f"does not know {min(unknown)}" if unknown else "lacks its name"
        raise EngineError("bad-item", f"A case in the list {problem}; it takes {', '.join(sorted(ITEM_KEYS))}.")
    if item.get("arrays"):
        return FoundCase(
            name, arrays=Path(item["arrays"]), split=item.get("split") or "", patient=item.get("patient") or ""
        )
    images = item.get("images") or ()
    if isinstance(images, (str, Path)):
        images = [images]
    return _case(name, images, Path(), {k: item.get(k) for k in ITEM_KEYS}, item.get("split") or "")


def _case(name: str, images: Sequence[str | Path], base: Path, others: Mapping[str, Any], split: str) -> FoundCase:
    """A FoundCase of paths relative to `base`; keys of `others` that are no files are left out."""
    if not images:
        raise EngineError("no-image", f"{name} has no image; say which file it is.")
    stacked = {f"image{n}" if n > 1 else "image": _below(base, image) for n, image in enumerate(images, 1)}
    skipped = {"name", "images", "arrays", "split", "patient"}
    rest = {key: _below(base, path) for key, path in others.items() if path and key not in skipped}
    return FoundCase(name, stacked | rest, tuple(stacked), split, patient=str(others.get("patient") or ""))


def _below(base: Path, path: str | Path) -> Path:
    """A list that was made on Windows has backslashes between folders, which may be part of a name elsewhere."""
    found = base / path
    return found if "\\" not in str(path) or found.exists() else base / str(path).replace("\\", "/")


def _table(path: Path) -> list[FoundCase]:
    """A CSV with the columns name, image, image2, ..., label, trusted, confidence, reference, split, patient."""
    try:
        rows = read_csv(path)
    except (ValueError, csv.Error) as error:
        raise EngineError("bad-list", f"{path.name} is not a readable CSV; save it again as CSV UTF-8.") from error
    _check_count(len(rows), path)
    cases = []
    columns = _columns([key for key in (rows[0] if rows else ()) if isinstance(key, str)], path)
    for line, row in enumerate(rows, 2):
        cells = {columns.get(k, ""): (v or "").strip() for k, v in row.items() if isinstance(v, (str, type(None)))}
        if not any(cells.values()):
            continue
        images = [cells.pop(k) for k in sorted(cells, key=_column_number) if IMAGE_COLUMN.match(k)]
        images = [image for image in images if image]
        if not images:
            raise EngineError(
                "bad-list", f"Line {line} of {path.name} has no image; the first line must name the columns."
            )
        split = cells.pop("split", "")
        if split not in ("", "train", "test"):
            raise EngineError("bad-list", f"Line {line} of {path.name} has the split {split}; use train or test.")
        name = cells.pop("name", "") or _usual_name(images[0])
        cases.append(_case(name, images, path.parent, cells, split))
    return cases


def _columns(names: Sequence[str], path: Path) -> dict[str, str]:
    """{column: what it is called here}, whatever its capitals; a near name counts where the right one is not there.

    Raises EngineError("bad-list") where two columns may be the image or the label.
    """
    called = {name: re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names}
    for right, near in NEAR_NAMES.items():
        if right in called.values():
            continue
        found = [name for name, word in called.items() if word in near]
        if len(found) > 1 and right in ("image", "label"):
            raise EngineError(
                "bad-list",
                f"The columns {' and '.join(found)} of {path.name} may both be the {right}; call one of them {right}.",
            )
        if found:
            called[found[0]] = right
    return called


def _check_count(cases: int, path: Path) -> None:
    if cases > MOST_CASES:
        raise EngineError("bad-list", f"{path.name} lists {cases} cases; make lists of at most {MOST_CASES}.")


def _column_number(column: str) -> int:
    return int(re.sub(r"\D", "", column) or 1)


def _usual_name(image: str) -> str:
    """A case without a name is called as its image, or as the folder of a file called "image"."""
    path = Path(image.replace("\\", "/"))
    stem = stem_of(path)
    return path.parent.name if stem == "image" and path.parent.name else stem


def _decathlon(path: Path) -> list[FoundCase]:
    """{"training": [{"image": file or files, "label": file}], "validation" or "test": [...], "labels": {"1": name}}."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise EngineError("bad-list", f"{path.name} is no decathlon list; it needs a section training.")
    cases, class_names = [], names_with_ignored(data.get("labels"))
    for section, split in SECTIONS.items():
        entries = data.get(section) or []
        if not isinstance(entries, list):
            raise EngineError("bad-list", f"{section} in {path.name} must be a list of cases; mend it.")
        _check_count(len(entries), path)
        for entry in entries:
            fields = dict(entry) if isinstance(entry, dict) else {"image": entry}
            images = fields.pop("image", None)
            images = [images] if isinstance(images, str) else images
            if not isinstance(images, list) or not all(isinstance(i, str) for i in images) or not images:
                raise EngineError("bad-list", f"An entry under {section} in {path.name} has no image; add it.")
            name = str(fields.pop("name", "") or _usual_name(images[0]))
            files = {k: v for k, v in fields.items() if isinstance(v, str)}
            case = _case(name, images, path.parent, files, split)
            cases.append(replace(case, class_names=class_names))
    return cases
