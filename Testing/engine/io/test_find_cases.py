"""Every layout of folders, and what is said where one is not understood."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from folder_layouts import lay, names

from DALESegmentLib.engine.io.find_cases import find_cases, find_each, held_out_for_test


def test_case_folders_with_split(tmp_path):
    lay(
        tmp_path,
        *(f"{c}/{f}.nii.gz" for c in "abc" for f in ("image", "label")),
        "README.txt",
        "logs/run.txt",
    )
    lay(tmp_path, "a/trusted.nii.gz", "a/confidence.nii.gz", "a/.hidden.nii.gz")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a", "b"], "test": ["c"], "note": "x"}))
    sources = find_cases(tmp_path)
    assert names(sources) == ["a", "b", "c"]
    assert [s.split for s in sources] == ["train", "train", "test"]
    a = sources[0]
    assert (a.images, a.label) == ((tmp_path / "a/image.nii.gz",), tmp_path / "a/label.nii.gz")
    assert (a.trusted, a.confidence) == (tmp_path / "a/trusted.nii.gz", tmp_path / "a/confidence.nii.gz")
    assert names(find_cases(tmp_path, split="test")) == ["c"]
    assert names(find_cases(tmp_path, split="learn")) == ["a", "b"]
    assert held_out_for_test(tmp_path) == 1
    assert sources[1].trusted is None


def test_one_case_alone(tmp_path):
    lay(tmp_path / "p1", "image.nrrd", "label.seg.nrrd", "screenshots/a.png")
    (source,) = find_cases(tmp_path / "p1")
    assert source.name == "p1"
    assert source.label == tmp_path / "p1/label.seg.nrrd"


def test_named_images_and_labels(tmp_path):
    lay(tmp_path, "p/flair.nii.gz", "p/t1.nii.gz", "p/label.nii.gz", "p/gold.nii.gz")
    (source,) = find_cases(tmp_path, image="flair, t1", label="gold", reference="label")
    assert [p.name for p in source.images] == ["flair.nii.gz", "t1.nii.gz"]
    assert source.label == tmp_path / "p/gold.nii.gz"
    assert source.reference == tmp_path / "p/label.nii.gz"
    assert find_cases(tmp_path, image=["t1", "flair"])[0].images[0].name == "t1.nii.gz"
    assert names(find_cases(tmp_path / "p", image=["t1"])) == ["p"]


def test_a_pair_is_found_by_its_names(tmp_path):
    lay(tmp_path, "p/mr.nii.gz", "p/mr_label.nii.gz", "p/pet.nii.gz", "p/pet_contour.nii.gz")
    (source,) = find_cases(tmp_path)
    assert source.images == (tmp_path / "p/mr.nii.gz",)
    assert source.label == tmp_path / "p/mr_label.nii.gz"


def test_the_only_image_is_found(tmp_path):
    lay(tmp_path, "p/ct.nrrd", "p/label.nrrd")
    assert find_cases(tmp_path)[0].images == (tmp_path / "p/ct.nrrd",)


def test_unclear_images_are_listed(tmp_path, refused):
    lay(tmp_path, "p/flair.nii.gz", "p/t1.nii.gz", "p/label.nii.gz")
    with refused("image-unclear", "flair, label, t1", "--image", "p "):
        find_cases(tmp_path)


def test_a_label_alone_is_no_case_yet(tmp_path, refused):
    lay(tmp_path, "p/label.nii.gz", "p/image.dat")
    with refused("no-image", "p holds label but no image"):
        find_cases(tmp_path)


def test_images_beside_masks(tmp_path):
    lay(tmp_path, "images/A_1.png", "images/A_1_2.png", "masks/A_1_r1.png", "masks/A_1_r2.png")
    lay(tmp_path, "masks/A_1_2_r1.png", "masks/A_1_2_r2.png", "masks/A_1_2.png", "trusted/A_1.png")
    first, second = find_cases(tmp_path, label="r1", reference="r2")
    assert (first.name, second.name) == ("A_1", "A_1_2")
    assert first.label == tmp_path / "masks/A_1_r1.png"
    assert first.reference == tmp_path / "masks/A_1_r2.png"
    assert first.trusted == tmp_path / "trusted/A_1.png"
    assert second.label == tmp_path / "masks/A_1_2_r1.png"
    assert find_cases(tmp_path)[1].label == tmp_path / "masks/A_1_2.png"
    assert find_cases(tmp_path)[0].label is None


def test_labels_folder_and_images_alone(tmp_path):
    lay(tmp_path / "one", "images/a.tif", "labels/a.tif")
    assert find_cases(tmp_path / "one")[0].label == tmp_path / "one/labels/a.tif"
    lay(tmp_path / "two", "images/a.tif")
    assert find_cases(tmp_path / "two")[0].label is None


RATERS = "rater1,rater2,rater3,rater4"


def raters(folder: Path, cases: int) -> Path:
    return lay(folder, *(f"c{n:02}/{f}.nii.gz" for n in range(cases) for f in ("image", "votes", *RATERS.split(","))))


def test_one_rater_is_drawn_for_each_case(tmp_path):
    raters(tmp_path, 40)
    drawn = {s.name: s.label.name for s in find_cases(tmp_path, label="rater*", reference="votes:2")}
    assert set(drawn.values()) == {f"rater{n}.nii.gz" for n in range(1, 5)}
    assert max(list(drawn.values()).count(v) for v in drawn.values()) < 20
    assert drawn == {s.name: s.label.name for s in find_cases(tmp_path, label=RATERS)}
    other = {s.name: s.label.name for s in find_cases(tmp_path, label=RATERS, rater_seed=1)}
    assert other != drawn


def test_the_draw_does_not_depend_on_other_cases(tmp_path):
    drawn = {s.name: s.label.name for s in find_cases(raters(tmp_path / "x", 12), label="rater*")}
    fewer = {s.name: s.label.name for s in find_cases(raters(tmp_path / "y", 5), label="rater*")}
    assert fewer == {name: drawn[name] for name in fewer}


def test_a_star_never_draws_image_or_reference(tmp_path):
    raters(tmp_path, 30)
    drawn = {s.label.name for s in find_cases(tmp_path, label="*", reference="votes")}
    assert drawn == {f"rater{n}.nii.gz" for n in range(1, 5)}


def test_threshold_of_the_reference(tmp_path, refused):
    raters(tmp_path, 1)
    (source,) = find_cases(tmp_path, label="rater1", reference="votes:2")
    assert source.reference == tmp_path / "c00/votes.nii.gz"
    assert source.reference_threshold == 2
    assert find_cases(tmp_path, reference="votes")[0].reference_threshold is None
    with refused("bad-reference", "votes:two"):
        find_cases(tmp_path, reference="votes:two")
    with refused("no-reference", "gold", "rater1"):
        find_cases(tmp_path, reference="gold")


def test_limit_draws_the_same_few(tmp_path):
    raters(tmp_path, 30)
    five = names(find_cases(tmp_path, limit=5))
    assert len(five) == 5
    assert five == sorted(five)
    assert five == names(find_cases(tmp_path, limit=5))
    assert five != names(find_cases(tmp_path, limit=5, rater_seed=3))
    assert five != [f"c{n:02}" for n in range(5)]
    assert set(five) < set(names(find_cases(tmp_path, limit=6)))
    assert len(find_cases(tmp_path, limit=99)) == 30


def test_nnunet(tmp_path, refused):
    lay(tmp_path, *(f"imagesTr/b_{n}_000{c}.nii.gz" for n in (1, 2) for c in (0, 1)))
    lay(
        tmp_path,
        "labelsTr/b_1.nii.gz",
        "labelsTr/b_2.nii.gz",
        "imagesTs/b_3_0000.nii.gz",
        "imagesTs/b_3_0001.nii.gz",
    )
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T2"}}))
    one, two, three = find_cases(tmp_path)
    assert [p.name for p in one.images] == ["b_1_0000.nii.gz", "b_1_0001.nii.gz"]
    assert two.label == tmp_path / "labelsTr/b_2.nii.gz"
    assert (three.split, three.label) == ("test", None)
    assert names(find_cases(tmp_path, split="train")) == ["b_1", "b_2"]
    (tmp_path / "imagesTr/b_2_0001.nii.gz").unlink()
    with refused("channel-count", "b_2", "1 of the 2"):
        find_cases(tmp_path)


def test_decathlon_folder_has_no_channel_numbers(tmp_path):
    lay(tmp_path, "imagesTr/hip_001.nii.gz", "labelsTr/hip_001.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}}))
    (source,) = find_cases(tmp_path)
    assert (source.name, source.label) == ("hip_001", tmp_path / "labelsTr/hip_001.nii.gz")


def test_items(tmp_path, refused):
    lay(tmp_path, "a.nii.gz", "b.nii.gz", "m.nii.gz", "arrays/case.json")
    item = {"name": "A", "images": [str(tmp_path / "a.nii.gz"), str(tmp_path / "b.nii.gz")], "label": None}
    a, b = find_cases(items=[item, {"name": "B", "arrays": str(tmp_path / "arrays")}])
    assert a.images == (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert a.label is None
    assert b.arrays == tmp_path / "arrays"
    with refused("duplicate-case", "A"):
        find_cases(items=[item, item])
    with refused("bad-item", "mask"):
        find_cases(items=[{**item, "mask": "x"}])
    with refused("bad-item"):
        find_cases(items=[{"images": ["x"]}])
    with refused("no-image", "A"):
        find_cases(items=[{"name": "A", "images": []}])
    with refused("no-cases"):
        find_cases(items=[])
    with refused("missing-file", "gone.nii.gz"):
        find_cases(items=[{**item, "label": str(tmp_path / "gone.nii.gz")}])


def test_a_missing_file_is_told_with_its_case(tmp_path, refused):
    """One word of a case's name may stand in the sentence by chance: a file `label.nii.gz`, a case `a`."""
    lay(tmp_path, "one.nii.gz", "two.nii.gz", "label.nii.gz")
    (tmp_path / "cases.csv").write_text(
        "name,image,label\nb,one.nii.gz,label.nii.gz\na,two.nii.gz,gone/label.nii.gz\nc,gone.nii.gz,\n"
    )
    with refused("missing-file", "a: label.nii.gz is not there"):
        find_cases(list=tmp_path / "cases.csv")
    b, a, c = find_each(list=tmp_path / "cases.csv")
    assert b.label == tmp_path / "label.nii.gz"
    assert (a.name, a.problem.code) == ("a", "missing-file")
    assert "gone.nii.gz" in c.problem.sentence


