"""Array cases: what goes in comes out, mapped, and nothing half-written or foreign is taken."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from grids import blob, grid, noise

from DALESegmentLib.engine.io.array_cases import load_array_case, save_array_case
from DALESegmentLib.engine.io.case import Case, CaseSource
from DALESegmentLib.engine.io.case_files import read_case

GEOMETRY = grid((7, 6, 5), (0.3, 0.4, 2.0), (1.1, 2.2, 3.3))


@pytest.fixture
def case() -> Case:
    label = blob(GEOMETRY, 2)
    sure = np.random.default_rng(0).random(label.shape).astype(np.float32)
    return Case("p 1", noise(GEOMETRY, 2), GEOMETRY, label, label == 1, sure, {1: "liver", 2: "Läsion"})


def test_round_trip(case, tmp_path):
    save_array_case(case, tmp_path / "x")
    back = load_array_case(tmp_path / "x")
    assert (back.name, back.geometry, back.class_names) == (case.name, case.geometry, case.class_names)
    for part in ("image", "label", "trusted", "confidence"):
        assert np.array_equal(getattr(back, part), getattr(case, part)), part
        assert isinstance(getattr(back, part), np.memmap)
    assert back.image.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        back.label[0, 0, 0] = 1
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [
        "case.json",
        "confidence.npy",
        "image.npy",
        "label.npy",
        "trusted.npy",
    ]


def test_parts_that_are_gone_leave_no_file(case, tmp_path):
    save_array_case(case, tmp_path)
    save_array_case(Case("q", case.image, GEOMETRY), tmp_path)
    back = load_array_case(tmp_path)
    assert (back.name, back.label, back.trusted, back.confidence) == ("q", None, None, None)


def test_types_are_made_fit(case, tmp_path):
    case = replace(case, image=case.image.astype(np.float64), label=(case.label > 0).astype(float))
    save_array_case(case, tmp_path)
    back = load_array_case(tmp_path)
    assert (back.image.dtype, back.label.dtype.kind) == (np.float32, "i")


def test_large_values_are_kept_in_a_type_that_holds_them(case, tmp_path):
    label = np.where(case.label > 0, 1_000_000.0, 0.0)
    save_array_case(replace(case, label=label, class_names={}), tmp_path)
    assert (load_array_case(tmp_path).label == label).all()


def test_2d_and_missing_names(tmp_path):
    flat = grid((7, 6))
    save_array_case(Case("a", noise(flat), flat, blob(flat, 2)), tmp_path)
    back = load_array_case(tmp_path)
    assert back.class_names == {1: "class 1", 2: "class 2"}
    assert back.geometry == flat


@pytest.mark.parametrize(
    ("own", "known", "becomes"),
    [
        ({1: "liver", 2: "lesion"}, {1: "lesion", 2: "liver"}, {1: 2, 2: 1}),
        ({1: "liver", 2: "lesion"}, {7: "liver", 40000: "lesion", 3: "spleen"}, {1: 7, 2: 40000}),
        ({1: "a", 2: "a"}, {1: "b", 3: "a"}, {1: 3, 2: 3}),
        ({1: "a", 2: "a"}, {1: "a", 2: "a"}, {1: 1, 2: 2}),
        ({}, {2: "liver", 5: "lesion"}, {1: 1, 2: 2}),
        ({1: "class 1", 2: "class 2"}, {2: "liver", 5: "lesion"}, {1: 1, 2: 2}),
        ({1: "liver", 2: "lesion"}, {}, {1: 1, 2: 2}),
    ],
)
def test_values_follow_the_names(tmp_path, own, known, becomes):
    label = blob(GEOMETRY, 2)
    save_array_case(Case("a", noise(GEOMETRY), GEOMETRY, label, class_names=own), tmp_path)
    back = load_array_case(tmp_path, known_names=known)
    for value, there in becomes.items():
        assert (back.label[label == value] == there).all()
        assert back.class_names[there] == known.get(there, own.get(value, f"class {value}"))
    assert (back.label[label == 0] == 0).all()


def test_a_lone_class_that_was_never_named_takes_a_lone_segment(tmp_path, refused):
    label = blob(GEOMETRY, 1)
    save_array_case(Case("a", noise(GEOMETRY), GEOMETRY, label * 2, class_names={1: "scratch", 2: "tumour"}), tmp_path)
    back = load_array_case(tmp_path, known_names={1: "class 1"})
    assert np.array_equal(back.label, label)
    assert back.class_names == {1: "tumour"}
    for known in ({1: "class 1", 2: "class 2"}, {1: "liver"}):
        with refused("unknown-segment", "tumour", *known.values()):
            load_array_case(tmp_path, known_names=known)


def test_read_case_takes_it_under_the_name_asked_for(case, tmp_path):
    save_array_case(case, tmp_path)
    assert read_case(CaseSource("other", arrays=tmp_path)).name == "other"


def test_saving_again_while_it_is_read(case, tmp_path):
    save_array_case(case, tmp_path)
    before = load_array_case(tmp_path)
    save_array_case(replace(case, image=case.image + 1), tmp_path)
    assert np.array_equal(before.image, case.image)
    assert np.array_equal(load_array_case(tmp_path).image, case.image + 1)


def test_missing_and_broken_files(case, tmp_path, refused):
    with refused("missing-file", "case.json"):
        load_array_case(tmp_path)
    save_array_case(case, tmp_path)
    path = tmp_path / "label.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with refused("unreadable-file", "label.npy"):
        load_array_case(tmp_path)
    path.write_bytes(b"")
    with refused("unreadable-file", "label.npy"):
        load_array_case(tmp_path)
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with refused("unreadable-file", "label.npy"):
        load_array_case(tmp_path)
    path.unlink()
    (tmp_path / "image.npy").unlink()
    with refused("missing-file", "image.npy"):
        load_array_case(tmp_path)


@pytest.mark.parametrize(
    ("part", "array"),
    [
        ("label", np.zeros((5, 6, 6), np.uint8)),
        ("label", np.ones((5, 6, 7), np.float32)),
        ("image", np.zeros((5, 6, 7), np.float32)),
        ("image", np.zeros((1, 5, 6, 7), complex)),
        ("trusted", np.zeros((5, 6, 7), np.uint8)),
        ("confidence", np.zeros((1, 5, 6, 7), np.float32)),
    ],
)
def test_arrays_that_do_not_fit(case, tmp_path, refused, part, array):
    save_array_case(case, tmp_path)
    np.save(tmp_path / f"{part}.npy", array)
    with refused("array-shape", f"{part}.npy"):
        load_array_case(tmp_path)


def test_descriptions_that_are_none(case, tmp_path, refused):
    save_array_case(case, tmp_path)
    path = tmp_path / "case.json"
    good = json.loads(path.read_text())
    for wrong in ([], {}, {**good, "geometry": {"size": [1]}}, {**good, "class_names": {"x": "y"}}):
        path.write_text(json.dumps(wrong))
        with refused("bad-json", "case.json"):
            load_array_case(tmp_path)
    path.write_text(json.dumps({**good, "geometry": {**good["geometry"], "spacing": [0, 1, 1]}}))
    with refused("bad-geometry", "p 1"):
        load_array_case(tmp_path)


def test_contents_are_checked_like_files(case, tmp_path, refused):
    nan = case.image.copy()
    nan[0, 0, 0, 0] = np.nan
    for change, code in (
        ({"image": nan}, "image-not-finite"),
        ({"image": case.image * 0}, "image-constant"),
        ({"label": case.label.astype(np.int16) - 1}, "label-negative"),
        ({"confidence": case.confidence + 1}, "confidence-range"),
    ):
        save_array_case(replace(case, **change), tmp_path)
        with refused(code, "p 1"):
            load_array_case(tmp_path)
    with refused("label-not-whole"):
        save_array_case(replace(case, label=case.label * 0.5), tmp_path)
