"""DICOM as scanners, archives and other programs leave it: read right, or refused by its true name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from .entry import SHAPE, Entry, a_label, an_image, good_pair, reading, write

STORAGE = "1.2.840.10008.5.1.4.1.1."
AXIAL = [1.0, 0, 0, 0, 1, 0]
Change = Callable[[int, Dataset], Any]
"""What is done to the slice of that number."""


def series(folder: Path) -> Iterator[Entry]:
    _, label = good_pair(folder / "good")

    def made(name: str, change: Change = lambda k, data: None, slices: int = SHAPE[0]) -> Path:
        for k in range(slices):
            data = _slice(k)
            change(k, data)
            _save(data, folder / name / f"{(5 * k) % 17:02}")
        return folder / name

    for name, change in _HARMLESS.items():
        yield reading(f"series, {name}", made(name, change), label, "right")
    for name, (change, code) in _MIXED.items():
        yield reading(f"series, {name}", made(name, change), label, "refused", code)
    yield reading("series, a tilted gantry", made("tilted", _tilted), _straight(folder / "straight.nii.gz"), "right")
    plain = made("plain")
    for name, content in (("LOCKFILE", b""), ("DICOMDIR", b"x" * 500), (".hidden", b"DICM"), ("A.json", b"{}")):
        (plain / name).write_bytes(content)
    yield reading("series, other files before and between", plain, label, "right")
    for path in sorted(plain.glob("[01]*")):
        shutil.copy(path, plain / f"copy of {path.name}")
    yield reading("series, every slice twice", plain, label, "right")
    for end, name in (("66.4", "SEG"), ("481.3", "RTSTRUCT"), ("481.2", "RTDOSE"), ("88.11", "SR"), ("11.1", "PR")):
        _save(_dataset(STORAGE + end), plain / f"0{name}")
    yield reading("series, SEG, RTSTRUCT, RTDOSE, SR and PR beside it", plain, label, "right")
    cut = sorted(plain.glob("[01]?"))[3]
    cut.write_bytes(cut.read_bytes()[:-700])
    (plain / f"copy of {cut.name}").unlink()
    yield reading("series, a slice cut short", plain, label, "refused", "unreadable-file")


def _put(**tags: Any) -> Change:
    """Functions are called with the slice's number."""

    def change(k: int, data: Dataset) -> None:
        for name, value in tags.items():
            setattr(data, name, value(k) if callable(value) else value)

    return change


def _compressed(k: int, data: Dataset) -> None:
    if k % 2:
        data.compress(RLELossless, generate_instance_uid=False)


_HARMLESS: dict[str, Change] = {
    "its slices shuffled": _put(),
    "a slope of its own in every slice": _put(RescaleSlope=lambda k: str(1 + k / 7)),
    "an intercept of its own in every slice": _put(RescaleIntercept=lambda k: str(-100 * k)),
    "some slices unsigned": _put(PixelRepresentation=lambda k: k % 2),
    "another time in every slice": _put(AcquisitionTime=lambda k: f"1015{k:02}", AcquisitionNumber=lambda k: k),
    "half of it compressed": _compressed,
    "no number of the slices": _put(InstanceNumber=None),
    "numbers of the slices that are all the same": _put(InstanceNumber=1),
    "a description in an unknown alphabet": _put(SpecificCharacterSet="ISO_IR 999"),
    "a thickness of nothing": _put(SliceThickness="0"),
    "a thickness that is wrong": _put(SliceThickness="77"),
}


