"""Cases named in a CSV or a decathlon JSON."""

from __future__ import annotations

import json

import pytest
from folder_layouts import lay, names

from DALESegmentLib.engine.io.find_cases import find_cases


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(tmp_path, separator):
    lay(tmp_path, "x/a.nii.gz", "x/a2.nii.gz", "x/am.nii.gz", "b.nii.gz", "v.nii.gz")
    rows = ["name,image,image2,label,reference,split", "A,x/a.nii.gz,x/a2.nii.gz,x/am.nii.gz,v.nii.gz,train"]
    rows += [",b.nii.gz,,,,test", ",,,,,"]
    (tmp_path / "cases.csv").write_text("\ufeff" + "\r\n".join(rows).replace(",", separator), encoding="utf-8")
    a, b = find_cases(list=tmp_path / "cases.csv")
    assert (a.name, a.split, b.name, b.split) == ("A", "train", "b", "test")
    assert a.images == (tmp_path / "x/a.nii.gz", tmp_path / "x/a2.nii.gz")
    assert (a.label, a.reference) == (tmp_path / "x/am.nii.gz", tmp_path / "v.nii.gz")
    assert (b.images, b.label) == ((tmp_path / "b.nii.gz",), None)


def test_csv_with_a_single_column(tmp_path):
    lay(tmp_path, "a.nii.gz", "b c.nii.gz")
    (tmp_path / "cases.csv").write_text("image\na.nii.gz\nb c.nii.gz\n")
    assert names(find_cases(list=tmp_path / "cases.csv")) == ["a", "b c"]


@pytest.mark.parametrize("section", [5, "a.nii.gz", {"image": "a.nii.gz"}, [5], [None], [["a.nii.gz", 5]]])
def test_a_decathlon_section_that_is_no_list_of_cases(tmp_path, refused, section):
    (tmp_path / "d.json").write_text(json.dumps({"training": section}))
    with refused("bad-list", "training", "d.json"):
        find_cases(list=tmp_path / "d.json")


def test_a_folder_is_no_list(tmp_path, refused):
    lay(tmp_path / "cases.csv", "a/image.nii.gz")
    with refused("bad-list", "cases.csv is a folder"):
        find_cases(list=tmp_path / "cases.csv")


def test_csv_columns_take_the_options(tmp_path):
    lay(tmp_path, "i.png", "r1.png", "r2.png", "votes.png")
    (tmp_path / "c.csv").write_text("name,image,rater1,rater2,votes\nA,i.png,r1.png,r2.png,votes.png\n")
    (source,) = find_cases(list=tmp_path / "c.csv", label="rater*", reference="votes:2")
    assert source.label in (tmp_path / "r1.png", tmp_path / "r2.png")
    assert source.reference == tmp_path / "votes.png"


def test_decathlon_list(tmp_path):
    lay(tmp_path, *(f"d/{f}.nii.gz" for f in ("a", "am", "b1", "b2", "bm", "c")), "p7/image.nii.gz")
    entries = {
        "training": [{"image": "./d/a.nii.gz", "label": "./d/am.nii.gz"}, {"image": "p7/image.nii.gz"}],
        "validation": [{"image": ["d/b1.nii.gz", "d/b2.nii.gz"], "label": "d/bm.nii.gz", "fold": 0}],
        "test": ["d/c.nii.gz"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(entries))
    a, p7, b, c = find_cases(list=tmp_path / "dataset.json")
    assert [(s.name, s.split) for s in (a, p7, b, c)] == [
        ("a", "train"),
        ("p7", "train"),
        ("b1", "test"),
        ("c", "test"),
    ]
    assert b.images == (tmp_path / "d/b1.nii.gz", tmp_path / "d/b2.nii.gz")
    assert a.label == tmp_path / "d/am.nii.gz"


def test_a_decathlon_list_names_its_classes(tmp_path):
    lay(tmp_path, "a.nii.gz", "am.nii.gz", "b.nii.gz")
    entries = {"training": [{"image": "a.nii.gz", "label": "am.nii.gz"}], "test": ["b.nii.gz"]}
    for labels in ({"0": "background", "1": "ant", "2": "post"}, {"background": 0, "ant": 1, "post": 2}):
        (tmp_path / "d.json").write_text(json.dumps({"labels": labels} | entries))
        assert [s.class_names for s in find_cases(list=tmp_path / "d.json")] == [{1: "ant", 2: "post"}] * 2
    (tmp_path / "d.json").write_text(json.dumps(entries))
    assert find_cases(list=tmp_path / "d.json")[0].class_names == {}
