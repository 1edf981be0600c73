"""The images of a demonstration: cases with a label as given and a reference, some to learn from, some held out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from DALESegmentLib.engine.geometry.distance import Box
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import write_image


@dataclass(frozen=True)
class DemoData:
    """What lies under `folder`: <case>/image, label and reference, split.json and dataset.json.

    train, test: names of cases, none in both. notes: plain sentences on where the images come from, what the
    labels are and what was done to them. given: what a label as given is called in a table. normalise: how
    brightness is made comparable, None for the usual way.
    """

    folder: Path
    extension: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    class_names: Mapping[int, str]
    given: str
    notes: tuple[str, ...]
    normalise: str | None = None

    def path(self, case: str, role: str) -> Path:
        """role: "image", "label" or "reference"."""
        return self.folder / case / (role + self.extension)

    def items(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """These cases as the engine wants them named one by one."""
        return [
            {
                "name": name,
                "images": [str(self.path(name, "image").absolute())],
                "label": str(self.path(name, "label").absolute()),
                "reference": str(self.path(name, "reference").absolute()),
            }
            for name in names
        ]

    def describe(self) -> None:
        """Write the split and the names of the classes, so that the folder is one the module can open as well."""
        split = {"train": list(self.train), "test": list(self.test)}
        labels = {name: value for value, name in self.class_names.items()}
        for name, value in (("split.json", split), ("dataset.json", {"labels": labels})):
            text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
            (self.folder / name).write_text(text, encoding="utf-8", newline="\n")


def extension_for(geometry: Geometry) -> str:
    """Volumes go to NIfTI; plain pictures to TIFF, which has no mm either, and holds any number of channels; images of
    two axes with a spacing to NRRD."""
    if geometry.dims == 3:
        return ".nii.gz"
    return ".tiff" if geometry.unit == "pixel" else ".nrrd"


def lay_out(
    folder: Path, name: str, image: np.ndarray, label: np.ndarray, reference: np.ndarray, geometry: Geometry
) -> None:
    """Write one case. image: (C, *grid); label, reference: (*grid) class values."""
    channels = image[0] if len(image) == 1 else image
    if (channels == np.rint(channels)).all():
        channels = channels.astype(np.int32)  # written as the smallest whole numbers that hold it
    for role, array in {"image": channels, "label": label, "reference": reference}.items():
        write_image(folder / name / (role + extension_for(geometry)), array, geometry)


def cut(geometry: Geometry, box: Box) -> Geometry:
    """The grid of a part of an array; box: slices along the array's axes (k, j, i)."""
    first = np.array([part.start for part in reversed(box)], float)
    size = tuple(int(part.stop - part.start) for part in reversed(box))
    axes = np.array(geometry.direction).reshape(geometry.dims, geometry.dims) * np.array(geometry.spacing)
    origin = tuple(float(x) for x in np.array(geometry.origin) + axes @ first)
    return Geometry(size, geometry.spacing, origin, geometry.direction, geometry.unit)