def test_a_case_that_is_not_understood_does_not_hide_the_others(tmp_path, refused):
    lay(tmp_path, "a/image.nii.gz", "p/flair.nii.gz", "p/t1.nii.gz", "p/label.nii.gz")
    (tmp_path / "split.json").write_text(json.dumps({"test": ["p"]}))
    a, p = find_each(tmp_path)
    assert a.images == (tmp_path / "a/image.nii.gz",)
    assert (p.name, p.split, p.problem.code) == ("p", "test", "image-unclear")
    with refused("bad-reference", "votes:two"):
        find_each(tmp_path, reference="votes:two")


def test_array_cases_in_a_folder(tmp_path):
    lay(tmp_path, "a/case.json", "a/image.npy", "b/case.json")
    assert [s.arrays for s in find_cases(tmp_path)] == [tmp_path / "a", tmp_path / "b"]
    assert find_cases(tmp_path / "a")[0].arrays == tmp_path / "a"


def test_dicom_folders(tmp_path):
    for case in "ab":
        lay(tmp_path, f"{case}/IM001")
        (tmp_path / case / "IM001").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "b" / "label.nrrd").touch()
    (tmp_path / "c" / "image").mkdir(parents=True)
    (tmp_path / "c" / "image" / "1.dcm").write_bytes(b"\0" * 128 + b"DICM")
    lay(tmp_path, "c/label.nii.gz")
    a, b, c = find_cases(tmp_path)
    assert a.images == (tmp_path / "a",)
    assert (b.images, b.label) == ((tmp_path / "b",), tmp_path / "b/label.nrrd")
    assert (c.images, c.label) == ((tmp_path / "c/image",), tmp_path / "c/label.nii.gz")
    assert find_cases(tmp_path / "a")[0].images == (tmp_path / "a",)


