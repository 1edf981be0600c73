"""What label values mean is one thing for the whole set: decided over all files, said, and never by one file alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import load_array_case, names_in_case, save_array_case
from DALESegmentLib.engine.io.case import Case, CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.io.label_decision import LabelOptions
from DALESegmentLib.engine.io.label_facts import labels_of
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, segment_values, write_segmentation

SIZE = (40, 48)


def disc(radius: float, centre: tuple[int, int] = (20, 20)) -> np.ndarray:
    y, x = np.indices(SIZE)
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def save(path: Path, array: np.ndarray, **options: object) -> None:
    """An image that differs from case to case, and its mask, by ITK or Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".jpg"):
        Image.fromarray(array).save(path, **options)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def lay_masks(root: Path, *masks: np.ndarray, ending: str = ".png", **options: object) -> Path:
    for n, mask in enumerate(masks):
        image = np.random.default_rng(n).integers(0, 255, SIZE).astype(np.uint8)
        save(root / "images" / f"p{n}.png", image)
        save(root / "masks" / f"p{n}{ending}", mask, **options)
    return root


def read_all(root: Path, known: dict[int, str] | None = None, **options: object) -> tuple[list, tuple[str, ...]]:
    """All cases as they are read, and what is said."""
    sources = find_cases(root)
    encoding = labels_of(sources, LabelOptions(**options), known).encoding
    return [read_case(replace(source, encoding=encoding)) for source in sources], encoding.sentences


def values(cases) -> list[list[int]]:
    return [np.unique(case.label).tolist() for case in cases]


def grey(value: int, kind: type = np.uint8) -> np.ndarray:
    return (disc(9) * value).astype(kind)


def three(inner: int = 255, outer: int = 128) -> np.ndarray:
    return np.where(disc(5), inner, np.where(disc(10), outer, 0)).astype(np.uint8)


@pytest.mark.parametrize(
    ("masks", "found", "said"),
    [
        ([grey(255), grey(255)], [0, 1], "masks are 0 and 255: 255 is read as 1"),
        ([grey(65535, np.uint16)] * 2, [0, 1], "masks are 0 and 65535: 65535 is read as 1"),
        ([grey(1), grey(255), grey(1)], [0, 1], "all are read as 0 and 1"),
        ([grey(255), grey(65535, np.uint16)], [0, 1], "all are read as 0 and 1"),
        ([grey(255), grey(0)], [0, 1], "255 is read as 1"),
        ([grey(1), grey(1)], [0, 1], ""),
        ([grey(7), grey(7)], [0, 7], ""),
        ([three(2, 1), grey(2)], [0, 1, 2], ""),
    ],
)
def test_masks_of_two_values_and_small_classes(tmp_path, masks, found, said):
    cases, sentences = read_all(lay_masks(tmp_path, *masks))
    assert sorted({value for each in values(cases) for value in each}) == found
    assert (said in " ".join(sentences)) if said else not sentences
    assert all((case.label > 0).sum() == (mask > 0).sum() for case, mask in zip(cases, masks, strict=True))


@pytest.mark.parametrize("ending", [".png", ".tif", ".nrrd"])
def test_a_file_of_0_and_255_among_0_128_255_keeps_its_class(tmp_path, ending):
    cases, sentences = read_all(lay_masks(tmp_path, three(), grey(255), three(), ending=ending))
    assert values(cases) == [[0, 128, 255], [0, 255], [0, 128, 255]]
    assert "0, 128 and 255" in sentences[0]


def test_a_model_that_knows_the_class_255_reads_a_lone_file_as_its_training_did(tmp_path):
    root = lay_masks(tmp_path, grey(255))
    assert values(read_all(root, {128: "a", 255: "b"})[0]) == [[0, 255]]
    assert values(read_all(root, {1: "a"})[0]) == [[0, 1]]


