"""Outlines that are offered to a reader: a suggested change, half-way to it, and what strokes ask for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.interactive import (
    LARGEST_BOX,
    corrected_by_strokes,
    label_with_change,
    segment_strokes,
    stroke_box,
)

SHAPE, SPACING = (16, 48, 48), (2.0, 1.0, 1.0)


def ball(centre, radius, shape=SHAPE, spacing=SPACING):
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing, strict=True)) < radius**2


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


LARGE, SMALL = ball((8, 24, 20), 12), ball((8, 24, 20), 8)
OTHER = ball((8, 8, 42), 4)


def taken(label, change, step=1.0, value=0):
    return label_with_change(label.astype(np.uint8), change, value, SPACING, step)


CHANGES = [(LARGE, SMALL, 0), (SMALL, LARGE, 1)]


@pytest.mark.parametrize(("label", "wanted", "value"), CHANGES)
def test_a_change_is_taken_where_it_is_and_nowhere_else(label, wanted, value):
    found = taken(label | OTHER, LARGE & ~SMALL, value=value)
    assert np.array_equal(found > 0, wanted | OTHER)


@pytest.mark.parametrize(("label", "wanted", "value"), CHANGES)
def test_half_way_lies_half_way(label, wanted, value):
    found = taken(label, LARGE & ~SMALL, 0.5, value) > 0
    assert dice(found, ball((8, 24, 20), 10)) > 0.96
    assert np.array_equal(taken(label, LARGE & ~SMALL, 0.0, value) > 0, label)


def test_steps_go_one_way_only():
    found = [taken(LARGE, LARGE & ~SMALL, step) > 0 for step in (0, 0.25, 0.5, 0.75, 1)]
    for more, less in pairwise(found):
        assert not (less & ~more).any()
        assert less.sum() < more.sum()


@pytest.mark.parametrize("there", [True, False])
def test_a_whole_object_grows_from_its_middle(there):
    """Missing in the label, or extra in it."""
    nothing = np.zeros(SHAPE, bool)
    label, wanted, value = (SMALL, nothing, 0) if there else (nothing, SMALL, 1)
    half = taken(label, SMALL, 0.5, value) > 0
    assert 0 < half.sum() < SMALL.sum()
    assert half[8, 24, 20]
    assert np.array_equal(taken(label, SMALL, value=value) > 0, wanted)


def test_a_change_from_one_class_to_another_can_go_half_way():
    label = np.where(LARGE, 2, 0).astype(np.uint8)
    half = label_with_change(label, LARGE & ~SMALL, 1, SPACING, 0.5)
    assert 0 < (half == 1).sum() < (LARGE & ~SMALL).sum()
    assert ((half == 1) | (half == label)).all()


def test_without_a_change_nothing_changes():
    assert np.array_equal(taken(LARGE, np.zeros(SHAPE, bool)) > 0, LARGE)


def image_of(truth, noise=0.35, seed=0):
    return (truth + np.random.default_rng(seed).normal(0, noise, truth.shape)).astype(np.float32)[None]


def stroke(*voxels, shape=SHAPE):
    drawn = np.zeros(shape, bool)
    for voxel in voxels:
        drawn[voxel] = True
    return drawn


MIDDLE = stroke(*((8, 24, i) for i in range(16, 25)))
BESIDE = stroke(*((8, j, 36) for j in range(16, 33)))
NONE = np.zeros(SHAPE, bool)


def test_two_strokes_find_what_the_intensities_show():
    found = segment_strokes(image_of(SMALL), MIDDLE, BESIDE, SPACING)
    assert dice(found, SMALL) > 0.88


def test_one_stroke_does_with_a_model():
    model = np.where(ball((8, 24, 20), 9), 0.8, 0.1)
    assert dice(segment_strokes(image_of(SMALL, 2.0), MIDDLE, NONE, SPACING, model), SMALL) > 0.8
    assert dice(segment_strokes(image_of(SMALL), MIDDLE, NONE, SPACING), SMALL) > 0.8


def test_strokes_outrank_the_model():
    """It sees nothing there, and something where there is nothing."""
    model = np.where(OTHER, 0.95, 0.05)
    found = segment_strokes(image_of(SMALL), MIDDLE, BESIDE, SPACING, model)
    assert dice(found, SMALL) > 0.6
    assert not (found & OTHER).any()


def test_a_voxel_drawn_over_is_what_was_drawn():
    inside, outside = MIDDLE, stroke((8, 24, 22), (8, 30, 20), (2, 2, 2))
    found = segment_strokes(image_of(SMALL), inside, outside, SPACING)
    assert found[inside].all()
    assert not found[outside & ~inside].any()


def test_an_outside_stroke_cuts_off_what_looks_alike():
    bridge = ball((8, 24, 30), 3)
    twin = ball((8, 24, 38), 6)
    image = image_of(SMALL | bridge | twin, 0.1)
    before = segment_strokes(image, MIDDLE, BESIDE & ~twin, SPACING)
    after = segment_strokes(image, MIDDLE, stroke(*((8, j, 37) for j in range(20, 29))), SPACING)
    assert (after & twin).sum() < 0.5 * max((before & twin).sum(), 1)
    assert dice(after, SMALL) > 0.85


def test_pictures_and_several_channels():
    truth = ball((24, 20), 9, (48, 48), (1.0, 1.0))
    image = np.concatenate([image_of(truth), image_of(~truth, seed=1)])
    inside, outside = stroke((24, 20), (24, 21), shape=(48, 48)), stroke((24, 40), (5, 5), shape=(48, 48))
    assert dice(segment_strokes(image, inside, outside, (1.0, 1.0)), truth) > 0.9


def test_a_flat_image_fails_in_no_way():
    found = segment_strokes(np.zeros((1, *SHAPE), np.float32), MIDDLE, BESIDE, SPACING)
    assert found[MIDDLE].all()


def test_nothing_drawn_inside_is_refused():
    for ask in (
        lambda: segment_strokes(image_of(SMALL), NONE, BESIDE, SPACING),
        lambda: stroke_box(np.zeros((0, 3), int), SHAPE, SPACING),
    ):
        with pytest.raises(EngineError) as refused:
            ask()
        assert refused.value.code == "no-strokes"


def test_the_box_holds_the_strokes_and_is_of_a_size_that_is_answered_soon():
    strokes = np.array([[80, 100, 100], [80, 140, 120]])
    box = stroke_box(strokes, (160, 256, 256), (1.0, 1.0, 1.0))
    assert np.prod([part.stop - part.start for part in box]) <= LARGEST_BOX
    assert all(p.start <= low and high < p.stop for p, low, high in zip(box, *strokes, strict=True))
    small = stroke_box(np.argwhere(MIDDLE), SHAPE, SPACING)
    assert [(p.start, p.stop) for p in small] == [(0, 16), (0, 48), (0, 48)]


BITE, SPILL = LARGE & ball((8, 33, 20), 6), ball((8, 24, 33), 6) & ~LARGE
THROUGH_BITE = stroke(*((8, 31, i) for i in range(18, 23)))
THROUGH_SPILL = stroke(*((8, j, 35) for j in range(22, 27)))


@pytest.mark.parametrize("known", [True, False], ids=["with a model", "by intensities"])
def test_a_stroke_corrects_what_is_drawn(known):
    drawn = LARGE & ~BITE | SPILL
    model = np.where(LARGE, 0.9, 0.1) if known else None
    image = image_of(LARGE)
    one = corrected_by_strokes(image, drawn, THROUGH_BITE, NONE, SPACING, model)
    assert dice(drawn, LARGE) < 0.93
    assert (BITE & ~one).sum() < 0.2 * BITE.sum()
    assert (SPILL & one).sum() > 0.8 * SPILL.sum(), "the other error is not touched"
    two = corrected_by_strokes(image, drawn, THROUGH_BITE, THROUGH_SPILL, SPACING, model)
    assert dice(two, LARGE) > 0.96


def test_a_correction_holds_what_was_drawn_over_and_ends_far_from_it():
    outside = stroke((8, 24, 20))
    found = corrected_by_strokes(image_of(LARGE), LARGE, NONE, outside, SPACING)
    assert not found[8, 24, 20]
    far = ~ball((8, 24, 20), 12 * 0.85 * 1.6)
    assert np.array_equal(found[far], LARGE[far])
    inside = stroke((8, 24, 34))
    assert corrected_by_strokes(image_of(LARGE), LARGE, inside, NONE, SPACING)[8, 24, 34]


def test_far_from_all_that_is_drawn_there_is_nothing_to_correct():
    far = stroke((8, 44, 44))
    assert corrected_by_strokes(image_of(SMALL), ball((8, 8, 8), 4), far, NONE, SPACING) is None
    assert corrected_by_strokes(image_of(SMALL), NONE, MIDDLE, NONE, SPACING) is None
