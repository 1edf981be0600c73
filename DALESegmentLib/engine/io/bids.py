"""Results as a BIDS derivative (Brain Imaging Data Structure 1.10, "Derivatives": segmentations).

    <out>/dataset_description.json
    <out>/sub-<label>/[ses-<label>/]<data type>/<entities>_desc-<what>_dseg.nii.gz, _dseg.tsv, _probseg.nii.gz, .json

Entities are those of the image's own name; an image that is not named so becomes a subject called as its case.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import EngineError
from ..core.files import read_json, replacing, write_json
from ..geometry.grid import Geometry
from .case import CaseSource, patient_of, stem_of
from .checks import label_values
from .class_names import nameless
from .images import write_image
from .terminology import class_colour

VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
NAME = "dalesegment"
DATA_TYPES = ("anat", "func", "dwi", "perf", "pet", "fmap", "micr")
WHAT = {"segmentation": NAME, "probabilities": NAME}
"""The `desc` of a map by its stem, where that is not the stem itself."""
IGNORED = ("/*", "!/sub-*", "!/dataset_description.json", "!/README.md")
"""Lines of .bidsignore: what our commands write beside the images of the subjects is not BIDS."""
README = "Segmentations, label confidence and doubtful regions, made by DALESegment.\n"


def is_bids(folder: Path) -> bool:
    """Whether it is a BIDS data set."""
    return (folder / DESCRIPTION).is_file()


def is_own_derivative(folder: Path) -> bool:
    """Whether it holds results that `write_map` wrote: no data to learn from. Raises EngineError("unreadable-file")."""
    if not is_bids(folder):
        return False
    made_by = read_json(folder / DESCRIPTION).get("GeneratedBy")
    return isinstance(made_by, list) and any(isinstance(m, dict) and m.get("Name") == "DALESegment" for m in made_by)


def data_set_of(image: Path) -> Path | None:
    """The BIDS data set that an image lies in."""
    return next((folder for folder in image.resolve().parents if is_bids(folder)), None)


def write_description(out: Path, version: str) -> None:
    """What makes the folder a derivative. Somebody else's description there is left as it is.

    Raises EngineError("cannot-write", "disk-full" or "unreadable-file").
    """
    path = out / DESCRIPTION
    if not path.is_file():
        known = {
            "Name": "DALESegment",
            "BIDSVersion": VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "DALESegment", "Version": version}],
        }
        write_json(path, known)
    for name, text in ((".bidsignore", "".join(f"{line}\n" for line in IGNORED)), ("README.md", README)):
        if not (out / name).exists():
            with replacing(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")


def write_map(
    out: Path,
    source: CaseSource,
    stem: str,
    array: np.ndarray,
    geometry: Geometry,
    names: Mapping[int, str] | None,
    description: str,
) -> Path:
    """A label map (*grid) with its table of classes, or a map between 0 and 1, (*grid) or one channel a class.

    names: {value: name} of a label map, {channel: name} of one channel a class, else None. description: how it was
    made, a few words. Returns the path of the map. Raises the errors of `write_image`.
    """
    shares = names is None or array.ndim > geometry.dims
    path = map_path(out, source, stem, shares=shares)
    base = path.name.removesuffix(f"_{_ending(shares)}")
    about: dict[str, Any] = {"Description": f"{stem.replace('_', ' ')}, {description}", "SpatialReference": "orig"}
    _name_source(out, source, about)
    if not shares:
        about["Manual"] = False
        _write_table(path.with_name(f"{base}_dseg.tsv"), names or {}, label_values(array))
    elif names is not None:
        about["LabelMap"] = [names.get(channel, f"class{channel}") for channel in range(len(array))]
    write_image(path, array, geometry)
    write_json(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), about)
    return path


def map_path(out: Path, source: CaseSource, stem: str, *, shares: bool) -> Path:
    """Where `write_map` writes. shares: of a map between 0 and 1, or one channel a class."""
    folder, entities = place_of(source)
    return out / folder / f"{entities}_desc-{WHAT.get(stem, _alphanumeric(stem))}_{_ending(shares)}"


def _ending(shares: bool) -> str:
    return "probseg.nii.gz" if shares else "dseg.nii.gz"


def check_names(sources: Iterable[CaseSource]) -> None:
    """Raises EngineError("bids-names") where two cases would be one."""
    taken: dict[tuple[Path, str], str] = {}
    for source in sources:
        other = taken.setdefault(place_of(source), source.name)
        if other != source.name:
            raise EngineError(
                "bids-names",
                f"{other} and {source.name} would have the same name in BIDS, whose labels hold letters and digits "
                "alone; rename one of them.",
            )


def place_of(source: CaseSource) -> tuple[Path, str]:
    """The folder below the data set and the entities of a case's results."""
    image = source.images[0]
    stem = stem_of(image)
    entities = [part for part in stem.split("_") if re.fullmatch(r"[a-zA-Z]+-[a-zA-Z0-9]+", part)]
    if not entities or not entities[0].startswith("sub-"):
        subject = f"sub-{_alphanumeric(patient_of(source).removeprefix('sub-')) or 'unnamed'}"
        case = _alphanumeric(source.name)
        own = subject if subject == f"sub-{case}" else f"{subject}_acq-{case}"
        return Path(subject, "anat"), own
    levels = [entity for entity in entities[:2] if entity.startswith(("sub-", "ses-"))]
    data_type = image.parent.name if image.parent.name in DATA_TYPES else "anat"
    return Path(*levels, data_type), "_".join(part for part in entities if not part.startswith("desc-"))


def _name_source(out: Path, source: CaseSource, about: dict[str, Any]) -> None:
    """Sources as BIDS URIs (`bids:raw:...`), and what `raw` is in the description of the derivative."""
    raw = data_set_of(source.images[0])
    if raw is None or raw == out.resolve():
        return
    described = read_json(out / DESCRIPTION)
    if "DatasetLinks" not in described:
        there = _relative(raw, out)
        about_raw = {"SourceDatasets": [{"URL": there}], "DatasetLinks": {"raw": there}}
        write_json(out / DESCRIPTION, {**described, **about_raw})
    about["Sources"] = [f"bids:raw:{image.resolve().relative_to(raw).as_posix()}" for image in source.images]


def _relative(raw: Path, out: Path) -> str:
    """The way from the derivative to the data set, which says nothing of the machine."""
    try:
        return Path(os.path.relpath(raw, out.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return raw.as_uri()


def _write_table(path: Path, names: Mapping[int, str], values: list[int]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    writer.writerow(("index", "name", "color"))
    known = {**{value: nameless(value) for value in values}, 0: "background", **names}
    for value, name in sorted(known.items()):
        writer.writerow(
            (value, " ".join(name.split()) or nameless(value), "#{:02x}{:02x}{:02x}".format(*class_colour(value)))
        )
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _alphanumeric(text: str) -> str:
    """What a BIDS label may hold."""
    return re.sub(r"[^a-zA-Z0-9]+", "", text)