@pytest.mark.parametrize("others", [(three(2, 1), grey(255)), (three(255, 1), grey(1)), (three(255, 128), grey(1))])
def test_255_beside_small_classes_is_a_question_with_both_answers(tmp_path, refused, others):
    root = lay_masks(tmp_path, *others)
    with refused("label-encoding", "--ignore-label 255", "--class-label 255", "p"):
        read_all(root)
    cases, sentences = read_all(root, ignore=(255,))
    assert all(255 not in found for found in values(cases))
    assert "255 means not annotated" in sentences[-1]
    for case, mask in zip(cases, others, strict=True):
        assert (case.annotated is None) == (255 not in mask)
        if case.annotated is not None:
            np.testing.assert_array_equal(case.annotated, mask != 255)
    assert any(255 in found for found in values(read_all(root, classes=(255, 1, 2, 128))[0]))


def test_minus_one_is_a_question_too(tmp_path, refused):
    mask = grey(1).astype(np.int16)
    mask[:4] = -1
    root = lay_masks(tmp_path, mask, ending=".nrrd")
    with refused("label-encoding", "--ignore-label=-1"):
        read_all(root)
    (case,), _ = read_all(root, ignore=(-1,))
    np.testing.assert_array_equal(case.annotated, mask != -1)
    assert values([case]) == [[0, 1]]


def soft(radius: float = 9) -> np.ndarray:
    """A disc with edges of grey, as drawing programs write it."""
    y, x = np.indices(SIZE)
    return (np.clip(radius + 0.5 - np.hypot(y - 20, x - 20), 0, 1) * 255).astype(np.uint8)


def test_edges_of_grey_are_cut_at_half_in_all_files(tmp_path):
    masks = [soft(9), soft(7), grey(255)]
    cases, sentences = read_all(lay_masks(tmp_path, *masks))
    assert values(cases) == [[0, 1]] * 3
    assert "edges of grey" in sentences[0]
    for case, mask in zip(cases, masks, strict=True):
        np.testing.assert_array_equal(case.label, mask > 127)


