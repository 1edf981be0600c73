"""NRRD and segmentations of every kind that programs write: read right, or refused by their true name."""

from __future__ import annotations

import bz2

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from grids import grid

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.case_files import read_label_on
from DALESegmentLib.engine.io.images import read_image
from DALESegmentLib.engine.io.segmentations import read_segmentation

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.integers(0, 1000, (5, 6, 7)).astype(np.int16)  # k, j, i
LABEL = np.zeros(VOLUME.shape, np.uint8)
LABEL[1:4, 2:5, 2:6] = 1
LABEL[2, 3:5, 3:5] = 2


def nifti(path, array, affine=None, kind=nibabel.Nifti1Image, change=None):
    """array: k, j, i. affine None: no place."""
    image = kind(array.T, affine)
    if change is not None:
        change(image)
    nibabel.save(image, path)
    return path


NRRD = "NRRD0005\ntype: short\nspace: left-posterior-superior\nendian: little\n"
PLACE = "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (1,2,3)\n"


def test_nrrd_packed_by_bzip2(tmp_path, refused):
    header = f"{NRRD}dimension: 3\nsizes: 7 6 5\n{PLACE}encoding: bzip2\n\n".encode()
    (tmp_path / "a.nrrd").write_bytes(header + bz2.compress(VOLUME.tobytes()))
    image, geometry = read_image(tmp_path / "a.nrrd")
    assert np.array_equal(image[0], VOLUME)
    assert geometry.spacing == (1, 1, 2)
    (tmp_path / "a.nrrd").write_bytes(header + bz2.compress(VOLUME.tobytes())[:-20])
    with refused("unreadable-file", "a.nrrd"):
        read_image(tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").write_bytes(header + bz2.compress(bytes(10**6)))
    with refused("unreadable-file", "a.nrrd"):
        read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize("first", [True, False])
def test_lists_in_nrrd_are_channels_and_times_are_refused(tmp_path, refused, first):
    both = np.stack([VOLUME, VOLUME + 5])
    stored = np.ascontiguousarray(np.moveaxis(both, 0, -1)) if first else both
    for kind in ("list", "time"):
        kinds = [kind, *["domain"] * 3] if first else [*["domain"] * 3, kind]
        sizes = "2 7 6 5" if first else "7 6 5 2"
        where = "none (1,0,0) (0,1,0) (0,0,2)" if first else "(1,0,0) (0,1,0) (0,0,2) none"
        header = f"{NRRD}dimension: 4\nsizes: {sizes}\nkinds: {' '.join(kinds)}\nspace directions: {where}\n"
        path = tmp_path / f"{kind}.nrrd"
        path.write_bytes(f"{header}space origin: (1,2,3)\nencoding: raw\n\n".encode() + stored.tobytes())
    assert np.array_equal(read_image(tmp_path / "list.nrrd")[0], both)
    with refused("several-times", "time.nrrd"):
        read_image(tmp_path / "time.nrrd")


def test_complex_numbers_and_tensors(tmp_path, refused):
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME.astype(np.complex64)), str(tmp_path / "a.nrrd"))
    with refused("voxel-kind", "a.nrrd", "complex"):
        read_image(tmp_path / "a.nrrd")


def test_itk_says_nothing_on_its_own(tmp_path, capfd):
    def odd(image):
        image.set_sform(np.diag([0.8, 0.8, 5, 1]), 1)
        image.header["pixdim"][1:4] = 1

    nifti(tmp_path / "a.nii", VOLUME, np.eye(4), change=odd)
    read_image(tmp_path / "a.nii")
    (tmp_path / "b.mha").write_bytes(
        b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementSpacing = -1 1 1\nElementDataFile = LOCAL\n"
        + bytes(range(8))
    )
    read_image(tmp_path / "b.mha")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.HEAD", "AFNI"), ("a.PAR", "PAR/REC"), ("a.svs", "slide"), ("a.mrb", "Slicer scene"), ("a.npy", "array")],
)
def test_unsupported_kinds_are_called_by_their_names(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"x" * 500)
    with pytest.raises(EngineError, match=words) as caught:
        read_image(tmp_path / name)
    assert caught.value.code == "unknown-format"
    assert "damaged" not in caught.value.sentence


def old_segmentation(path, layers: np.ndarray, names, **entries: str) -> None:
    """As Slicer up to 4.10 wrote it: no layer, no value. layers: (k, j, i) or (k, j, i, L)."""
    image = sitk.GetImageFromArray(layers, isVector=layers.ndim == 4)
    for n, name in enumerate(names):
        for key, text in {"ID": f"S{n}", "Name": name, "Color": "1 0 0", **entries}.items():
            image.SetMetaData(f"Segment{n}_{key}", text)
    sitk.WriteImage(image, str(path), useCompression=True)


def test_old_segmentations_as_slicer_reads_them(tmp_path):
    masks = [LABEL == 1, LABEL > 0, LABEL < 0]
    old_segmentation(tmp_path / "a.seg.nrrd", np.stack(masks, -1).astype(np.uint8), ["liver", "tumour", "empty"])
    found = read_segmentation(tmp_path / "a.seg.nrrd")
    assert [int(found.mask(s).sum()) for s in found.segments] == [int(m.sum()) for m in masks]
    assert [s.name for s in found.segments] == ["liver", "tumour", "empty"]
    old_segmentation(tmp_path / "b.seg.nrrd", (LABEL > 0).astype(np.uint8), ["liver"])
    assert (
        read_segmentation(tmp_path / "b.seg.nrrd").mask(read_segmentation(tmp_path / "b.seg.nrrd").segments[0]).sum()
        > 0
    )
    old_segmentation(tmp_path / "c.seg.nrrd", LABEL, ["liver", "tumour"])
    found = read_segmentation(tmp_path / "c.seg.nrrd")
    assert np.array_equal(found.mask(found.segments[1]), LABEL == 2)


def test_the_header_tells_a_segmentation_not_the_ending(tmp_path):
    whole = grid((7, 6, 5))
    for name, order in (("a", ("liver", "tumour")), ("b", ("tumour", "liver"))):
        image = sitk.GetImageFromArray(
            np.choose(LABEL, [0, order.index("liver") + 1, order.index("tumour") + 1]).astype(np.uint8)
        )
        for n, segment in enumerate(order):
            for key, text in {"ID": f"S{n}", "Name": segment, "LabelValue": str(n + 1), "Layer": "0"}.items():
                image.SetMetaData(f"Segment{n}_{key}", text)
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
        label, names = read_label_on(tmp_path / f"{name}.nrrd", whole, "image", {1: "liver", 2: "tumour"})
        assert np.array_equal(label, LABEL)
        assert names == {1: "liver", 2: "tumour"}
