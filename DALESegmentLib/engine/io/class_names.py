"""What label values are called: from the `dataset.json` that lies with nnU-Net and decathlon data, from a table of
colours beside the label, or by segments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.files import replacing
from .case import SEGMENTATION, extension_of
from .checks import label_values
from .colour_tables import names_beside
from .dicom_kind import segments_in

DESCRIPTION = "dataset.json"
IGNORE = "ignore"
_LONGEST_HEADER = 1 << 20


def means_not_annotated(name: str) -> bool:
    """Whether a class or segment is called "ignore": nnU-Net's word for what is not annotated."""
    return name.casefold() == IGNORE


def read_json(path: Path) -> Any:
    """Raises EngineError("bad-json")."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise EngineError("bad-json", f"{path.name} is not a readable JSON file; mend it or remove it.") from error


def names_for(label: np.ndarray, label_path: Path) -> dict[int, str]:
    """{value: name} of every value in the label (not 0), "class <value>" where no name is known."""
    known = described_labels(label_path).names
    return {v: known.get(v, nameless(v)) for v in label_values(label) if v}


def nameless(value: int) -> str:
    """What a value is called where no name is known."""
    return f"class {value}"


def matching_values(
    own: Mapping[int, str], known: Mapping[int, str], present: Iterable[int], case_name: str
) -> dict[int, int]:
    """{value in the case: value that `known` gives to the same name}, for the values present in its label.

    own, known: {value: name}. A value without a name of its own keeps its value where the case names nothing at
    all; and a lone class that was never named takes a lone segment, whatever that is called.
    Raises EngineError("unknown-segment") for a name that is not known.
    """
    present = [v for v in present if v]
    if not _named(own):
        return {v: v for v in present}
    if len(known) == len(present) == 1 and not _named(known):
        return dict(zip(present, known, strict=True))
    values = {v: _value_of(v, own.get(v, nameless(v)), known) for v in present}
    for value, there in values.items():
        if there is None:
            raise EngineError(
                "unknown-segment",
                f"{case_name} has the segment {own.get(value, nameless(value))}, which is none of the classes "
                f"{', '.join(known.values())}; rename or remove it.",
            )
    return {value: there for value, there in values.items() if there is not None}


def _named(names: Mapping[int, str]) -> bool:
    return any(name != nameless(value) for value, name in names.items())


def _value_of(value: int, name: str, known: Mapping[int, str]) -> int | None:
    """The value of that name; where several have it, its own."""
    return value if known.get(value) == name else next((v for v, n in known.items() if n == name), None)


@dataclass(frozen=True)
class DescribedLabels:
    """What a dataset.json or a table says: {value: name}, and the values of "ignore"."""

    names: dict[int, str] = field(default_factory=dict)
    ignored: frozenset[int] = frozenset()


def described_labels(label_path: Path) -> DescribedLabels:
    """By the dataset.json of the label's folder or the folder above, else by a table there. Raises
    EngineError("bad-json")."""
    for folder in (label_path.parent, label_path.parent.parent):
        if (folder / DESCRIPTION).is_file():
            labels = _labels_in(folder / DESCRIPTION)
            return DescribedLabels(names_in(labels), ignored_in(labels))
    table = {str(value): name for value, name in names_beside(label_path).items()}
    return DescribedLabels(names_in(table), ignored_in(table))


def has_segments(path: Path) -> bool:
    """Whether the file names segments: Slicer's header in an NRRD, whatever its ending, or a DICOM segmentation or
    RTSTRUCT, be it alone in a folder."""
    extension = extension_of(path)
    if extension == SEGMENTATION:
        return True
    if extension in (".dcm", "") or path.is_dir():
        return segments_in(path) is not None
    if extension not in (".nrrd", ".nhdr") or not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.read(_LONGEST_HEADER).partition(b"\n\n")[0]
    return re.search(rb"^Segment0_(Name|ID|LabelValue):=", header, re.M) is not None


def names_in_folder(folder: Path | None) -> dict[int, str]:
    """{value: name} (not 0) of the folder's dataset.json; empty without one. Raises EngineError("bad-json")."""
    if folder is None or not (folder / DESCRIPTION).is_file():
        return {}
    return names_in(_labels_in(folder / DESCRIPTION))


def _labels_in(path: Path) -> Any:
    data = read_json(path)
    return data.get("labels") if isinstance(data, dict) else None


def write_names(folder: Path, names: Mapping[int, str]) -> None:
    """Let label maps in the folder keep their names. Somebody else's dataset.json there is left as it is.

    Raises EngineError("bad-json" or "cannot-write").
    """
    path = folder / DESCRIPTION
    if is_somebody_elses(path):
        return
    labels = {"0": "background", **{str(value): name for value, name in sorted(names.items())}}
    with replacing(path) as temporary:
        text = json.dumps({"labels": labels}, indent=1, ensure_ascii=False)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def is_somebody_elses(path: Path) -> bool:
    """Whether it is a dataset.json that says more than `write_names` does. Raises EngineError("bad-json")."""
    if path.name != DESCRIPTION or not path.is_file():
        return False
    data = read_json(path)
    return not isinstance(data, dict) or set(data) != {"labels"}


def names_in(labels: Any) -> dict[int, str]:
    """{value: name} from {"1": "tumour"}, {"tumour": 1} or regions, {"whole": [1, 2], "core": [2]}: a value that
    belongs to several regions is called after all of them. Without "background" and "ignore"."""
    regions: dict[int, list[str]] = {}
    for value, name in _pairs(labels):
        for part in value if isinstance(value, list) else [value]:
            regions.setdefault(part, []).append(name)
    names = {value: " + ".join(parts) for value, parts in sorted(regions.items())}
    return {value: name for value, name in names.items() if value and not means_not_annotated(name)}


def names_with_ignored(labels: Any) -> dict[int, str]:
    """As `names_in`, and the values called "ignore"."""
    return names_in(labels) | dict.fromkeys(sorted(ignored_in(labels)), IGNORE)


def ignored_in(labels: Any) -> frozenset[int]:
    """The values that are called "ignore"."""
    return frozenset(v for v, name in _pairs(labels) if isinstance(v, int) and means_not_annotated(name))


def _pairs(labels: Any) -> Iterator[tuple[int | list[int], str]]:
    for key, value in (labels if isinstance(labels, dict) else {}).items():
        numbers = value if isinstance(value, list) and value else [value]
        if all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            yield value, key
        elif isinstance(value, str) and re.fullmatch(r"-?\d+", key):
            yield int(key), value
        elif isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            yield int(value), key