def test_labels_of_an_atlas_are_no_edges(tmp_path):
    """FreeSurfer numbers up to 85 and from 251 to 255."""
    numbers = np.array([0, 2, 3, 4, 10, 11, 17, 41, 42, 77, 85, 251, 252, 253, 254, 255])
    label = numbers[np.indices((8, *SIZE)).sum(0) // 3 % len(numbers)].astype(np.uint8)
    for n in range(2):
        save(tmp_path / f"c{n}" / "image.nrrd", np.random.default_rng(n).normal(size=label.shape).astype(np.float32))
        save(tmp_path / f"c{n}" / "label.nrrd", label)
    assert values(read_all(tmp_path)[0]) == [numbers.tolist()] * 2


def test_white_may_be_a_little_less_than_white(tmp_path):
    masks = [np.minimum(soft(r), 254) for r in (8, 11)]
    for case, mask in zip(read_all(lay_masks(tmp_path, *masks))[0], masks, strict=True):
        np.testing.assert_array_equal(case.label, mask > 127)


def test_grey_edges_between_several_classes_are_refused(tmp_path, refused):
    ramp = np.tile(np.linspace(0, 255, SIZE[1]).astype(np.uint8), (SIZE[0], 1))
    with refused("label-encoding", "p0.png", "neither"):
        read_all(lay_masks(tmp_path / "a", ramp, ramp))
    ring = (soft(12) // 2) + (soft(6) // 2)
    with refused("label-encoding", "png", "neither"):
        read_all(lay_masks(tmp_path / "b", ring, np.roll(ring, 3), soft(6)))


def test_jpeg_masks_are_cut_and_others_beside_them_alike(tmp_path, refused):
    root = lay_masks(tmp_path, grey(255), ending=".jpg", quality=90)
    save(root / "images" / "q.png", soft())
    save(root / "masks" / "q.png", grey(255))
    cases, sentences = read_all(root)
    assert values(cases) == [[0, 1]] * 2
    assert "above 127.5 is read as 1" in sentences[0]
    np.testing.assert_array_equal(cases[1].label, disc(9))
    save(root / "masks" / "q.png", grey(1))
    with refused("label-encoding", "q.png"):
        read_all(root)


def coloured(*discs: tuple[tuple[int, int, int], float]) -> np.ndarray:
    picture = np.zeros((*SIZE, 3), np.uint8)
    for colour, radius in discs:
        picture[disc(radius)] = colour
    return picture


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_colours_are_classes_of_the_whole_set(tmp_path, refused):
    root = lay_masks(tmp_path, coloured((RED, 10), (BLUE, 5)), coloured((RED, 8)), coloured())
    cases, sentences = read_all(root)
    names = {value: name for case in cases for value, name in case.class_names.items()}
    assert names == {1: "#0000ff", 2: "#ff0000"}
    assert values(cases) == [[0, 1, 2], [0, 2], [0]]
    assert "#ff0000 is 2" in sentences[0]
    (alone,), _ = read_all(lay_masks(tmp_path / "new", coloured((RED, 4))), names)
    assert values([alone]) == [[0, 2]]
    save(root / "masks" / "p2.png", grey(1))
    with refused("label-colours", "p2.png", "grey"):
        read_all(root)


def test_coloured_masks_with_soft_edges_or_without_black_are_refused(tmp_path, refused):
    ramp = np.stack([soft(), np.zeros_like(soft()), soft() // 2], -1)
    many = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    with refused("label-colours", "p0.png", "colours"):
        read_all(lay_masks(tmp_path / "a", many, ramp))
    with refused("label-colours", "p0.png", "edges"):
        read_all(lay_masks(tmp_path / "c", *[np.stack([soft(9), soft(5), np.zeros(SIZE, np.uint8)], -1)] * 2))
    white = np.full((*SIZE, 3), 255, np.uint8)
    white[disc(5)] = RED
    with refused("label-colours", "p0.png", "no black"):
        read_all(lay_masks(tmp_path / "b", white))


def numbered(objects: int, step: int = 6) -> np.ndarray:
    label = np.zeros((60, 60), np.uint16)
    places = [(y, x) for y in range(0, 54, step) for x in range(0, 54, step)][:objects]
    for number, (y, x) in enumerate(places, 1):
        label[y : y + 4, x : x + 4] = number
    return label


@pytest.mark.parametrize("counts", [(64, 64), (5, 9, 7), (30, 3)])
def test_numbered_objects_are_said_to_be_such(tmp_path, refused, counts):
    for n, count in enumerate(counts):
        save(tmp_path / "images" / f"p{n}.png", np.random.default_rng(n).integers(0, 255, (60, 60)).astype(np.uint8))
        save(tmp_path / "masks" / f"p{n}.png", numbered(count))
    with refused("label-instances", "numbered objects", "--instances-as-one", str(max(counts))):
        read_all(tmp_path)
    cases, sentences = read_all(tmp_path, instances_as_one=True)
    assert values(cases) == [[0, 1]] * len(counts)
    assert "one class" in sentences[0]
    names = {str(n): f"part {n}" for n in range(1, max(counts) + 1)}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
    assert len(values(read_all(tmp_path)[0])[0]) == counts[0] + 1


def test_classes_in_several_pieces_are_no_objects(tmp_path):
    label = numbered(64) % 9
    for n in range(3):
        save(tmp_path / "images" / f"p{n}.png", np.random.default_rng(n).integers(0, 255, (60, 60)).astype(np.uint8))
        save(tmp_path / "masks" / f"p{n}.png", label.astype(np.uint8))
    assert values(read_all(tmp_path)[0]) == [list(range(9))] * 3


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_labels_of_floats_are_classes_where_they_are_whole(tmp_path, refused, kind):
    root = lay_masks(tmp_path, (three(2, 1) * 1.00001).astype(kind), ending=".nrrd")
    assert values(read_all(root)[0]) == [[0, 1, 2]]
    root = lay_masks(tmp_path / "h", (grey(1) * 0.5).astype(kind), ending=".nrrd")
    with refused("label-not-whole", "p0.nrrd"):
        read_all(root)


def test_what_dataset_json_calls_a_class_is_one_and_ignore_is_not(tmp_path, refused):
    root = lay_masks(tmp_path, three(255, 1), three(2, 1))
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "ignore": 255}}))
    cases, _ = read_all(root)
    assert values(cases) == [[0, 1], [0, 1, 2]]
    np.testing.assert_array_equal(cases[0].annotated, three(255, 1) != 255)
    assert cases[1].annotated is None
    assert cases[1].class_names == {1: "a", 2: "b"}
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "a", "2": "b", "255": "c"}}))
    assert values(read_all(root)[0]) == [[0, 1, 255], [0, 1, 2]]
    (root / "dataset.json").write_text(json.dumps({"labels": {"a": 1, "b": 2}}))
    with refused("label-encoding", "255"):
        read_all(root)