def test_what_is_not_there(tmp_path, refused):
    with refused("missing-folder", "gone"):
        find_cases(tmp_path / "gone")
    with refused("no-cases", "imagesTr", "masks"):
        find_cases(tmp_path)
    with refused("cases-unnamed"):
        find_cases()
    with refused("cases-unnamed"):
        find_cases(tmp_path, list=tmp_path)
    lay(tmp_path, "a/image.nii.gz")
    with refused("no-label", "gold", "a "):
        find_cases(tmp_path, label="gold")
    with refused("no-image", "flair"):
        find_cases(tmp_path, image=["flair"])
    with refused("no-cases", "train"):
        find_cases(tmp_path, split="train")
    with refused("missing-file", "no.csv"):
        find_cases(list=tmp_path / "no.csv")


def test_doubles_and_broken_lists(tmp_path, refused):
    lay(tmp_path / "x", "a/image.nii.gz", "a/image.nrrd")
    with refused("duplicate-file", "image.nii.gz", "image.nrrd"):
        find_cases(tmp_path / "x")
    lay(tmp_path, "i.png")
    (tmp_path / "c.csv").write_text("name,image\nA,i.png\nA,i.png\n")
    with refused("duplicate-case", "A"):
        find_cases(list=tmp_path / "c.csv")
    (tmp_path / "d.csv").write_text("i.png,m.png\nj.png,n.png\n")
    with refused("bad-list", "Line 2"):
        find_cases(list=tmp_path / "d.csv")
    (tmp_path / "e.csv").write_text("name,image,split\nA,i.png,dev\n")
    with refused("bad-list", "dev"):
        find_cases(list=tmp_path / "e.csv")
    (tmp_path / "f.csv").write_bytes(b"name;image\nM\xfcller;i.png\n")  # as a German Excel saves it
    assert [source.name for source in find_cases(list=tmp_path / "f.csv")] == ["Müller"]
    (tmp_path / "f.csv").write_bytes(b"name,image\n\x00\x01,i.png\n")
    with refused("bad-list", "f.csv"):
        find_cases(list=tmp_path / "f.csv")
    (tmp_path / "empty.csv").write_text("")
    with refused("no-cases", "empty.csv"):
        find_cases(list=tmp_path / "empty.csv")
    (tmp_path / "g.json").write_text("{")
    with refused("bad-json", "g.json"):
        find_cases(list=tmp_path / "g.json")
    (tmp_path / "h.json").write_text(json.dumps({"training": [{"label": "x"}]}))
    with refused("bad-list", "h.json"):
        find_cases(list=tmp_path / "h.json")
    lay(tmp_path / "s", "a/image.nii.gz")
    (tmp_path / "s/split.json").write_text(json.dumps({"train": ["a"], "test": ["a"]}))
    with refused("split-overlap", "a "):
        find_cases(tmp_path / "s")


