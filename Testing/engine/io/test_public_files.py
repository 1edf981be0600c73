"""Every file of the public suites that pip installs: read as its own library reads it, or refused by a true name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
import skimage
import tifffile
from PIL import Image

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.case import NIFTI, OTHER_VOLUMES, extension_of
from DALESegmentLib.engine.io.class_names import has_segments
from DALESegmentLib.engine.io.images import read_image
from DALESegmentLib.engine.io.segmentations import read_segmentation

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PYDICOM = Path(pydicom.data.__file__).parent
NIBABEL = Path(nibabel.__file__).parent
SUITES = {
    "pydicom": [PYDICOM],
    "nibabel": [NIBABEL / "tests" / "data", NIBABEL / "nicom" / "tests" / "data"],
    "scikit-image": [Path(skimage.__file__).parent / "data"],
}
NOT_DATA = (".py", ".pyi", ".pyc")
DAMAGED = {
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR_truncated.dcm",
    "no_meta.dcm",  # neither first bytes nor anything of an image
    "analyze.hdr",  # of a pair whose second file is not there
    "nifti1.hdr",
    "nifti2.hdr",
}


def files(suite: str) -> list[Path]:
    found = (path for root in SUITES[suite] for path in sorted(root.rglob("*")))
    return [path for path in found if path.is_file() and path.suffix not in NOT_DATA]


def by_pydicom(path: Path) -> np.ndarray:
    data = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in data.file_meta:
        data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    if path.name == "JPEG-lossy.dcm":  # 12 bits and a wrong marker, which GDCM alone decodes
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[None]
    pixels = data.pixel_array
    if data.PhotometricInterpretation == "PALETTE COLOR":
        pixels = pydicom.pixels.apply_color_lut(pixels, data)
    elif data.SamplesPerPixel == 1:
        pixels = pydicom.pixels.apply_modality_lut(pixels, data)
    return np.moveaxis(pixels, -1, 0)[:, None] if pixels.ndim == 3 else pixels[None, None]


def by_nibabel(path: Path) -> np.ndarray:
    image = nibabel.load(path)
    voxels = image.get_fdata()
    return voxels.T.reshape(-1, *voxels.T.shape[-3:])


def by_itk(path: Path) -> np.ndarray:
    """Pillow for JPEG, since decoders differ in how they spread colours, and for indexed colours."""
    with Image.open(path) as picture:
        if picture.format == "JPEG" or picture.mode == "P":
            return np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return np.moveaxis(pixels[..., :3], -1, 0) if pixels.ndim == 3 else pixels[None]


def by_tifffile(path: Path) -> np.ndarray:
    pixels = tifffile.imread(path)
    if pixels.ndim == 4:  # pages, colours
        return np.moveaxis(pixels, 1, 0)
    return np.moveaxis(pixels, -1, 0) if pixels.shape[-1] == 3 else pixels[None]


def reference(path: Path) -> np.ndarray:
    extension = extension_of(path)
    if extension in (".tif", ".tiff"):
        return by_tifffile(path)
    if extension in (".png", ".jpg", ".jpeg", ".bmp"):
        return by_itk(path)
    return by_nibabel(path) if extension in (*NIFTI, *OTHER_VOLUMES) else by_pydicom(path)


def outcome(path: Path) -> str:
    """ "read", "segments" or the code of the refusal; fails where the file is read otherwise than by its library."""
    try:
        if has_segments(path):
            return "segments" if read_segmentation(path).segments else "none"
        image, geometry = read_image(path)
    except EngineError as error:
        problem = error
    else:
        problem = None
    if problem is not None:
        assert problem.sentence.endswith("."), problem.sentence
        assert path.name in problem.sentence
        assert (problem.code == "unreadable-file") == (path.name in DAMAGED), problem.sentence
        return problem.code
    assert image.shape[1:] == geometry.array_shape
    wanted = np.asarray(reference(path), np.float32)
    assert image.shape == wanted.shape, path.name
    assert np.allclose(image, wanted, rtol=1e-6, atol=0), path.name
    return "read"


def outcomes(suite: str) -> Counter[str]:
    found = Counter(outcome(path) for path in files(suite))
    print(f"{suite}: {found}")
    return found


COUNTS = {  # of pydicom 3.0, nibabel 5.4 and scikit-image 0.26, with the decoders of pylibjpeg
    "pydicom": {
        "read": 90,
        "segments": 3,
        "dicom-no-pixels": 61,
        "not-an-image": 31,
        "unknown-format": 13,
        "dicom-spacing": 3,
        "dicom-cine": 1,
        "unreadable-file": 3,
    },
    "nibabel": {
        "read": 10,
        "dicom-mosaic": 5,
        "unknown-format": 76,
        "several-times": 2,
        "file-axes": 1,
        "image-not-finite": 1,
        "voxel-kind": 1,
        "unreadable-file": 3,
    },
    "scikit-image": {"read": 28, "unknown-format": 5},
}


@pytest.mark.parametrize("suite", SUITES)
def test_every_file(suite):
    pytest.importorskip("openjpeg")
    assert dict(outcomes(suite)) == COUNTS[suite]
