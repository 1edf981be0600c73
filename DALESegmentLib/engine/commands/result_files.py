"""The files that commands write for a case: maps on its own grid, in the family of format its image has or in the one
that was asked for; with the regions, in DICOM, the report about them."""

from __future__ import annotations

import glob
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from .. import __version__
from ..bundle.lineage import weights_hash
from ..bundle.run_folder import find_bundle, run_of
from ..core.errors import EngineError
from ..core.files import remove, replacing
from ..dale.issues import Region
from ..geometry.grid import Geometry
from ..io import bids, dicom_objects, dicom_source
from ..io.case import SEGMENTATION, CaseSource, extension_of, stem_of
from ..io.case_files import output_extension
from ..io.dicom_objects import Provenance
from ..io.images import write_image
from ..io.segmentations import write_segmentation
from ..io.terminology import named_segments, write_visible
from ..review.decisions import Decision
from ..review.dicom_review import Key, region_names, review_objects
from .parameters import ModelParameters

Format = Literal["as-input", "nifti", "nrrd", "seg.nrrd", "dicom", "bids"]
EXTENSION: dict[Format, str] = {"nifti": ".nii.gz", "nrrd": ".nrrd", "seg.nrrd": ".nrrd"}


UNKNOWN = Provenance("unknown model", "unknown", __version__)


class FormatParameters(ModelParameters):
    """A model applied to cases, with a choice of how the results are written."""

    format: Format = Field("as-input", description="of what is written for a case")


class ConfidenceParameters(FormatParameters):
    """Labels are judged by a model, or by class probabilities that any program wrote for the cases."""

    model: Path | None = None  # type: ignore[assignment]
    probabilities: Path | None = Field(None, description="folder of class probabilities, in place of a model")

    def check_model(self) -> None:
        """Raises EngineError("no-model") unless one of the two is given."""
        if (self.model is None) == (self.probabilities is None):
            raise EngineError(
                "no-model", "Name a model by --model, or a folder of class probabilities by --probabilities, not both."
            )


@dataclass(frozen=True)
class ResultFiles:
    """Writes results below `out`. Array cases get `.npy` whatever the format is."""

    out: Path
    format: Format = "as-input"
    made: Provenance = UNKNOWN

    @staticmethod
    def of(asked: FormatParameters) -> ResultFiles:
        """For a command. Raises the errors of `find_bundle`."""
        made = UNKNOWN if asked.model is None else provenance(find_bundle(asked.model))
        return ResultFiles(asked.out, asked.format, UNKNOWN if asked.format == "as-input" else made)

    @property
    def has_conditions(self) -> bool:
        """Whether there are cases that cannot be written so."""
        return self.format in ("dicom", "bids")

    def check(self, sources: Sequence[CaseSource]) -> None:
        """Before the work: whether all cases can be written so. Raises EngineError("dicom-source" or "bids-names")."""
        if self.format == "dicom":
            for source in sources:
                if source.arrays is None:
                    dicom_source.check_source(source)
        if self.format == "bids":
            bids.check_names(sources)
            bids.write_description(self.out, __version__)

    def write(
        self,
        source: CaseSource,
        stem: str,
        array: np.ndarray,
        geometry: Geometry,
        names: Mapping[int, str] | None = None,
    ) -> str:
        """Write a label map, a float map or (C, *grid) as <out>/<case>/<stem>.<extension>; returns the path.

        names: {value: name} of a label map, {channel: name} of one channel a class; without it a map between 0 and 1.
        In DICOM, such a map becomes a parametric map, and <stem>_fractional.dcm beside it.
        """
        folder = self.out / source.name
        if source.arrays is not None or self.format == "as-input":
            return _as_input(source, folder, stem, array, geometry)
        if self.format == "bids":
            return str(bids.write_map(self.out, source, stem, array, geometry, names, self.made.words))
        check_free(source, folder, stem)
        if self.format == "dicom":
            return str(self._dicom(source, folder / f"{stem}.dcm", array, geometry, names))
        if self.format == "seg.nrrd" and names is not None and array.ndim == geometry.dims == 3:
            path = folder / f"{stem}{SEGMENTATION}"
            write_segmentation(path, named_segments(array, geometry, names))
            return str(path)
        path = folder / (stem + EXTENSION[self.format])
        write_image(path, array, geometry)
        return str(path)

    def _dicom(
        self, source: CaseSource, path: Path, array: np.ndarray, geometry: Geometry, names: Mapping[int, str] | None
    ) -> Path:
        images = dicom_source.source_images(source, geometry)
        if names is None:
            name = path.stem.replace("_", " ")
            segments = list(dicom_objects.class_segments({1: name}).values())
            share = dicom_objects.fractional(array[None], geometry, segments, images, self.made)
            dicom_objects.save(share, path.with_name(f"{path.stem}_fractional.dcm"))
            made = dicom_objects.parametric_map(array, geometry, name, images, self.made)
        elif array.ndim > geometry.dims:
            kept = [(channel, name) for channel, name in names.items() if channel]
            segments = [dicom_objects.class_segments({channel: name})[channel] for channel, name in kept]
            channels = array[[channel for channel, _ in kept]]
            made = dicom_objects.fractional(channels, geometry, segments, images, self.made)
        elif path.stem == "regions":
            found = dicom_objects.region_segments(names)
            made = dicom_objects.segmentation(array, geometry, found, images, self.made, "regions")
        else:
            found = dicom_objects.class_segments(names)
            made = dicom_objects.segmentation(array, geometry, found, images, self.made)
        dicom_objects.save(made, path)
        return path


