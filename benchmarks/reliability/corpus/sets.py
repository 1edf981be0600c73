"""Data sets whose labels, names or layouts are odd: read right or refused by name, never wrong without a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .entry import Entry, Expected, a_label, an_image, planning, write

SIZE = (40, 48)
CASES = 3


def disc(radius: float) -> np.ndarray:
    y, x = np.indices(SIZE)
    return np.hypot(y - 20, x - 20) <= radius


def soft(radius: float) -> np.ndarray:
    """A disc whose edges are grey."""
    y, x = np.indices(SIZE)
    return (np.clip(radius + 0.5 - np.hypot(y - 20, x - 20), 0, 1) * 255).astype(np.uint8)


def grey(value: int, kind: type = np.uint8) -> np.ndarray:
    return (disc(9) * value).astype(kind)


def rings(inner: int, outer: int) -> np.ndarray:
    return np.where(disc(5), inner, np.where(disc(10), outer, 0)).astype(np.uint8)


def coloured(colour: tuple[int, int, int], ground: int = 0) -> np.ndarray:
    picture = np.full((*SIZE, 3), ground, np.uint8)
    picture[disc(8)] = colour
    return picture


def objects(count: int) -> np.ndarray:
    label = np.zeros((60, 60), np.uint16)
    places = [(y, x) for y in range(0, 54, 6) for x in range(0, 54, 6)][:count]
    for number, (y, x) in enumerate(places, 1):
        label[y : y + 4, x : x + 4] = number
    return label


def _picture(path: Path, array: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def pictures(root: Path, masks: list[np.ndarray], ending: str = ".png", labels: object = None) -> dict[str, object]:
    for n, mask in enumerate(masks):
        image = np.random.default_rng(n).integers(0, 255, mask.shape[:2]).astype(np.uint8)
        _picture(root / "images" / f"p{n}.png", image)
        _picture(root / "masks" / f"p{n}{ending}", mask)
    if labels is not None:
        (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return {"folder": str(root)}


Named = tuple[str, list[np.ndarray], dict[str, object], Expected, tuple[str, ...]]
ASK, LABELS = ("label-encoding",), "labels"


def encodings(folder: Path) -> Iterator[Entry]:
    """Masks that mean one thing over the whole set, or a question."""
    two = {"a": 1, "b": 2}
    kinds: list[Named] = [
        ("0 and 255", [grey(255)] * 3, {}, "right", ()),
        ("0 and 1, then 0 and 255", [grey(1), grey(255), grey(1)], {}, "right", ()),
        ("0 and 65535", [grey(65535, np.uint16)] * 2, {}, "right", ()),
        ("one and two bytes of white", [grey(255), grey(65535, np.uint16)], {}, "right", ()),
        ("0, 128, 255 and one without 128", [rings(255, 128), grey(255), rings(255, 128)], {}, "right", ()),
        ("edges of grey", [soft(9), soft(7), grey(255)], {}, "right", ()),
        ("edges of grey and 0 and 1", [soft(9), soft(7), grey(1)], {}, "refused", ASK),
        ("edges of grey between three levels", [soft(12) // 2 + soft(6) // 2] * 3, {}, "refused", ASK),
        ("a photograph", [np.tile(np.arange(48, dtype=np.uint8) * 5, (40, 1))] * 2, {}, "refused", ASK),
        ("255 beside 1 and 2", [rings(2, 1), rings(255, 1)], {}, "refused", ASK),
        ("255 beside 1 and 2, ignored", [rings(2, 1), rings(255, 1)], {"ignore_label": [255]}, "right", ()),
        ("255 beside 1 and 2, a class", [rings(2, 1), rings(255, 1)], {"class_label": [255]}, "right", ()),
        ("255 alone beside 1 and 2", [rings(2, 1), grey(255)], {}, "refused", ASK),
        ("1 beside 128 and 255", [rings(255, 128), grey(1)], {}, "refused", ASK),
        ("ignore in dataset.json", [rings(2, 1), rings(255, 1)], {LABELS: {**two, "ignore": 255}}, "right", ()),
        ("255 that dataset.json does not know", [rings(2, 1), rings(255, 1)], {LABELS: two}, "refused", ASK),
        ("255 as a class of dataset.json", [rings(2, 1), rings(255, 1)], {LABELS: {**two, "c": 255}}, "right", ()),
        ("regions in dataset.json", [rings(2, 1)] * 2, {LABELS: {"all": [1, 2], "core": [2]}}, "right", ()),
        ("labels of dataset.json that are a list", [rings(2, 1)] * 2, {LABELS: ["a", "b"]}, "right", ()),
        ("labels of dataset.json that are null", [rings(2, 1)] * 2, {LABELS: {"a": None, "b": {}}}, "right", ()),
        ("one colour", [coloured((255, 0, 0))] * 2, {}, "right", ()),
        ("two colours, one each", [coloured((255, 0, 0)), coloured((0, 0, 255))], {}, "right", ()),
        ("colours and grey", [coloured((255, 0, 0)), grey(1)], {}, "refused", ("label-colours",)),
        ("colours on white", [coloured((255, 0, 0), 255)] * 2, {}, "refused", ("label-colours",)),
        ("soft colours", [np.stack([soft(9), soft(5), soft(3) * 0], -1)] * 2, {}, "refused", ("label-colours",)),
        ("numbered objects", [objects(64)] * 2, {}, "refused", ("label-instances",)),
        ("numbered objects of other counts", [objects(5), objects(9), objects(7)], {}, "refused", ("label-instances",)),
        ("numbered objects as one", [objects(5), objects(64)], {"instances_as_one": True}, "right", ()),
        ("many named classes", [objects(40)] * 2, {LABELS: {f"n{i}": i for i in range(1, 41)}}, "right", ()),
        ("all empty", [grey(0)] * 3, {}, "refused", ("label-empty",)),
        ("one full", [grey(255), np.full(SIZE, 255, np.uint8)], {}, "right", ()),
    ]
    for number, (name, masks, options, expected, codes) in enumerate(kinds):
        cases = pictures(folder / str(number), masks, labels=options.pop(LABELS, None))
        yield planning(f"masks with {name}", {**cases, **options}, expected, *codes)
    yield planning("JPEG masks", pictures(folder / "jpeg", [grey(255)] * 2, ".jpg"), "right")
    yield planning("JPEG masks of three levels", pictures(folder / "jpeg3", [rings(255, 128)] * 2, ".jpg"))


def volumes(folder: Path) -> Iterator[Entry]:
    """The same of volumes, where values may be negative and fractions."""
    label = a_label().astype(np.int16)
    hidden, drawn = label.copy(), label.copy()
    hidden[0] = -1
    drawn[1::2] = 0
    kinds: list[tuple[str, np.ndarray, dict[str, object], Expected, tuple[str, ...]]] = [
        ("-1", hidden, {}, "refused", ASK),
        ("-1, ignored", hidden, {"ignore_label": [-1]}, "right", ()),
        ("-2", np.where(hidden < 0, -2, hidden), {}, "refused", ("label-negative",)),
        ("255", label * 255, {}, "right", ()),
        ("whole floats", label.astype(np.float32), {}, "right", ()),
        ("floats off by rounding", label * np.float32(1.00001), {}, "right", ()),
        ("halves", label * np.float32(0.5), {}, "refused", ("label-not-whole",)),
        ("few slices drawn", drawn, {"sparse_labels": True}, "right", ()),
        ("everything ignored", label, {"ignore_label": [0, 1]}, "refused", ("label-empty",)),
        ("a value ignored that nothing has", label, {"ignore_label": [9]}, "right", ()),
    ]
    for number, (name, array, options, expected, codes) in enumerate(kinds):
        root = folder / str(number)
        for n in range(2):
            write(root / f"c{n}" / "image.nrrd", an_image() + n)
            write(root / f"c{n}" / "label.nrrd", array)
        yield planning(f"volumes with {name}", {"folder": str(root), **options}, expected, *codes)


Lay = Callable[[Path, int], None]


def _both(image: str, label: str) -> Lay:
    """Names with {n} for the case."""

    def lay(root: Path, n: int) -> None:
        write(root / image.format(n=n), an_image() + n)
        write(root / label.format(n=n), a_label())

    return lay


def layouts(folder: Path) -> Iterator[Entry]:
    """Names of public data sets and of people's own."""
    pairs = {
        "names that end in four digits": ("imagesTr/amos_{n:04}.nii.gz", "labelsTr/amos_{n:04}.nii.gz"),
        "channels of nnU-Net": ("imagesTr/a{n}_0000.nii.gz", "labelsTr/a{n}.nii.gz"),
        "img and label": ("imagesTr/img{n:04}.nii.gz", "labelsTr/label{n:04}.nii.gz"),
        "folders img and label": ("img/img{n:04}.nii.gz", "label/label{n:04}.nii.gz"),
        "volume and segmentation in one folder": ("volume-{n}.nii", "segmentation-{n}.nii"),
        "masks with a suffix": ("images/p{n}.nrrd", "masks/p{n}_mask.nrrd"),
        "masks with a prefix": ("images/p{n}.nrrd", "masks/mask_p{n}.nrrd"),
        "other capitals": ("images/P{n}.nrrd", "masks/p{n}_GT.nrrd"),
        "KiTS": ("case_{n:05}/imaging.nii.gz", "case_{n:05}/segmentation.nii.gz"),
        "FLARE": ("images/F_{n:04}_0000.nii.gz", "labels/F_{n:04}.nii.gz"),
        "BIDS": ("sub-{n}/anat/sub-{n}_T1w.nii.gz", "derivatives/m/sub-{n}/anat/sub-{n}_label-lesion_mask.nii.gz"),
        "BIDS with sessions": (
            "sub-{n}/ses-1/anat/sub-{n}_ses-1_T1w.nii.gz",
            "derivatives/m/sub-{n}/ses-1/anat/sub-{n}_ses-1_dseg.nii.gz",
        ),
        "VerSe": ("rawdata/sub-v{n}/sub-v{n}_ct.nii.gz", "derivatives/sub-v{n}/sub-v{n}_seg-vert_msk.nii.gz"),
        "train and its parts": ("train/images/{n}.nrrd", "train/masks/{n}.nrrd"),
        "two folders of the same names": ("CT/{n}.nrrd", "Labels/{n}.nrrd"),
        "TotalSegmentator": ("s{n:04}/ct.nii.gz", "s{n:04}/segmentations/liver.nii.gz"),
        "a folder a file": ("I{n}/I{n}_Image/I{n}.nrrd", "I{n}/I{n}_lesion/I{n}_lesion.nrrd"),
        "a folder around it": ("data/set/imagesTr/a{n}_0000.nrrd", "data/set/labelsTr/a{n}.nrrd"),
        "image and mask": ("c{n}/image.nrrd", "c{n}/mask.nrrd"),
        "ct and seg": ("c{n}/ct.nrrd", "c{n}/seg.nrrd"),
        "a label called as its case": ("{n:04}/data.nrrd", "{n:04}/label{n:04}.nrrd"),
    }
    questions = {
        "one rater": ("images/x{n}.nrrd", "masks/x{n}_r1.nrrd"),
        "masks of other images": ("images/x{n}.nrrd", "masks/other{n}.nrrd"),
        "labels of raters": ("c{n}/image.nrrd", "c{n}/label_1.nrrd"),
    }
    for name, names in pairs.items():
        yield _laid(folder, name, _both(*names), "right")
    for name, names in questions.items():
        yield _laid(folder, name, _both(*names), "refused", "no-label")
    yield _laid(folder, "BraTS", _brats, "right")
    yield _laid(folder, "two modalities and a mask", _two, "refused", "image-unclear")
    yield _laid(folder, "two modalities that are named", _two, "right", image="T1,T2")
    yield _laid(folder, "a rater that is picked", _both("images/x{n}.nrrd", "masks/x{n}_r1.nrrd"), "right", rater="1")
    yield _laid(
        folder, "a rater nobody is", _both("images/x{n}.nrrd", "masks/x{n}_r1.nrrd"), "refused", "no-label", rater="7"
    )
    for head in ("image;Label", "Image,MASK", "img\tseg"):
        yield from _table(folder, head)


