"""A CT series of 512 slices against SimpleITK's reader, and `inspect` of a folder of 1,000 cases by a fresh engine
process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import read_image, write_image

from ..reliability.lines_engine import LinesEngine
from .rows import Given, Measured, Measurements
from .timing import middle, spread, taken_in_turns

SLICES, TURNS, GOAL = 512, 9, 1.3
CASES, MOST_SECONDS, MOST_GB = 1000, 30.0, 1.0
LONGEST = 600.0


def measure(given: Given) -> Measurements:
    with tempfile.TemporaryDirectory() as folder:
        return _series(given, Path(folder) / "ct") | _inspect(given, Path(folder) / "cases")


def _series(given: Given, folder: Path) -> Measurements:
    """The files are in the system's cache; both sides end with float32."""
    write_series(folder, 32 if given.quick else SLICES)
    if not np.array_equal(_ours(folder), _simpleitk(folder)):
        raise ValueError("the two readers do not agree")
    takes = [_timed(_ours, folder), _timed(_simpleitk, folder)]
    ours, theirs = taken_in_turns(takes, 2 if given.quick else TURNS)
    ratio = middle(ours) / middle(theirs)
    return {"series_time": Measured(ratio, ratio <= GOAL, f"ours {spread(ours)}; SimpleITK {spread(theirs)}")}


def _ours(folder: Path) -> np.ndarray:
    return read_image(folder)[0][0]


def _simpleitk(folder: Path) -> np.ndarray:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute()).astype(np.float32)


def _timed(read: Callable[[Path], np.ndarray], folder: Path) -> Callable[[], float]:
    def seconds() -> float:
        started = time.perf_counter()
        read(folder)
        return time.perf_counter() - started

    return seconds


def write_series(folder: Path, slices: int, size: int = 512) -> None:
    """Slices of noise, in the order of their names."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.Modality, image.PatientID = "CT", "1"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    image.ImageOrientationPatient, image.PixelSpacing, image.SliceThickness = [1, 0, 0, 0, 1, 0], [0.7, 0.7], 1
    image.Rows = image.Columns = size
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 1
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.RescaleSlope, image.RescaleIntercept = 1, 0
    for k in range(slices):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.InstanceNumber, image.ImagePositionPatient = k + 1, [0, 0, k]
        image.PixelData = random.integers(-1000, 1000, (size, size)).astype("<i2").tobytes()
        image.save_as(folder / f"{k:04}.dcm", enforce_file_format=True)


def _inspect(given: Given, folder: Path) -> Measurements:
    """Each a volume of 64x64x32 voxels and its label, in NIfTI."""
    random = np.random.default_rng(0)
    count = 20 if given.quick else CASES
    grid = Geometry((64, 64, 32), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    label = np.zeros(grid.array_shape, np.uint8)
    label[10:20, 20:30, 20:30] = 1
    for n in range(count):
        (folder / f"case{n:04}").mkdir(parents=True)
        voxels = random.normal(100, 10, grid.array_shape).astype(np.int16)
        write_image(folder / f"case{n:04}" / "image.nii.gz", voxels, grid)
        write_image(folder / f"case{n:04}" / "label.nii.gz", label, grid)
    with LinesEngine() as engine:
        started = time.perf_counter()
        found = engine.ask("inspect", {"cases": {"folder": str(folder)}}, LONGEST)
        seconds, peak = time.perf_counter() - started, engine.peak_bytes() / 1e9
    if len(found["cases"]) != count or found["problems"]:
        raise ValueError("inspect did not find the cases that were written")
    words = f"{count} cases of 64x64x32 voxels"
    return {
        "inspect_time": Measured(seconds, seconds <= MOST_SECONDS, f"{words}; at most {peak:.2f} GB"),
        "inspect_memory": Measured(peak, peak <= MOST_GB, f"{words}; in {seconds:.1f} s"),
    }