def test_links_in_a_circle_and_deep_trees_do_no_harm(tmp_path):
    lay(tmp_path, "a/image.nii.gz", "deep/1/2/3/4/image.nii.gz")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    os.symlink(tmp_path, tmp_path / "loop")
    os.symlink(tmp_path / "nowhere", tmp_path / "broken")
    assert names(find_cases(tmp_path)) == ["a"]


@pytest.mark.parametrize(
    ("divided", "learned"),
    [
        ({}, ["a", "b", "c"]),
        ({"test": ["c"]}, ["a", "b"]),
        ({"train": ["a"]}, ["a"]),
        ({"train": ["a"], "test": ["c"]}, ["a"]),
    ],
)
def test_what_is_kept_for_tests_is_not_learned(tmp_path, divided, learned):
    for name in "abc":
        lay(tmp_path, f"{name}/image.png", f"{name}/label.png")
    (tmp_path / "split.json").write_text(json.dumps(divided))
    assert names(find_cases(tmp_path, split="learn")) == learned
    assert held_out_for_test(tmp_path) == 3 - len(learned)


def test_test_cases_alone_are_nothing_to_learn_from(tmp_path, refused):
    lay(tmp_path, "a/image.png", "a/label.png")
    (tmp_path / "split.json").write_text(json.dumps({"test": ["a"]}))
    with refused("no-cases", "train", "all"):
        find_cases(tmp_path, split="learn")


def test_excluded_cases_are_left_out_by_name_and_by_pattern(tmp_path, refused):
    lay(tmp_path, *(f"{case}/{file}.nii.gz" for case in ("scan_1", "scan_2", "other") for file in ("image", "label")))
    assert names(find_cases(tmp_path, exclude="scan_2")) == ["other", "scan_1"]
    assert names(find_cases(tmp_path, exclude=["scan_*"])) == ["other"]
    assert names(find_cases(tmp_path, exclude=" other , scan_1 ")) == ["scan_2"]
    with refused("unknown-case", "the nearest is scan_2"):
        find_cases(tmp_path, exclude="scan_22")
    with refused("no-cases"):
        find_cases(tmp_path, exclude="*")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["scan_1"], "test": ["scan_2", "other"]}))
    assert held_out_for_test(tmp_path, exclude="other") == 1


def test_an_excluded_case_may_be_broken(tmp_path):
    lay(tmp_path, "a/image.nii.gz", "a/label.nii.gz", "b/label.nii.gz")
    assert names(find_cases(tmp_path, exclude="b")) == ["a"]


def test_several_raters_give_a_case_each(tmp_path, refused):
    raters(tmp_path, 3)
    found = find_cases(tmp_path, rater="all")
    assert [s.name for s in found[:4]] == [f"{found[0].of_case}@rater{n}" for n in range(1, 5)]
    assert len(found) == 12
    assert all(s.label.name == f"{s.rater}.nii.gz" and s.patient == s.of_case for s in found)
    assert {s.rater for s in find_cases(tmp_path, rater="4,rater2")} == {"rater2", "rater4"}
    assert len(find_cases(tmp_path, rater="all", limit=2)) == 8
    with refused("no-label", "rater 9", "rater1"):
        find_cases(tmp_path, rater="rater1,9")
    with refused("raters-unclear", "--label"):
        find_cases(tmp_path, rater="all", label="rater1")