def _laid(folder: Path, name: str, lay: Lay, expected: Expected, *codes: str, **options: object) -> Entry:
    root = folder / name
    for n in range(1, CASES + 1):
        lay(root, n)
    return planning(
        f"a layout: {name}{', ' + str(options) if options else ''}", {"folder": str(root), **options}, expected, *codes
    )


def _brats(root: Path, n: int) -> None:
    for seed, end in enumerate(("t1", "t1ce", "t2", "flair")):
        write(root / f"B{n}" / f"B{n}_{end}.nii.gz", an_image() + seed)
    write(root / f"B{n}" / f"B{n}_seg.nii.gz", a_label())


def _two(root: Path, n: int) -> None:
    for name in ("T1", "T2"):
        write(root / f"c{n}" / f"{name}.nrrd", an_image() + n)
    write(root / f"c{n}" / "mask.nrrd", a_label())


def _table(folder: Path, head: str) -> Iterator[Entry]:
    root = folder / f"table {len(head)}"
    write(root / "x.nrrd", an_image())
    write(root / "y.nrrd", a_label())
    mark = next(mark for mark in ";,\t" if mark in head)
    (root / "list.csv").write_text(f"{head}\nx.nrrd{mark}y.nrrd\n")
    yield planning(f"columns {head!r}", {"list": str(root / "list.csv")}, "right")