def _two(**tags: tuple[Any, Any]) -> Change:
    """Two of each position."""

    def change(k: int, data: Dataset) -> None:
        data.ImagePositionPatient = [0.0, 0.0, float(k // 2)]
        for name, pair in tags.items():
            setattr(data, name, pair[k % 2])

    return change


def _type(kind: str) -> list[str]:
    return ["ORIGINAL", "PRIMARY", kind]


def _other_plane(k: int, data: Dataset) -> None:
    if k % 2:
        data.ImageOrientationPatient = [0.0, 1, 0, 0, 0, -1]


def _without_place(k: int, data: Dataset) -> None:
    del data.ImagePositionPatient


def _narrower(k: int, data: Dataset) -> None:
    if k % 2:
        data.Columns, data.PixelData = 20, data.PixelData[: 30 * 20 * 2]


def _tilted(k: int, data: Dataset) -> None:
    data.ImagePositionPatient = [0.0, k * 0.5, float(k)]


def _straight(path: Path) -> Path:
    """A label on the grid that holds all slices."""
    label = np.zeros((SHAPE[0], SHAPE[1] + 4, SHAPE[2]), np.uint8)
    label[2:5, 8:20, 10:30] = 1
    return write(path, label)


_MIXED: dict[str, tuple[Change, str]] = {
    "two echoes": (_two(EchoTime=("2.3", "4.6")), "dicom-spacing"),
    "two times": (_two(TemporalPositionIdentifier=(1, 2)), "dicom-spacing"),
    "two b-values": (_two(DiffusionBValue=(0.0, 1000.0)), "dicom-spacing"),
    "magnitude and phase": (
        _two(ImageType=(["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
        "dicom-spacing",
    ),
    "water and fat": (
        _two(ImageType=(["DERIVED", "PRIMARY", "WATER"], ["DERIVED", "PRIMARY", "FAT"])),
        "dicom-spacing",
    ),
    "two cardiac phases": (_two(TriggerTime=("0", "400")), "dicom-spacing"),
    "two series": (_put(SeriesInstanceUID=lambda k: f"1.2.3.{k % 2}"), "dicom-several"),
    "two patients": (_put(PatientID=lambda k: f"p{k % 2}"), "dicom-mixed"),
    "two planes": (_other_plane, "dicom-spacing"),
    "two sizes": (_narrower, "dicom-mixed"),
    "white shown as black in some": (
        _put(PhotometricInterpretation=lambda k: f"MONOCHROME{1 + k % 2}"),
        "dicom-mixed",
    ),
    "no positions": (_without_place, "dicom-spacing"),
    "a gap": (_put(ImagePositionPatient=lambda k: [0.0, 0.0, k + (k > 4)]), "dicom-spacing"),
    "slices shifted by more than they are apart": (
        _put(ImagePositionPatient=lambda k: [0.0, k * 1.3, float(k)]),
        "dicom-tilted",
    ),
}


def files(folder: Path) -> Iterator[Entry]:
    """Single files: many frames, films, and what is no image."""
    _, label = good_pair(folder / "good")
    voxels, zs = an_image(), np.arange(SHAPE[0], dtype=float)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    yield reading("frames, in order", _frames(folder / "a.dcm", voxels, zs), label, "right")
    yield reading("frames, shuffled", _frames(folder / "b.dcm", voxels[order], zs[order]), label, "right")
    yield reading("frames, from the top", _frames(folder / "c.dcm", voxels[::-1], zs[::-1]), label, "right")
    both = np.concatenate([voxels, voxels])
    yield reading("frames, all twice", _frames(folder / "d.dcm", both, [*zs, *zs]), label, "refused", "dicom-spacing")
    gap = _frames(folder / "e.dcm", voxels[[0, 1, 2, 4, 5, 6, 7]], zs[[0, 1, 2, 4, 5, 6, 7]])
    yield reading("frames, one missing", gap, label, "refused", "dicom-spacing")
    film = _frames(folder / "f.dcm", voxels, None, FrameTime="33", Modality="US")
    yield reading("a film", film, label, "refused", "dicom-cine")
    slide = _frames(folder / "g.dcm", voxels, None, TotalPixelMatrixColumns=400)
    yield reading("tiles of a slide", slide, label, "refused", "dicom-tiles")
    yield reading("frames without a place", _frames(folder / "h.dcm", voxels, None), label, "refused", "dicom-spacing")
    for end, name in (
        ("66.4", "SEG"),
        ("481.3", "RTSTRUCT"),
        ("481.2", "RTDOSE"),
        ("481.5", "RTPLAN"),
        ("88.11", "SR"),
    ):
        path = _save(_dataset(STORAGE + end), folder / f"{name}.dcm")
        yield reading(f"{name} as an image", path, label, "refused", "not-an-image")
    for name, syntax, code in (
        ("a film of MPEG", "1.2.840.10008.1.2.4.102", "dicom-video"),
        ("an unknown compression", "1.2.840.10008.1.2.4.94", "dicom-compression"),
    ):
        data = _slice(0)
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0"
        data["PixelData"].is_undefined_length = True
        yield reading(name, _save(data, folder / f"{syntax}.dcm"), label, "refused", code)
    data = _slice(0)
    del data.PixelData
    yield reading("no pixels", _save(data, folder / "none.dcm"), label, "refused", "dicom-no-pixels")


def labels(folder: Path) -> Iterator[Entry]:
    """Segmentations and contours as labels."""
    image, _ = good_pair(folder / "good")
    mask, zs = a_label(), np.arange(SHAPE[0], dtype=float)
    named = {"SegmentSequence": [{"SegmentNumber": 1, "SegmentLabel": "lesion"}], "SegmentationType": "BINARY"}
    for name, keep in (
        ("all frames", range(8)),
        ("frames that hold something", range(2, 5)),
        ("from the top", (4, 3, 2)),
    ):
        path = _frames(folder / f"{name}.dcm", mask[list(keep)], zs[list(keep)], STORAGE + "66.4", **named)
        yield reading(f"SEG, {name}", image, path, "right")
    path = _frames(folder / "half.dcm", mask, zs + 0.5, STORAGE + "66.4", **named)
    yield reading("SEG, between the slices", image, path, "right")
    path = _frames(folder / "far.dcm", mask, zs + 40.5, STORAGE + "66.4", **named)
    yield reading("SEG, between the slices of elsewhere", image, path, "refused", "segments-outside")
    path = _frames(folder / "none.dcm", mask, None, STORAGE + "66.4", **named)
    yield reading("SEG, without a place", image, path, "refused", "dicom-spacing")
    square = [(10, 10), (30, 10), (30, 20), (10, 20)]
    for name, depths, expected, code in (
        ("on the slices", (2, 3, 4), "right", ""),
        ("between the slices", (2, 3, 4.4), "refused", "contours-between-slices"),
        ("of other slices", (2.3, 3.8, 5.3), "right", ""),
        ("far away", (70, 71), "refused", "contours-outside"),
        ("none", (), "refused", ""),
    ):
        contours = [[float(x) for i, j in square for x in (i, j, k)] for k in depths]
        yield reading(
            f"RTSTRUCT, contours {name}",
            image,
            _structure(folder / f"{name}.dcm", contours),
            expected,  # type: ignore[arg-type]
            *filter(None, [code]),
        )
    yield reading("RTSTRUCT, without structures", image, _save(_dataset(STORAGE + "481.3"), folder / "empty.dcm"))
    yield reading(
        "an SR as a label", image, _save(_dataset(STORAGE + "88.11"), folder / "sr.dcm"), "refused", "not-an-image"
    )


def _dataset(sop: str, **tags: Any) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.SeriesInstanceUID, data.PatientID, data.Modality = "1.2.3.4", "x", "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for name, value in tags.items():
        setattr(data, name, _items(*value) if isinstance(value, list) and isinstance(value[0], dict) else value)
    return data


def _items(*several: dict[str, Any]) -> Sequence:
    found = []
    for tags in several:
        data = Dataset()
        for name, value in tags.items():
            setattr(data, name, value)
        found.append(data)
    return Sequence(found)


def _with_pixels(data: Dataset, pixels: np.ndarray) -> Dataset:
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    return data


def _slice(k: int) -> Dataset:
    data = _with_pixels(_dataset(STORAGE + "2"), an_image()[k])
    data.ImagePositionPatient, data.ImageOrientationPatient = [0.0, 0.0, float(k)], AXIAL
    data.PixelSpacing, data.SliceThickness, data.InstanceNumber = [1, 1], "1", k + 1
    data.RescaleSlope, data.RescaleIntercept = "1", "0"
    return data


def _frames(path: Path, stack: np.ndarray, zs: Any, sop: str = STORAGE + "4.1", **tags: Any) -> Path:
    data = _with_pixels(_dataset(sop, **tags), stack)
    data.NumberOfFrames = len(stack)
    if zs is not None:
        plane = _items({"ImageOrientationPatient": AXIAL})
        measures = _items({"PixelSpacing": [1, 1], "SliceThickness": "1"})
        data.SharedFunctionalGroupsSequence = _items(
            {"PixelMeasuresSequence": measures, "PlaneOrientationSequence": plane}
        )
        number = _items({"ReferencedSegmentNumber": 1})
        data.PerFrameFunctionalGroupsSequence = _items(
            *(
                {
                    "PlanePositionSequence": _items({"ImagePositionPatient": [0.0, 0.0, float(z)]}),
                    **({"SegmentIdentificationSequence": number} if "SegmentSequence" in tags else {}),
                }
                for z in zs
            )
        )
    return _save(data, path)


def _structure(path: Path, contours: list[list[float]]) -> Path:
    lines = _items(*({"ContourGeometricType": "CLOSED_PLANAR", "ContourData": points} for points in contours))
    data = _dataset(STORAGE + "481.3")
    data.StructureSetROISequence = _items({"ROINumber": 1, "ROIName": "lesion"})
    data.ROIContourSequence = _items({"ReferencedROINumber": 1, "ContourSequence": lines})
    return _save(data, path)


def _save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
