"""Whole files of kinds that other programs write and that are easily misread."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
import tifffile
from PIL import Image

from .entry import Entry, a_label, an_image, good_pair, reading, write

PIXELS = an_image()[3]


def niftis(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good")
    voxels, mask = an_image().T, a_label().T
    affine = np.diag([-1.0, -1, 1, 1])

    def saved(name: str, array: np.ndarray, kind=nibabel.Nifti1Image, place=affine, change=None) -> Path:
        made = kind(array, place)
        if change is not None:
            change(made)
        nibabel.save(made, folder / name)
        return folder / name

    def sform(made) -> None:
        made.set_qform(None, 0)
        made.header["pixdim"][1:4] = 3

    def both(made) -> None:
        made.set_qform(np.diag([-1.0, -1, 1, 1]), 1)
        made.set_sform(np.diag([2.0, 2, 2, 1]), 2)

    def sheared(made) -> None:
        made.set_sform(affine + np.eye(4, k=1) * 0.3, 1)
        made.set_qform(None, 0)

    def film(made) -> None:
        made.header.set_xyzt_units("mm", "sec")
        made.header["pixdim"][4] = 2

    def nothing(made) -> None:
        made.header["pixdim"][2] = 0

    yield reading("NIfTI-2", saved("a.nii.gz", voxels, nibabel.Nifti2Image), label, "right")
    yield reading("NIfTI-2 label", image, saved("b.nii", mask, nibabel.Nifti2Image), "right")
    yield reading("NIfTI, spacing in the sform alone", saved("c.nii", voxels, change=sform), label, "right")
    yield reading("NIfTI, qform and sform differ", saved("d.nii", voxels, change=both), label, "right")
    yield reading("NIfTI, a sheared sform", saved("e.nii", voxels, change=sheared), label, "refused", "file-axes")
    times = np.stack([voxels] * 30, -1)
    yield reading("NIfTI, 30 times", saved("f.nii", times, change=film), label, "refused", "several-times")
    vectors = np.stack([voxels] * 3, -1)[..., None, :]
    yield reading("NIfTI, vectors", saved("g.nii", vectors), label, "right")
    odd = np.zeros((*voxels.shape, 2, 2), np.uint8)
    yield reading("NIfTI, six axes", saved("h.nii", odd), label, "refused", "several-times")
    none = saved("i.nii", voxels, place=None, change=nothing)
    yield reading("NIfTI, voxels of no size", none, label, "refused", "bad-geometry")
    yield reading("NIfTI, in metres", saved("j.nii", voxels, change=_metres), label, "right")
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask * 3.0, affine, header), folder / "k.nii.gz")
    yield reading("NIfTI label with a slope", image, folder / "k.nii.gz", "right")
    nibabel.save(nibabel.Nifti1Image(mask * 0.7 + 0.1, affine, header), folder / "l.nii.gz")
    yield reading("NIfTI label of fractions with a slope", image, folder / "l.nii.gz", "refused", "label-not-whole")
    yield reading("MGZ", saved("m.mgz", voxels.astype(np.int32), nibabel.MGHImage), label, "right")
    yield reading("Analyze", saved("n.hdr", voxels, nibabel.AnalyzeImage, None), label, "right")
    (folder / "n.img").unlink()
    yield reading("Analyze without its second file", folder / "n.hdr", label, "refused", "unreadable-file")


def _metres(made: nibabel.Nifti1Image) -> None:
    made.header.set_xyzt_units("meter")
    made.set_sform(np.diag([-0.001, -0.001, 0.001, 1]), 1)


def tiffs(folder: Path) -> Iterator[Entry]:
    flat = write(folder / "flat.png", a_label()[3])
    deep = write(folder / "deep.tif", a_label())
    path = folder / "bad.tif"

    def saved(array: np.ndarray, **options) -> Path:
        tifffile.imwrite(path, array, **options)
        return path

    for kind in ("f2", "f8", "i1", "u4", "i8", "u8"):
        yield reading(f"TIFF of {kind}", saved(PIXELS.astype(kind)), flat, "right")
        yield reading(
            f"TIFF label of {kind}", write(folder / "image.png", _grey()), saved(a_label()[3].astype(kind)), "right"
        )
    table = (np.arange(256)[::-1] * 257).astype(np.uint16)
    indexed = saved(a_label()[3], photometric="palette", colormap=np.stack([table] * 3))
    yield reading("TIFF label of indexed colours", folder / "image.png", indexed, "right")
    yield reading(
        "TIFF of indexed colours", saved(_grey(), photometric="palette", colormap=np.stack([table] * 3)), flat, "right"
    )
    for samples in (2, 4, 7):
        stack = np.stack([PIXELS.astype(np.uint16)] * samples, -1)
        extra = ["unspecified"] * (samples - 1)
        yield reading(
            f"TIFF of {samples} samples", saved(stack, photometric="minisblack", extrasamples=extra), flat, "right"
        )
    hyper = np.stack([an_image()] * 3, 1).astype(np.uint16)
    yield reading("ImageJ, channels and slices", saved(hyper, imagej=True, metadata={"axes": "ZCYX"}), deep, "right")
    ome = saved(hyper.swapaxes(0, 1), ome=True, metadata={"axes": "CZYX"})
    yield reading("OME, channels and slices", ome, deep, "right")
    times = saved(an_image().astype(np.uint16), imagej=True, metadata={"axes": "TYX"})
    yield reading("ImageJ, eight times", times, deep, "refused", "tiff-axes")
    yield reading("TIFF, pages along two axes", saved(hyper, photometric="minisblack"), deep, "refused", "tiff-axes")
    with tifffile.TiffWriter(path) as file:
        file.write(_grey(), subifds=1)
        file.write(_grey()[::2, ::2], subfiletype=1)
    yield reading("TIFF, a pyramid", path, flat, "right")
    with tifffile.TiffWriter(path) as file:
        file.write(_grey())
        file.write(_grey()[:, :20])
    yield reading("TIFF, pages of two sizes", path, flat, "refused", "tiff-pages")
    cmyk = saved(np.stack([_grey()] * 4, -1), photometric="separated")
    yield reading("TIFF in CMYK", cmyk, flat, "refused", "picture-colours")
    yield reading("TIFF of complex numbers", saved(PIXELS.astype(np.complex64)), flat, "refused", "voxel-kind")


def _grey() -> np.ndarray:
    return (PIXELS % 251).astype(np.uint8)


def pictures(folder: Path) -> Iterator[Entry]:
    flat = write(folder / "label.png", a_label()[3])
    grey = Image.fromarray(_grey())
    for turn, size in ((3, grey), (6, grey.transpose(Image.Transpose.ROTATE_90))):
        exif = Image.Exif()
        exif[0x0112] = turn
        size.save(folder / f"turn{turn}.jpg", exif=exif)
        yield reading(f"JPEG to be turned, {turn}", folder / f"turn{turn}.jpg", flat, "right")
    exif = Image.Exif()
    exif[0x0112] = 6
    grey.save(folder / "other.jpg", exif=exif)
    yield reading("JPEG to be turned, its mask is not", folder / "other.jpg", flat, "refused", "geometry-mismatch")
    for mode in ("P", "LA", "RGBA", "1", "I;16"):
        made = Image.fromarray(PIXELS.astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
        made.save(folder / "kind.png")
        yield reading(f"PNG, {mode}", folder / "kind.png", flat, "right")
    Image.fromarray(a_label()[3], "P").save(folder / "indexed.png")
    yield reading("PNG label of indexed colours", write(folder / "image.png", _grey()), folder / "indexed.png", "right")
    grey.save(folder / "a.bmp")
    yield reading("BMP", folder / "a.bmp", flat, "right")
    grey.convert("CMYK").save(folder / "cmyk.jpg")
    yield reading("JPEG in CMYK", folder / "cmyk.jpg", flat, "refused", "picture-colours")
    several = [Image.fromarray(_grey() + n) for n in range(3)]
    several[0].save(folder / "film.png", save_all=True, append_images=several[1:])
    yield reading("PNG, a film", folder / "film.png", flat, "refused", "picture-film")
    for name in ("a.gif", "a.webp", "a.svs", "a.HEAD", "a.PAR", "a.npy", "a.mrb", "a.pdf"):
        (folder / name).write_bytes(b"x" * 200)
        yield reading(f"a file {name}", folder / name, flat, "refused", "unknown-format")


def nrrds(folder: Path) -> Iterator[Entry]:
    _, label = good_pair(folder / "good", ".nrrd")
    place = "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    head = "NRRD0005\ntype: short\nspace: left-posterior-superior\nendian: little\n"
    whole = f"{head}dimension: 3\nsizes: 40 30 8\n{place}encoding: bzip2\n\n".encode()
    packed = bz2.compress(an_image().tobytes())
    for name, content, expected in (("", packed, "right"), (", cut short", packed[:-30], "refused")):
        path = folder / f"bzip2{len(name)}.nrrd"
        path.write_bytes(whole + content)
        yield reading(f"NRRD of bzip2{name}", path, label, expected)  # type: ignore[arg-type]
    both = np.stack([an_image()] * 2)
    for kind, expected, code in (("list", "right", ""), ("time", "refused", "several-times")):
        fields = f"dimension: 4\nsizes: 40 30 8 2\nkinds: domain domain domain {kind}\nencoding: raw\n"
        where = "space directions: (1,0,0) (0,1,0) (0,0,1) none\nspace origin: (0,0,0)\n\n"
        (folder / f"{kind}.nrrd").write_bytes(f"{head}{fields}{where}".encode() + both.tobytes())
        path = folder / f"{kind}.nrrd"
        yield reading(f"NRRD, a fourth axis of the kind {kind}", path, label, expected, *filter(None, [code]))  # type: ignore[arg-type]
    image = write(folder / "image.nrrd", an_image())
    for name, layers, segments in (
        ("a layer each", np.stack([a_label(), a_label()], -1), ("a", "b")),
        ("one segment", a_label(), ("a",)),
        ("more listed than there are", a_label(), ("a", "b", "c")),
    ):
        made = sitk.GetImageFromArray(layers, isVector=layers.ndim == 4)
        for n, segment in enumerate(segments):
            made.SetMetaData(f"Segment{n}_ID", f"S{n}")
            made.SetMetaData(f"Segment{n}_Name", segment)
        sitk.WriteImage(made, str(folder / "old.seg.nrrd"))
        yield reading(f"segmentation of Slicer 4.10, {name}", image, folder / "old.seg.nrrd", "right")
