"""DICOM files of any kind that tests make: series of single slices, files of many frames, contours."""

from __future__ import annotations

from collections.abc import Sequence as Several
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

STORAGE = "1.2.840.10008.5.1.4.1.1."
CT, MR, PET, CAPTURE, SEG, STRUCTURES = (STORAGE + end for end in ("2", "4", "128", "7", "66.4", "481.3"))
ENHANCED_CT, ENHANCED_MR, ULTRASOUND, NUCLEAR = (STORAGE + end for end in ("2.1", "4.1", "3.1", "20"))
AXIAL = (1.0, 0, 0, 0, 1, 0)
SPACING, DISTANCE = (0.7, 0.9), 2.5  # rows, columns


def voxels(slices: int = 6, rows: int = 10, columns: int = 12, seed: int = 0, kind: Any = np.int16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (slices, rows, columns)).astype(kind)


def dataset(sop: str, modality: str = "CT", **tags: Any) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.PatientID, data.PatientName = modality, "x", "x"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    put(data, **tags)
    return data


def put(data: Dataset, **tags: Any) -> Dataset:
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def items(*several: dict[str, Any]) -> Sequence:
    return Sequence([put(Dataset(), **tags) for tags in several])


def with_pixels(data: Dataset, pixels: np.ndarray) -> Dataset:
    """pixels: (rows, columns), (frames, rows, columns) or with colours last."""
    colours = pixels.shape[-1] == 3 and pixels.ndim > 2
    data.Rows, data.Columns = pixels.shape[-3:-1] if colours else pixels.shape[-2:]
    data.SamplesPerPixel = 3 if colours else 1
    data.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    return data


def save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def slice_at(pixels: np.ndarray, z: float, sop: str = CT, modality: str = "CT", **tags: Any) -> Dataset:
    """One slice, z mm along the patient, or with a position of its own among the tags."""
    data = with_pixels(dataset(sop, modality), pixels)
    data.ImagePositionPatient, data.ImageOrientationPatient = [-10.0, 20.0, float(z)], list(AXIAL)
    data.PixelSpacing, data.SliceThickness = list(SPACING), DISTANCE
    if sop != CAPTURE:
        data.RescaleSlope, data.RescaleIntercept = "1", "0"
    return put(data, **tags)


def series(
    folder: Path, stack: np.ndarray, prefix: str = "I", tags: Several[dict[str, Any]] = (), **common: Any
) -> Path:
    """A file a slice, in an order of names that is not that of the slices. tags: for each slice."""
    for k, pixels in enumerate(stack):
        own = tags[k] if tags else {}
        data = slice_at(pixels, DISTANCE * k, InstanceNumber=k + 1)
        save(put(data, **common, **own), folder / f"{prefix}{(7 * k) % 97:03}.dcm")
    return folder


def multiframe(
    path: Path,
    stack: np.ndarray,
    zs: Several[float],
    sop: str = ENHANCED_MR,
    frames: Several[dict[str, Any]] = (),
    **tags: Any,
) -> Path:
    """An enhanced file. zs: mm of each frame; frames: for each more functional groups, as {sequence: items}."""
    data = with_pixels(dataset(sop, "MR", NumberOfFrames=len(stack), **tags), stack)
    shared = put(
        Dataset(),
        PixelMeasuresSequence=items({"PixelSpacing": list(SPACING), "SliceThickness": DISTANCE}),
        PlaneOrientationSequence=items({"ImageOrientationPatient": list(AXIAL)}),
    )
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for n, z in enumerate(zs):
        group = put(Dataset(), PlanePositionSequence=items({"ImagePositionPatient": [-10.0, 20.0, float(z)]}))
        groups.append(put(group, **(frames[n] if frames else {})))
    data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return save(data, path)


def segmentation(
    path: Path,
    planes: Several[tuple[int, float, np.ndarray]],
    names: Several[str],
    kind: str = "BINARY",
    most: int = 255,
) -> Path:
    """A SEG. planes: segment's number, mm along the patient and mask of each frame."""
    masks = np.stack([mask for _, _, mask in planes])
    numbered = [{"SegmentIdentificationSequence": items({"ReferencedSegmentNumber": n})} for n, _, _ in planes]
    pixels = masks if kind != "BINARY" else masks.astype(np.uint8)
    described = items(*({"SegmentNumber": n, "SegmentLabel": name} for n, name in enumerate(names, 1)))
    tags: dict[str, Any] = {"SegmentationType": kind, "SegmentSequence": described}
    if kind == "FRACTIONAL":
        tags["MaximumFractionalValue"] = most
    multiframe(path, pixels, [z for _, z, _ in planes], SEG, numbered if kind != "LABELMAP" else (), **tags)
    if kind == "BINARY":
        import pydicom

        data = pydicom.dcmread(path)
        data.BitsAllocated = data.BitsStored = 1
        data.HighBit = 0
        bits = np.packbits(masks.astype(bool).ravel(), bitorder="little").tobytes()
        data.PixelData = bits + b"\0" * (len(bits) % 2)
        data.save_as(path)
    return path


def structures(path: Path, contours: dict[str, Several[np.ndarray]], kind: str = "CLOSED_PLANAR") -> Path:
    """An RTSTRUCT. contours: for each structure (points, 3) LPS mm."""
    data = dataset(STRUCTURES, "RTSTRUCT")
    data.StructureSetROISequence = items(*({"ROINumber": n, "ROIName": name} for n, name in enumerate(contours, 1)))
    drawn = []
    for n, several in enumerate(contours.values(), 1):
        lines = items(
            *(
                {
                    "ContourGeometricType": kind,
                    "NumberOfContourPoints": len(points),
                    "ContourData": [f"{x:.6f}" for x in np.ravel(points)],
                }
                for points in several
            )
        )
        drawn.append({"ReferencedROINumber": n, "ROIDisplayColor": [255, 0, 0], "ContourSequence": lines})
    data.ROIContourSequence = items(*drawn)
    return save(data, path)
