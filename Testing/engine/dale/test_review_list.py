"""What a list over several cases adds, on arrays whose answer is known by construction."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from DALESegmentLib.engine.dale.agreement import (
    ClassAgreement,
    WeakClass,
    class_agreement,
    pooled_agreement,
    weak_classes,
)
from DALESegmentLib.engine.dale.config import ReviewListConfig
from DALESegmentLib.engine.dale.issues import find_regions, rank_regions
from DALESegmentLib.engine.dale.quality import Recalibration
from DALESegmentLib.engine.dale.review_list import (
    ReviewList,
    find_surroundings,
    make_review_list,
    real_probability,
    with_recurring,
    without_weak,
)
from DALESegmentLib.engine.geometry.grid import Geometry

NAMES = {1: "lesion", 4: "vessel"}


def agreements(dice, expected=0.9, labelled=True):
    return [{1: ClassAgreement(d, expected, labelled)} for d in dice]


def weak(cases, stored=None, **config):
    settings = ReviewListConfig(**config)
    return weak_classes(pooled_agreement(cases, stored, settings), NAMES, stored, settings)


def test_agreement_is_that_of_counted_voxels():
    label = np.array([[1, 1, 1, 0, 0, 0, 2, 2]])
    inside = np.array([[0.9, 0.8, 0.1, 0.6, 0.2, 0.0, 0.1, 0.3]], np.float32)
    third = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.1]], np.float32)
    found = class_agreement(label, np.stack([1 - inside - third, inside, third]), (0, 1, 4))
    assert set(found) == {1, 4}
    assert found[1].dice == pytest.approx(2 * 2 / (3 + 3))
    assert found[1].expected_dice == pytest.approx(2 * (0.9 + 0.8 + 0.6) / (3 + 3.0))
    assert found[4] == ClassAgreement(0.0, 0.0, sizes=2)


def test_what_neither_has_is_left_out_and_what_is_not_labelled_is_marked():
    p = np.stack([np.zeros((2, 2)), np.ones((2, 2)), np.zeros((2, 2))]).astype(np.float32)
    assert class_agreement(np.zeros((2, 2), int), p) == {1: ClassAgreement(0.0, 1.0, labelled=False, sizes=4)}


def test_a_model_that_agrees_with_few_labels_is_too_weak_and_says_how_little():
    (found,) = weak(agreements([0.2, 0.41, 0.3, 0.8, 0.43, 0.9]))
    assert found.as_dict()["sentence"] == (
        "The model is too weak to judge labels of class lesion: in half of 6 comparisons its Dice with the given "
        "labels is below 0.42; train longer or with more cases."
    )
    assert (found.label_value, found.cases) == (1, 6)


def test_a_model_that_is_sure_of_itself_may_contradict_labels_of_middling_agreement():
    assert not weak(agreements([0.5, 0.55, 0.6], expected=0.8))
    (found,) = weak(agreements([0.5, 0.55, 0.6], expected=0.5))
    assert "below 0.55, and it is unsure of its own outlines; train" in found.sentence
    assert not weak(agreements([0.7, 0.7, 0.7], expected=0.5))


def test_a_good_model_that_is_sure_of_itself_is_not_blamed_for_bad_labels():
    """Of another site, say, whose labels are flipped."""
    good = {1: [ClassAgreement(0.93, 0.95)] * 20}
    assert not weak(agreements([0.3] * 6, expected=0.95), good)
    assert weak(agreements([0.3] * 6, expected=0.5), good)  # images that it does not know
    assert weak(agreements([0.3] * 6, expected=0.95), {1: [ClassAgreement(0.4, 0.5)] * 20})


def test_cases_without_a_label_of_the_class_do_not_speak_against_the_model():
    missed = agreements([0.0] * 6, labelled=False)
    assert not weak([*missed, *agreements([0.8, 0.9])])
    assert not weak(missed)


def test_what_was_stored_counts_where_cases_are_few_and_one_case_alone_says_nothing():
    bad = agreements([0.1])
    assert not weak(bad)
    assert not weak(bad, {1: [ClassAgreement(0.9, 0.9)] * 4})
    assert weak(bad, {1: [ClassAgreement(0.2, 0.9)]})
    good = agreements([0.9] * 5)
    assert not weak(good, {1: [ClassAgreement(0.0, 0.0)] * 50})
    (unseen,) = weak([], {4: [ClassAgreement(0.3, 0.3)]})
    assert unseen.sentence.startswith("The model is too weak to judge labels of class vessel: its Dice")
    assert "is 0.30" in unseen.sentence


def test_each_class_is_judged_on_its_own():
    cases = [{1: ClassAgreement(0.8, 0.9), 4: ClassAgreement(0.1, 0.2)}] * 3
    assert [one.class_name for one in weak(cases)] == ["vessel"]


def scene(at_edge=(), inside=(), count=10):
    """Cases with one labelled object in the middle, whose intensity is 0.5 to 1.4 where that of noise is 0, and objects
    that only the network has: {case: intensity}."""
    found = []
    for n in range(count):
        image = np.random.default_rng(n).normal(size=(1, 40, 40)).astype(np.float32)
        label = np.zeros((40, 40), int)
        label[16:24, 16:24] = 1
        image[0, label == 1] = 0.5 + n / 10
        model = label.copy()
        for box, of in ((np.index_exp[0:5, 30:38], at_edge), (np.index_exp[28:33, 4:12], inside)):
            if n in of:
                model[box], image[0][box] = 1, of[n]
        p = np.where(model == 1, 0.999, 0.001).astype(np.float32)
        p = np.stack([1 - p, p])
        confidence = np.take_along_axis(p, label[None], 0)[0]
        grid = Geometry((40, 40), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
        regions, where = find_regions(f"case{n}", label, confidence, p, grid, NAMES)
        found.append(find_surroundings(regions, where, image, label, class_agreement(label, p)))
    return found


def test_a_dark_rim_in_a_tenth_of_the_cases_becomes_one_row_at_the_end():
    cases = scene(at_edge=dict.fromkeys((1, 4, 7), -9.0), inside={2: 0.3})
    first, last = with_recurring(cases)
    assert (first.case, first.rank, first.recurs_in_cases, first.note) == ("case2", 1, 0, "")
    assert (last.rank, last.recurs_in_cases, last.suspicion) == (2, 3, "missing")
    assert last.note == (
        "recurs in 3 of 10 cases at the edge of the image, darker than what is labelled: probably the model's error or "
        "a rule of the annotators"
    )


def test_objects_at_the_edge_that_look_as_labelled_ones_stay_rows_until_half_of_the_cases_have_them():
    looks = dict.fromkeys(range(4), 0.9)
    assert [region.recurs_in_cases for region in with_recurring(scene(at_edge=looks))] == [0] * 4
    (row,) = with_recurring(scene(at_edge=dict.fromkeys(range(5), 0.9)))
    assert row.note.startswith("recurs in 5 of 10 cases at the edge of the image: ")


def test_objects_at_one_place_in_half_of_the_cases_become_one_row():
    assert len(with_recurring(scene(inside=dict.fromkeys(range(4), 0.9)))) == 4
    (row,) = with_recurring(scene(inside=dict.fromkeys(range(5), 0.9)))
    assert "recurs in 5 of 10 cases at the same place in the image" in row.note


def test_two_cases_are_too_few_for_anything_to_recur():
    assert len(with_recurring(scene(at_edge=dict.fromkeys(range(2), -9.0), count=2))) == 2


def test_without_recurrence_the_order_is_that_of_rank_regions():
    cases = scene(at_edge={0: 0.4, 3: 0.4}, inside={2: 0.3, 3: 0.3})
    assert with_recurring(cases) == rank_regions(case.regions for case in cases)


def test_surroundings_are_those_of_the_voxels():
    (case,) = scene(at_edge={0: 5.0}, count=1)
    ((number, found),) = case.surroundings.items()
    image = np.random.default_rng(0).normal(size=(40, 40))
    image[16:24, 16:24], image[0:5, 30:38] = 0.5, 5.0
    assert found.at_edge
    assert found.intensity == pytest.approx((5.0 - image.mean()) / image.std(), rel=1e-5)
    assert case.labelled[1] == pytest.approx((0.5 - image.mean()) / image.std(), rel=1e-5)
    i, j = case.regions[number - 1].centre_voxel
    assert found.place == pytest.approx(((i + 0.5) / 40, (j + 0.5) / 40))


@pytest.mark.parametrize(("slices", "edge"), [(1, False), (7, False), (8, True)])
def test_few_slices_have_no_edge_of_their_own(slices, edge):
    """In a stack of a few slices everything would lie at the first or the last one."""
    shape = (slices, 40, 40)
    label, p = np.zeros(shape, int), np.full(shape, 0.02)
    label[:, 16:24, 16:24], p[:, 16:24, 16:24], p[:1, 8:12, 8:12] = 1, 0.98, 0.98
    probs = np.stack([1 - p, p])
    geometry = Geometry((40, 40, slices), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    confidence = np.where(label == 1, p, 1 - p)
    regions, where = find_regions("a", label, confidence, probs, geometry, {1: "lesion"})
    found = find_surroundings(regions, where, p[None], label, class_agreement(label, probs))
    assert [one.at_edge for one in found.surroundings.values()] == [edge]


def test_regions_that_hang_on_a_weak_class_are_taken_out():
    case = scene(inside={0: 0.3}, count=1)[0]
    other = WeakClass(4, "vessel", 3, 0.1, 0.1, False)
    assert without_weak(case, [other]).regions == case.regions
    assert without_weak(case, [WeakClass(1, "lesion", 3, 0.1, 0.1, False)]).regions == []
    suggested = replace(case, regions=[replace(case.regions[0], suggested_value=4)])
    assert without_weak(suggested, [other]).regions == []


def logit(p):
    return float(np.log(p / (1 - p)))


def test_the_odds_of_a_row_are_the_formula_s():
    settings = ReviewListConfig(real_odds=(-1.0, 0.5, 10.0, 2.0))
    p = real_probability(0.2, 0.1, -0.3, config=settings)
    assert logit(p) == pytest.approx(-1.0 + 0.5 * np.log(4) + 10 * 0.1 - 2 * 0.3)
    assert 0 < real_probability(0.0, 0.0, 0.0) < 1
    assert 0 < real_probability(1.0, 0.0, 0.0) < 0.05


def test_rows_of_labels_that_the_model_agrees_with_as_expected_are_doubted_less():
    assert real_probability(0.3, 0.2, 0.2) > 0.75 > 0.35 > real_probability(0.3, 0.0, 0.0)


def test_what_review_decided_is_weighed_by_its_number():
    """All labels held at 0.1 were right, each time that somebody looked."""
    before = real_probability(0.1, 0.2, 0.2)
    told = []
    for looks in (1, 10, 200):
        known = Recalibration().looked(np.full(looks, 0.1), np.ones(looks, bool), np.arange(looks))
        shown = float(known.apply(np.array([0.1]))[0])
        told.append(real_probability(shown, 0.2, 0.2, known))
        assert told[-1] == pytest.approx(5 * before / (5 + looks), rel=0.02)
    assert before > told[0] > told[1] > told[2]


def test_the_list_adds_up_the_rows_that_it_estimates():
    cases = scene(at_edge=dict.fromkeys((1, 4, 7), -9.0), inside={2: 0.3, 5: 0.9})
    made = make_review_list(cases, NAMES)
    assert [region.real_probability is None for region in made.regions] == [False, False, True]
    assert made.expected_real == pytest.approx(sum(r.real_probability for r in made.regions[:2]))
    told = made.about()
    assert told["expected_real"]["rows"] == 2
    assert told["too_weak"] == []
    short = make_review_list(cases, NAMES, config=ReviewListConfig(first_rows=1))
    assert short.sentence.startswith("Of the first 1 region, ")
    assert short.expected_real == pytest.approx(made.regions[0].real_probability)


def test_a_list_of_a_weak_class_is_empty_and_expects_nothing():
    cases = [replace(case, agreement={1: ClassAgreement(0.2, 0.9)}) for case in scene(inside={2: 0.3})]
    made = make_review_list(cases, NAMES)
    assert made.regions == []
    assert made.sentence == ""
    assert [weak.class_name for weak in made.too_weak] == ["lesion"]


@pytest.mark.parametrize(
    ("rows", "expected", "told"),
    [
        (20, 7.2, "Of the first 20 regions, about 7 are expected to be real label errors."),
        (3, 1.1, "Of 3 regions, about 1 is expected to be a real label error."),
        (1, 0.2, "Of 1 region, hardly any is expected to be a real label error."),
    ],
)
def test_what_is_expected_is_said_in_a_sentence(rows, expected, told):
    many = scene(inside=dict.fromkeys(range(3), 0.5), count=10)[0].regions * (30 if rows == 20 else rows)
    assert ReviewList(many, [], rows, expected).sentence == told


def test_objects_that_recur_do_not_make_the_labels_look_bad():
    """The other rows are as real as they would be, had the model not drawn a rim."""
    inside = {2: 0.3, 5: 0.9}
    rim = make_review_list(scene(at_edge=dict.fromkeys(range(10), 0.9), inside=inside), NAMES)
    none = make_review_list(scene(inside=inside), NAMES)
    told, wanted = (
        [r.real_probability for r in made.regions if r.real_probability is not None] for made in (rim, none)
    )
    assert len(told) == len(wanted) == 2
    assert told == pytest.approx(wanted, abs=0.05)


def test_agreement_without_voxels_is_that_of_a_network_that_does_not_draw_them():
    assert ClassAgreement(2 * 50 / 160, 0.9, sizes=160).without(40).dice == pytest.approx(2 * 50 / 120)
    assert ClassAgreement(0.5, 0.9).without(40) == ClassAgreement(0.5, 0.9)


def test_a_list_of_thousands_of_objects_is_made_in_seconds():
    """A fresh model on three hundred cases: twenty objects each, at places of their own."""
    (case,) = scene(inside={0: 0.3}, count=1)
    place = np.random.default_rng(0).uniform(size=(6000, 2))
    around = case.surroundings[1]
    cases = []
    for n in range(300):
        rows = [replace(case.regions[0], case=f"case{n}", rank=i, region_id=i) for i in range(20)]
        places = {i: replace(around, place=tuple(place[20 * n + i])) for i in range(20)}
        cases.append(replace(case, regions=rows, surroundings=places))
    started = time.process_time()
    with_recurring(cases)
    assert time.process_time() - started < 10
