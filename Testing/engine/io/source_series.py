"""Series as a scanner writes them, complete enough for what is derived from them to be valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from DALESegmentLib.engine.geometry.grid import Geometry

OF_MODALITY = {
    "CT": (CTImageStorage, {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", "KVP": 120.0}),
    "MR": (
        MRImageStorage,
        {
            "ScanningSequence": "GR",
            "SequenceVariant": "NONE",
            "ScanOptions": "",
            "MRAcquisitionType": "3D",
            "EchoTime": 3.0,
            "EchoTrainLength": 1,
            "RepetitionTime": 9.0,
        },
    ),
}


def write_series(folder: Path, geometry: Geometry, voxels: np.ndarray, modality: str = "CT", **tags: object) -> None:
    """A file a slice, the names in another order than the slices. voxels: (k, j, i) whole numbers as stored; tags: by
    keyword, in place of what is written else, None for an attribute that is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    sop_class, own = OF_MODALITY[modality]
    study, series, frame, *names = (generate_uid() for _ in range(3 + len(voxels)))
    axes = np.array(geometry.direction).reshape(3, 3)
    order = np.random.default_rng(3).permutation(len(voxels))
    for k, pixels in enumerate(voxels):
        slice_ = Dataset()
        slice_.file_meta = FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.file_meta.MediaStorageSOPClassUID = sop_class
        slice_.file_meta.MediaStorageSOPInstanceUID = names[k]
        values = {
            "SpecificCharacterSet": "ISO_IR 100",
            "SOPClassUID": sop_class,
            "SOPInstanceUID": names[k],
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "StudyDate": "20260501",
            "StudyTime": "101500",
            "ContentDate": "20260501",
            "ContentTime": "101500",
            "AccessionNumber": "A17",
            "Modality": modality,
            "Manufacturer": "Maker of scanners",
            "ReferringPhysicianName": "",
            "StudyDescription": "Thorax",
            "SeriesDescription": "Lung",
            "PatientName": "Müller^Jürgen",
            "PatientID": "0815",
            "PatientBirthDate": "19500101",
            "PatientSex": "M",
            "PatientAge": "076Y",
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "StudyID": "1",
            "SeriesNumber": 4,
            "AcquisitionNumber": 1,
            "InstanceNumber": k + 1,
            "ImagePositionPatient": [
                f"{x:.6f}" for x in np.array(geometry.origin) + k * geometry.spacing[2] * axes[:, 2]
            ],
            "ImageOrientationPatient": [f"{x:.9f}" for x in (*axes[:, 0], *axes[:, 1])],
            "FrameOfReferenceUID": frame,
            "PositionReferenceIndicator": "",
            "PatientPosition": "HFS",
            "SliceThickness": geometry.spacing[2],
            "PixelSpacing": [geometry.spacing[1], geometry.spacing[0]],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            **own,
            **tags,
        }
        for keyword, value in values.items():
            if value is not None:
                setattr(slice_, keyword, value)
        slice_.PixelData = pixels.astype("<u2").tobytes()
        slice_.save_as(folder / f"{order[k]:03}.dcm", enforce_file_format=True)