def test_regions_of_nnunet_give_names(tmp_path):
    root = lay_masks(tmp_path, three(2, 1))
    regions = {"background": 0, "whole": [1, 2], "core": [2]}
    (root / "dataset.json").write_text(json.dumps({"labels": regions, "regions_class_order": [1, 2]}))
    assert read_all(root)[0][0].class_names == {1: "whole", 2: "whole + core"}


def volume(slices: list[int]) -> np.ndarray:
    label = np.zeros((24, *SIZE), np.uint8)
    label[slices] = disc(8)
    return label


def test_slices_without_a_label_are_not_annotated_where_that_is_said(tmp_path):
    for n, drawn in enumerate(([2, 7, 12, 17], [3, 9, 15])):
        image = np.random.default_rng(n).normal(size=(24, *SIZE)).astype(np.float32)
        for name, array in (("image", image), ("label", volume(drawn))):
            save(tmp_path / f"c{n}" / f"{name}.nrrd", array)
    looked = labels_of(find_cases(tmp_path), LabelOptions())
    assert "--sparse-labels" in looked.hint
    cases, sentences = read_all(tmp_path, sparse=True)
    assert np.flatnonzero(cases[0].annotated.all(axis=(1, 2))).tolist() == [2, 7, 12, 17]
    assert not cases[0].annotated[3].any()
    assert "7 slices" in sentences[-1]
    assert read_all(tmp_path)[0][0].annotated is None


def test_labels_without_gaps_are_not_taken_for_sparse_ones(tmp_path):
    for n in range(2):
        image = np.random.default_rng(n).normal(size=(24, *SIZE)).astype(np.float32)
        for name, array in (("image", image), ("label", volume([*range(4, 12), *range(15, 20)]))):
            save(tmp_path / f"c{n}" / f"{name}.nrrd", array)
    assert labels_of(find_cases(tmp_path), LabelOptions()).hint == ""


def test_a_mask_a_class_is_one_label_and_its_overlap_is_said(tmp_path):
    for n in range(2):
        image = np.random.default_rng(n).normal(size=(6, *SIZE)).astype(np.float32)
        save(tmp_path / f"s{n}" / "ct.nrrd", image)
        for name, radius in (("liver", 10), ("tumour", 4), *([("spleen", 0)] if n else [])):
            mask = np.broadcast_to(disc(radius) * (radius > 0), image.shape).astype(np.uint8) * (255 if n else 1)
            save(tmp_path / f"s{n}" / "segmentations" / f"{name}.nrrd", mask)
    sources = find_cases(tmp_path)
    names = {1: "liver", 2: "tumour", 3: "spleen"}
    for case in (read_case(source, names) for source in sources):
        np.testing.assert_array_equal(case.label[0], np.where(disc(4), 2, disc(10)))
        assert case.class_names.items() >= {1: "liver", 2: "tumour"}.items()
        assert f"{6 * disc(4).sum()} voxels" in case.notes[0].replace(",", "")


