"""Errors as rows of the review list: what belongs together, what is gathered, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from DALESegmentLib.engine.dale.agreement import class_agreement
from DALESegmentLib.engine.dale.issues import Region, find_regions
from DALESegmentLib.engine.dale.reasons import explained, given_value, reason
from DALESegmentLib.engine.dale.review_list import find_surroundings, make_review_list
from DALESegmentLib.engine.dale.review_rows import as_rows, is_below_line, number_errors
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.review.decisions import region_row

SPACING = (1.0, 1.0, 2.0)  # (i, j, k)
NAMES = {1: "lesion"}


def ball(shape, centre, radius):
    k, j, i = np.indices(shape)
    return (2.0 * (k - centre[0])) ** 2 + (j - centre[1]) ** 2 + (i - centre[2]) ** 2 < radius**2


class Case:
    """A lesion that spills over in a long half shell and lacks a bite, a missed one, an invented one; the model is
    right, but at one place, where it draws too much. `errors` are the masks."""

    def __init__(self, seed: int = 0) -> None:
        shape = (24, 72, 72)
        half = np.indices(shape)[2] > 40
        large = ball(shape, (12, 28, 34), 14)
        self.missed, invented = ball(shape, (16, 58, 56), 5), ball(shape, (6, 60, 14), 6)
        spill = ball(shape, (12, 28, 34), 20) & half & ~large
        bite = ball(shape, (12, 28, 20), 6) & large
        self.truth = large | self.missed
        self.label = (large | spill | invented) & ~bite
        wrongly_drawn = ball(shape, (12, 14, 30), 4.5) & ~self.truth
        self.errors = {"too large": spill, "too small": bite, "extra": invented, "missing": self.missed}
        drawn = (self.truth | wrongly_drawn).astype(float)
        lesion = np.clip(ndimage.gaussian_filter(drawn, (0.3, 0.6, 0.6)), 0.01, 0.99)
        self.probabilities = np.stack([1 - lesion, lesion]).astype(np.float32)
        noise = np.random.default_rng(seed).normal(0, 0.2, shape)
        self.image = (self.truth + noise).astype(np.float32)[None]
        self.geometry = Geometry(shape[::-1], SPACING, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))

    def pieces(self, limit: int = 20) -> tuple[list[Region], np.ndarray]:
        label, spacing = self.label.astype(np.uint8), self.geometry.array_spacing
        confidence = np.take_along_axis(self.probabilities, label[None].astype(int), 0)[0]
        found, places = find_regions("a", label, confidence, self.probabilities, self.geometry, NAMES, limit=200)
        known = explained(found, places, label, self.probabilities, self.image, spacing, NAMES, False)
        return number_errors(known, places, label, spacing, limit)

    def rows(self, limit: int = 20) -> tuple[list[Region], np.ndarray]:
        pieces, places = self.pieces(limit)
        agreement = class_agreement(self.label.astype(np.uint8), self.probabilities)
        findings = find_surroundings(pieces, places, self.image, self.label.astype(np.uint8), agreement)
        return as_rows(make_review_list([findings], NAMES)).regions, places


@pytest.fixture(scope="module")
def case():
    return Case()


@pytest.fixture(scope="module")
def listed(case):
    return case.rows()


def test_four_errors_are_four_rows(case, listed):
    rows, places = listed
    above = [row for row in rows if not is_below_line(row)]
    assert sorted(row.suspicion for row in above) == sorted(case.errors)
    assert rows[: len(above)] == above
    for row in above:
        inside = np.isin(places, [piece.region_id for piece in row.leaves])
        error = case.errors[row.suspicion]
        assert (inside & error).sum() > 0.8 * error.sum(), row.suspicion
        assert (inside & ~error).sum() < 0.2 * inside.sum(), row.suspicion


def test_a_long_error_is_one_row_of_several_pieces(case, listed):
    rows, places = listed
    row = next(row for row in rows if row.suspicion == "too large")
    assert len(row.pieces) > 1
    assert (
        row.voxels
        == sum(piece.voxels for piece in row.pieces)
        == np.isin(places, [piece.region_id for piece in row.pieces]).sum()
    )
    assert row.size_mm3 == pytest.approx(2.0 * row.voxels)
    assert (row.region_id, row.centre_voxel) == (row.pieces[0].region_id, row.pieces[0].centre_voxel)
    where = np.argwhere(np.isin(places, [piece.region_id for piece in row.pieces]))[:, ::-1]
    assert row.first_voxel == tuple(where.min(0))
    assert row.last_voxel == tuple(where.max(0))
    assert {piece.rank for piece in row.pieces} == {row.rank}


def test_what_the_intensities_do_not_bear_out_is_below_the_line(listed):
    rows, _places = listed
    wrong = [row for row in rows if row.suspicion == "too small" and given_value(row) == row.intensity_value]
    assert len(wrong) == 1
    assert is_below_line(wrong[0])
    assert "Label: background. Model, not trained on this case: lesion" in reason(wrong[0])
    assert "Intensities: like background." in reason(wrong[0])


def test_each_voxel_of_the_map_belongs_to_one_row(listed):
    rows, places = listed
    ids = [piece.region_id for row in rows for piece in row.leaves]
    assert len(set(ids)) == len(ids)
    assert set(np.unique(places)) == {0, *ids}


def test_a_limit_counts_errors_and_leaves_the_others_out_of_the_map(case, listed):
    rows, places = case.rows(limit=2)
    errors = [row for row in rows if not row.gathered]
    assert len(errors) == 2
    assert set(np.unique(places)) == {0, *(piece.region_id for row in rows for piece in row.leaves)}
    most = sorted((row.expected_wrong for row in listed[0] if not row.gathered), reverse=True)[:2]
    assert sorted((row.expected_wrong for row in errors), reverse=True) == pytest.approx(most)


def piece(number, voxels, at, suspicion="too large", like=None, **more):
    """A piece of 1 mm³ voxels in a row along i."""
    first, last = (at, 5, 5), (at + voxels - 1, 5, 5)
    sizes = {"voxels": voxels, "size_mm3": float(voxels), "expected_wrong": 0.8 * voxels}
    where = {"centre_ras": (0.0,) * 3, "centre_voxel": first, "first_voxel": first, "last_voxel": last}
    sure = {"mean_confidence": 0.2, "lowest_confidence": 0.1}
    return Region(
        number, "a", number, 1, "lesion", suspicion, 0, **sizes, **sure, **where, intensity_value=like, **more
    )


def numbered(pieces, shape=(10, 10, 400), labelled=4000):
    places, label = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    label.ravel()[:labelled] = 1
    for one in pieces:
        (i, j, k), (last, *_rest) = one.first_voxel, one.last_voxel
        places[k, j, i : last + 1] = one.region_id
    return number_errors(pieces, places, label, (1.0, 1.0, 1.0), 20)


def errors_of(pieces):
    groups = {}
    for one in pieces:
        groups.setdefault(one.error_id, set()).add(one.region_id)
    return sorted(map(sorted, groups.values()))


def test_pieces_are_one_error_up_to_two_voxels_apart():
    near, _ = numbered([piece(1, 60, 0), piece(2, 60, 61)])
    far, _ = numbered([piece(1, 60, 0), piece(2, 60, 64)])
    assert errors_of(near) == [[1, 2]]
    assert errors_of(far) == [[1], [2]]


def test_pieces_that_look_like_different_classes_are_two_errors():
    apart, _ = numbered([piece(1, 60, 0, like=0), piece(2, 70, 60, like=1), piece(3, 50, 130)])
    assert errors_of(apart) == [[1], [2, 3]]


def test_whole_objects_side_by_side_are_errors_of_their_own():
    whole, _ = numbered([piece(1, 60, 0, "extra"), piece(2, 60, 61, "extra")])
    assert errors_of(whole) == [[1], [2]]


def test_small_ones_of_a_kind_are_gathered_and_whole_objects_never():
    some = [piece(n, 8, 20 * n) for n in (1, 2, 3)] + [piece(4, 8, 100, "too small"), piece(5, 8, 120, "extra")]
    found, places = numbered([*some, piece(6, 90, 200)])
    assert errors_of(found) == [[1, 2, 3], [4], [5], [6]]
    assert {one.region_id for one in found if one.gathered} == {1, 2, 3, 4}
    assert set(np.unique(places)) == set(range(7))
    rows = as_rows(make_list(found)).regions
    assert [row.gathered for row in rows] == [False, False, True, True]
    together = next(row for row in rows if len(row.pieces) == 3)
    assert together.note == "3 small places, together 24 mm³"
    assert together.size_mm3 == 24
    assert [row.rank for row in rows] == [1, 2, 3, 4]


def test_what_is_small_goes_by_the_size_of_what_is_labelled():
    found, _ = numbered([piece(1, 20, 0)], labelled=100)
    assert not found[0].gathered


def make_list(pieces):
    from DALESegmentLib.engine.dale.review_list import ReviewList

    return ReviewList(pieces, [], 0, 0.0)


def test_a_row_is_as_probably_real_as_its_voxels_are():
    pieces = [piece(1, 60, 0, real_probability=0.9), piece(2, 30, 61, real_probability=0.3)]
    listed = as_rows(make_list([replace(one, error_id=1) for one in pieces]))
    assert listed.regions[0].real_probability == pytest.approx(0.7)
    assert (listed.rows, listed.expected_real) == (1, pytest.approx(0.7))


def test_a_row_survives_json_and_says_its_pieces_in_a_table(listed):
    for row in listed[0]:
        assert Region.from_dict(json.loads(json.dumps(row.as_dict()))) == row
    row = next(row for row in listed[0] if row.pieces)
    cells = region_row(row)
    assert cells["pieces"] == len(row.pieces)
    assert cells["region_ids"].split() == [str(piece.region_id) for piece in row.pieces]
    assert cells["reason"] == reason(row)


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (None, "Model: background (75 %)."),
        (True, "Model, trained on this label too: background (75 %)."),
        (False, "Model, not trained on this case: background (75 %)."),
    ],
)
def test_a_reason_says_whether_the_model_learned_from_the_case(trained, words):
    one = piece(1, 830, 0, like=0, model_probability=0.75, trained_on=trained, extent_mm=9.4)
    assert reason(one) == f"Label: lesion. {words} Intensities: like background. 0.83 ml, 9 mm."


def test_a_reason_says_that_intensities_say_nothing_and_an_old_list_has_none():
    assert "Intensities: do not tell them apart. 8 mm³." in reason(piece(1, 8, 0, model_probability=0.7))
    assert reason(piece(1, 8, 0)) == ""
