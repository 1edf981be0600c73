"""Where results go: a folder a case, on the case's own grid, in a format that loses nothing of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..cases.atomic import replacing
from ..cases.case_files import output_extension
from ..cases.file_formats import stem_of
from ..cases.geometry import Geometry
from ..cases.image_files import write_image
from ..cases.source import CaseSource
from ..errors import EngineError


def write_map(source: CaseSource, out: Path, stem: str, array: np.ndarray, geometry: Geometry) -> str:
    """Write a label map, a float map or (C, *grid) as <out>/<case>/<stem>.<extension>; returns the path.

    Array cases get a .npy, everything else the family of format its image has.
    """
    folder = out / source.name
    _check_free(source, folder, stem)
    if source.arrays is not None:
        path = folder / f"{stem}.npy"
        with replacing(path) as temporary:
            np.save(temporary, array)
        return str(path)
    # a PNG holds two bytes a pixel at most, a TIFF whatever a float map or a label of larger values needs
    wide = array.dtype.kind == "f" or (array.size > 0 and array.max() > np.iinfo(np.uint16).max)
    path = folder / (stem + output_extension(source, floats=wide))
    write_image(path, array, geometry)
    return str(path)


def _check_free(source: CaseSource, folder: Path, stem: str) -> None:
    """Results may lie beside the data, but never take the place of what they were made from."""
    inputs = [p for p in (*source.images, source.label, source.trusted, source.reference) if p is not None]
    if source.arrays is not None:
        inputs = [source.arrays / f"{part}.npy" for part in ("image", "label", "trusted")]
    if any(stem_of(path).removesuffix(".npy") == stem and path.parent.resolve() == folder.resolve() for path in inputs):
        raise EngineError(
            "would-overwrite",
            f"The {stem} of {source.name} would replace the one it is made from; choose another results folder.",
        )
