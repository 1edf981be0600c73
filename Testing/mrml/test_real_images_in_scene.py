"""The same on real images, read by SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.cases import caseFromNodes
from DALESegmentLib.mrml.heat_map import showConfidence
from DALESegmentLib.mrml.pictures import renderSlices, writePicture
from DALESegmentLib.mrml.segmentations import addSegmentation
from DALESegmentLib.mrml.volumes import addVolume

CASES = {
    "brain": ("pyradiomics_lesions/brain1", ["image.nii.gz"], "label.nii.gz"),
    "sarcoma": ("sts_sarcoma/STS_001", ["mr_t1.nii.gz"], "mr_t1_label.nii.gz"),
}


def geometry_of(image: sitk.Image) -> Geometry:
    return Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def read(folder, pattern) -> sitk.Image:
    found = sorted(folder.glob(pattern))
    if not found:
        pytest.skip(f"{folder.name} holds no {pattern}")
    return sitk.ReadImage(str(found[0]))


@pytest.mark.usefixtures("the_views")
@pytest.mark.parametrize("case", CASES)
def test_a_real_case_goes_through_the_scene_unchanged(a_scene, the_real_images, tmp_path, case):
    folder, images, label = CASES[case]
    folder = the_real_images / folder
    read_images = [read(folder, pattern) for pattern in images]
    geometry = geometry_of(read_images[0])
    arrays = [sitk.GetArrayFromImage(image).astype(np.float32) for image in read_images]
    mask = (sitk.GetArrayFromImage(read(folder, label)) > 0).astype(np.uint8)
    volumes = [addVolume(array, geometry, f"channel {i}") for i, array in enumerate(arrays)]
    node = addSegmentation(mask, geometry, {1: "lesion"}, volumes[0], "drawn")
    back = caseFromNodes(volumes, node)
    np.testing.assert_array_equal(back.image, np.stack(arrays))
    np.testing.assert_array_equal(back.label, mask)
    assert back.geometry.difference(geometry) is None

    smooth = sitk.GetArrayFromImage(sitk.DiscreteGaussian(sitk.GetImageFromArray(mask.astype(np.float32)), 4.0))
    heat = showConfidence(np.where(mask == 1, smooth, 1 - smooth), geometry, "confidence", mask)
    centre = geometry.index_to_ras(tuple(np.argwhere(mask).mean(axis=0)[::-1]))
    bare = renderSlices(volumes[0], node, ras=centre, size=200)
    warm = renderSlices(volumes[0], node, heat, ras=centre, size=200)
    assert 0.0005 < np.mean(np.any(bare != warm, axis=-1)) < 0.4
    picture = sitk.ReadImage(str(writePicture(tmp_path / "picture.png", warm)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(picture), warm)


def test_pet_on_its_own_grid_is_not_taken_for_a_channel_of_the_mr(a_scene, the_real_images):
    folder = the_real_images / "sts_sarcoma" / "STS_001"
    images = [read(folder, name) for name in ("mr_t1.nii.gz", "pet_suv_x500.nii.gz")]
    volumes = [
        addVolume(sitk.GetArrayFromImage(i), geometry_of(i), n) for i, n in zip(images, ("MR", "PET"), strict=True)
    ]
    with pytest.raises(EngineError, match="“PET” does not lie on the grid of “MR”"):
        caseFromNodes(volumes)