def partly_ignored() -> tuple[np.ndarray, np.ndarray, Geometry]:
    """The label, where it is annotated, and the grid."""
    label = volume([3, 4, 5])
    annotated = np.ones(label.shape, bool)
    annotated[4] = False
    geometry = Geometry(label.shape[::-1], (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    return np.where(annotated, label, 0), annotated, geometry


def test_an_array_case_keeps_what_is_not_annotated(tmp_path):
    label, annotated, geometry = partly_ignored()
    trusted = np.ones(label.shape, bool)
    case = Case("a", label[None].astype(np.float32), geometry, label, trusted, annotated=annotated)
    save_array_case(replace(case, class_names={1: "x"}), tmp_path)
    read = load_array_case(tmp_path, known_names={1: "other", 4: "x"})
    assert np.array_equal(read.annotated, annotated)
    assert np.array_equal(read.label, 4 * label)
    assert np.array_equal(read.trusted, annotated)
    assert read.class_names == {4: "x"}
    assert names_in_case(tmp_path) == {1: "x"}


def test_a_segment_called_ignore_is_not_annotated(tmp_path):
    label, annotated, geometry = partly_ignored()
    masks = [~annotated, label > 0]
    write_segmentation(
        tmp_path / "label.seg.nrrd", from_masks(masks, [Segment("i", "Ignore"), Segment("x", "x")], geometry)
    )
    write_image(tmp_path / "image.nrrd", label.astype(np.float32), geometry)
    assert segment_values([tmp_path / "label.seg.nrrd"]) == {1: "x"}
    for names, value in ((None, 2), ({1: "x"}, 1)):
        case = read_case(CaseSource("a", (tmp_path / "image.nrrd",), tmp_path / "label.seg.nrrd"), names)
        assert np.array_equal(case.annotated, annotated)
        assert np.array_equal(case.label, value * label)
        assert case.class_names == {value: "x"}


def test_a_list_may_call_a_value_ignore(tmp_path):
    label, annotated, geometry = partly_ignored()
    write_image(tmp_path / "image.nii.gz", label.astype(np.float32), geometry)
    write_image(tmp_path / "label.nii.gz", np.where(annotated, label, 3), geometry)
    entry = {"image": "image.nii.gz", "label": "label.nii.gz"}
    listed = {"labels": {"0": "background", "1": "x", "3": "ignore"}, "training": [entry]}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    found = find_cases(list=tmp_path / "list.json")
    case = read_case(replace(found[0], encoding=labels_of(found, LabelOptions()).encoding))
    assert np.array_equal(case.annotated, annotated)
    assert case.class_names == {1: "x"}


@pytest.mark.parametrize("code", ["label-encoding", "label-not-whole"])
def test_a_mask_of_one_class_has_one_value(tmp_path, refused, code):
    label, _, geometry = partly_ignored()
    write_image(tmp_path / "c" / "ct.nii.gz", label.astype(np.float32), geometry)
    mask = label + 2 * (label[:, ::-1] > 0) if code == "label-encoding" else label * np.float32(0.4)
    write_image(tmp_path / "c" / "segmentations" / "liver.nii.gz", mask, geometry)
    with refused(code, "liver.nii.gz"):
        read_case(find_cases(tmp_path)[0])


def test_images_alone_are_read_whatever_their_masks_hold(tmp_path):
    label, _, geometry = partly_ignored()
    write_image(tmp_path / "c" / "ct.nii.gz", label.astype(np.float32), geometry)
    write_image(tmp_path / "c" / "segmentations" / "liver.nii.gz", label * np.float32(0.4), geometry)
    assert read_case(find_cases(tmp_path)[0].without_label()).label is None


def test_values_of_another_numbering_are_those_of_their_names(tmp_path, refused):
    label, _, geometry = partly_ignored()
    drawn = np.where(label > 0, 1, 0)
    drawn[:, :20][label[:, :20] > 0] = 2
    write_image(tmp_path / "image.nii.gz", label.astype(np.float32), geometry)
    write_image(tmp_path / "label.nii.gz", drawn, geometry)
    source = CaseSource("a", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz")

    def read(names: dict[str, int], model: dict[int, str]) -> Case:
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, **names}}))
        return read_case(source, model)

    model = {1: "liver", 2: "tumour"}
    assert np.array_equal(read({"liver": 1, "tumour": 2}, model).label, drawn)
    other = read({"tumour": 1, "liver": 2}, model)
    assert np.array_equal(other.label, np.array([0, 2, 1])[drawn])
    assert other.class_names == model
    assert np.array_equal(read({"Leber": 1, "Tumor": 2}, model).label, drawn)  # names that say nothing
    with refused("unknown-segment", "cyst", "liver, tumour"):
        read({"cyst": 1, "liver": 2}, model)
