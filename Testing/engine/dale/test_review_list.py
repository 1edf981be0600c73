"""What a list over several cases adds, on arrays whose answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.dale.config import ReviewListConfig
from DALESegmentLib.engine.dale.review_list import ClassAgreement, class_agreement, pooled_agreement, weak_classes

NAMES = {1: "lesion", 4: "vessel"}


def agreements(dice, expected=0.9, labelled=True):
    return [{1: ClassAgreement(d, expected, labelled)} for d in dice]


def weak(cases, stored=None, **config):
    settings = ReviewListConfig(**config)
    return weak_classes(pooled_agreement(cases, stored, settings), NAMES, settings)


def test_agreement_is_that_of_counted_voxels():
    label = np.array([[1, 1, 1, 0, 0, 0, 2, 2]])
    inside = np.array([[0.9, 0.8, 0.1, 0.6, 0.2, 0.0, 0.1, 0.3]], np.float32)
    third = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.1]], np.float32)
    found = class_agreement(label, np.stack([1 - inside - third, inside, third]), (0, 1, 4))
    assert set(found) == {1, 4}
    assert found[1].dice == pytest.approx(2 * 2 / (3 + 3))
    assert found[1].expected_dice == pytest.approx(2 * (0.9 + 0.8 + 0.6) / (3 + 3.0))
    assert found[4] == ClassAgreement(0.0, 0.0)


def test_what_neither_has_is_left_out_and_what_is_not_labelled_is_marked():
    p = np.stack([np.zeros((2, 2)), np.ones((2, 2)), np.zeros((2, 2))]).astype(np.float32)
    assert class_agreement(np.zeros((2, 2), int), p) == {1: ClassAgreement(0.0, 1.0, labelled=False)}


def test_a_model_that_agrees_with_few_labels_is_too_weak_and_says_how_little():
    (found,) = weak(agreements([0.2, 0.41, 0.3, 0.8, 0.43, 0.9]))
    assert found.as_dict()["sentence"] == (
        "The model is too weak to judge labels of class lesion: on half of 6 cases its Dice with the given labels is "
        "below 0.42; train longer or with more cases."
    )
    assert (found.label_value, found.cases) == (1, 6)


def test_a_model_that_is_sure_of_itself_may_contradict_labels_of_middling_agreement():
    assert not weak(agreements([0.5, 0.55, 0.6], expected=0.8))
    (found,) = weak(agreements([0.5, 0.55, 0.6], expected=0.5))
    assert "below 0.55, and it is unsure of its own outlines; train" in found.sentence
    assert not weak(agreements([0.7, 0.7, 0.7], expected=0.5))


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