def find_result(folder: Path, source: CaseSource, stem: str) -> Path | None:
    """The map <stem> of a case in a folder of results, in whatever format: <folder>/<case>/<stem>.* or as BIDS has it;
    None where it is not there. Raises EngineError("several-results") where it is there in several formats."""
    inside = folder / source.name
    found = [path for path in sorted(inside.iterdir()) if _is_result(path, stem)] if inside.is_dir() else []
    if source.images:
        shared = (bids.map_path(folder, source, stem, shares=shares) for shares in (False, True))
        found += [path for path in shared if path.is_file()]
    return the_only(found, source.name)


def the_only(found: Sequence[Path], case: str) -> Path | None:
    """The file itself. Raises EngineError("several-results") where there are several."""
    if len(found) > 1:
        raise EngineError(
            "several-results",
            f"Of {case} there are {found[0].name} and {found[1].name}, which may be of different times; "
            "move away what is not meant.",
        )
    return found[0] if found else None


def _is_result(path: Path, stem: str) -> bool:
    """Whether it is an image or array of that name, whatever its format."""
    if not path.is_file():
        return False
    return path.name == f"{stem}.npy" or (bool(extension_of(path)) and stem_of(path) == stem)


def find_named(folder: Path, name: str) -> Path | None:
    """<folder>/<name>.*, as other programs call the prediction of a case. Raises as `find_result` does."""
    found = [path for path in sorted(folder.glob(f"{glob.escape(name)}.*")) if _is_result(path, name)]
    return the_only(found, name)


def files_by_name(folder: Path) -> dict[str, list[Path]]:
    """What `find_named` finds one of, of all names at once: that reads a folder of many cases once and not once a
    case."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = path.stem if path.suffix == ".npy" else stem_of(path)
        if _is_result(path, name):
            found.setdefault(name, []).append(path)
    return found


def provenance(bundle: Path, reviewer: str = "") -> Provenance:
    """Of results of a model: its identity is the hash of its weights (BLAKE2b, 64 bits)."""
    return Provenance(run_of(bundle.resolve()).name, weights_hash(bundle), __version__, reviewer)


def write_map(source: CaseSource, out: Path, stem: str, array: np.ndarray, geometry: Geometry) -> str:
    """Write a label map, a float map or (C, *grid) as <out>/<case>/<stem>.<extension>; returns the path.

    Array cases get a .npy, everything else the family of format its image has.
    """
    return _as_input(source, out / source.name, stem, array, geometry)


def _as_input(source: CaseSource, folder: Path, stem: str, array: np.ndarray, geometry: Geometry) -> str:
    check_free(source, folder, stem)
    if source.arrays is not None:
        path = folder / f"{stem}.npy"
        with replacing(path) as temporary:
            np.save(temporary, array)
        return str(path)
    # a PNG holds two bytes a pixel at most, a TIFF whatever a float map or a label of larger values needs
    wide = array.dtype.kind == "f" or (array.size > 0 and array.max() > np.iinfo(np.uint16).max)
    path = folder / (stem + output_extension(source, floats=wide))
    write_image(path, array, geometry)
    if extension_of(path) == ".png":
        write_visible(path.with_name(f"{stem}_visible.png"), array)
    return str(path)


def check_free(source: CaseSource, folder: Path, stem: str) -> None:
    """Results may lie beside the data, but never take the place of what they were made from."""
    inputs = [p for p in (*source.images, source.label, source.trusted, source.reference) if p is not None]
    if source.arrays is not None:
        inputs = [source.arrays / f"{part}.npy" for part in ("image", "label", "trusted")]
    beside = [path for path in inputs if path.parent.resolve() == folder.resolve()]
    if any(stem_of(path).removesuffix(".npy").casefold() == stem for path in beside):  # one file on Windows and macOS
        raise EngineError(
            "would-overwrite",
            f"The {stem} of {source.name} would replace the one it is made from; choose another results folder.",
        )


REPORT = "report"


@dataclass(frozen=True)
class SparseMap:
    """A map of regions, of which few voxels are not 0: until the list is made, it is not known which are listed."""

    shape: tuple[int, ...]
    places: np.ndarray
    values: np.ndarray

    @staticmethod
    def of(region_map: np.ndarray) -> SparseMap:
        places = np.flatnonzero(region_map)
        return SparseMap(region_map.shape, places, region_map.reshape(-1)[places])

    def full(self, kept: Collection[int]) -> np.ndarray:
        """(*grid) of the regions with these IDs."""
        region_map = np.zeros(self.shape, self.values.dtype)
        region_map.reshape(-1)[self.places] = np.where(np.isin(self.values, list(kept)), self.values, 0)
        return region_map


def write_regions(
    files: ResultFiles,
    source: CaseSource,
    region_map: np.ndarray,
    geometry: Geometry,
    rows: Sequence[Region],
    decided: Mapping[Key, Decision] | None = None,
) -> dict[str, str]:
    """Write regions.* and, in DICOM, report.dcm, which refers to it. rows: of this case's list; decided: what stands of
    a region, by `region_key`. Returns the paths."""
    if files.format != "dicom" or source.arrays is not None:
        names = region_names(rows, region_map)
        return {"regions_map": files.write(source, "regions", region_map, geometry, names)}
    images = dicom_source.source_images(source, geometry)
    drawn, told = review_objects(rows, region_map, geometry, images, files.made, decided or {})
    regions, report = (files.out / source.name / f"{stem}.dcm" for stem in ("regions", REPORT))
    dicom_objects.save(drawn, regions)
    if told is None:
        remove(report)  # of an earlier list
        return {"regions_map": str(regions)}
    dicom_objects.save(told, report)
    return {"regions_map": str(regions), "report": str(report)}
