"""Whole files whose voxels are of an odd type, are no image or no label, or do not belong together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .entry import SHAPE, Entry, a_label, an_image, good_pair, reading, write


def types(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good")
    random = np.random.default_rng(0)
    voxels, mask = an_image(), a_label()
    for kind in (np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
        for extension in ("nii.gz", "nrrd", "mha"):
            path = folder / f"image-{kind.__name__}.{extension}"
            yield reading(f"{extension} image of {kind.__name__}", write(path, voxels.astype(kind)), label, "right")
            path = folder / f"label-{kind.__name__}.{extension}"
            yield reading(f"{extension} label of {kind.__name__}", image, write(path, mask.astype(kind)), "right")
    colours = random.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    for extension in ("nii.gz", "nrrd", "mha"):
        rgb = write(folder / f"rgb.{extension}", colours, vector=True)
        yield reading(f"{extension}, RGB image", rgb, label, "right")
        yield reading(f"{extension}, RGB label", image, rgb, "refused", "label-channels")
        complex_file = folder / f"complex.{extension}"
        try:
            write(complex_file, voxels.astype(np.complex64))
        except RuntimeError:  # not every format has them
            continue
        # MetaImage stores them as pairs of numbers, which come back as two channels
        yield reading(f"{extension}, complex image", complex_file, label, "either" if extension == "mha" else "refused")
        yield reading(f"{extension}, complex label", image, complex_file)
    four = folder / "four.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(voxels + n) for n in range(5)]), str(four))
    yield reading("4D image, its fourth axis as channels", four, label, "right")
    yield reading("4D label", image, four, "refused", "label-channels")
    vector = write(folder / "vector.nrrd", random.random((*SHAPE, 7)).astype(np.float32), vector=True)
    yield reading("image of 7-vectors, as channels", vector, label, "right")
    yield reading("label of 7-vectors", image, vector, "refused", "label-channels")


def values(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good", ".nrrd")
    empty, full = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    nan, infinite = (an_image().astype(np.float32) for _ in range(2))
    nan[2, 2, 2], infinite[1, 1, 1] = np.nan, np.inf
    for name, array, expected, code in (
        ("constant", np.full(SHAPE, 7, np.int16), "refused", "image-constant"),
        ("zeros", empty, "refused", "image-constant"),
        ("one NaN", nan, "refused", "image-not-finite"),
        ("one infinity", infinite, "refused", "image-not-finite"),
        ("all NaN", np.full(SHAPE, np.nan, np.float32), "refused", "image-not-finite"),
        ("1e38", an_image().astype(np.float32) * 3e35, "right", ""),
        ("beyond float32", an_image().astype(np.float64) * 1e300, "refused", "image-not-finite"),
    ):
        for extension in ("nrrd", "nii.gz", "mha"):
            path = write(folder / f"values.{extension}", array)
            yield reading(f"{extension} image, {name}", path, label, expected, *filter(None, [code]))
    many = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 1001
    for name, array, expected, code in (
        ("empty", empty, "refused", ""),
        ("one class everywhere", full, "either", ""),
        ("a thousand classes", many.astype(np.int16), "refused", "label-many-values"),
        ("negative", a_label().astype(np.int16) - 5, "refused", "label-negative"),
        ("fractions", a_label() * np.float32(0.5), "refused", "label-not-whole"),
        ("NaN", np.where(a_label() > 0, np.nan, 0).astype(np.float32), "refused", ""),
        ("infinite", np.where(a_label() > 0, np.inf, 0).astype(np.float32), "refused", ""),
        ("one value of 2 billion", a_label().astype(np.int32) * 2_000_000_000, "refused", ""),
        ("one value of 2^40", a_label().astype(np.int64) * 2**40, "refused", ""),
        ("one value of 1e30", a_label() * np.float32(1e30), "refused", ""),
        ("one voxel", np.eye(1, 9600, 5000).reshape(SHAPE).astype(np.uint8), "right", ""),
    ):
        for extension in ("nrrd", "nii.gz"):
            path = write(folder / f"values.{extension}", array)
            yield reading(f"{extension} label, {name}", image, path, expected, *filter(None, [code]))


def places(folder: Path) -> Iterator[Entry]:
    """Image and label that lie on the same voxels, on others, or on the same in another order."""
    image, label = good_pair(folder / "good")
    mask = sitk.ReadImage(str(label))

    def changed(name: str, spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)) -> Path:
        copy = sitk.Image(mask)
        copy.SetSpacing(spacing)
        copy.SetOrigin(origin)
        copy.SetDirection(direction)
        path = folder / f"{name}.nii.gz"
        sitk.WriteImage(copy, str(path))
        return path

    for name, path in (
        ("far away", changed("far", origin=(500, 0, 0))),
        ("half a voxel off", changed("half", origin=(0.5, 0, 0))),
        ("other spacing", changed("spacing", spacing=(1, 1, 2))),
        ("turned by 5 degrees", changed("turned", direction=(0.9962, 0.0872, 0, -0.0872, 0.9962, 0, 0, 0, 1))),
        ("flipped in place", changed("mirrored", direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1))),
        ("of another size", write(folder / "size.nii.gz", a_label()[:, :, 1:])),
        ("of one slice", write(folder / "slice.nii.gz", a_label()[3])),
    ):
        yield reading(f"label {name}", image, path, "refused", "geometry-mismatch")
    for name, orientation in (("LPS", "LPS"), ("RAS", "RAS"), ("ASL", "ASL")):
        path = folder / f"{name}.nii.gz"
        sitk.WriteImage(sitk.DICOMOrient(mask, orientation), str(path))
        yield reading(f"the label stored as {name}", image, path, "right")
    yield reading("2D image, 3D label", write(folder / "flat.png", an_image()[3].astype(np.uint8)), label)
    yield reading("image of one voxel", write(folder / "voxel.nii.gz", an_image()[:1, :1, :1]), label)
