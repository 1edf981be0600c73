"""What is suggested at a row: the sure and the likely part of an error, how far it grows, and what it never reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DALESegmentLib.engine.dale.intensities import fit_intensities
from DALESegmentLib.engine.dale.issues import find_regions
from DALESegmentLib.engine.dale.missed_regions import find_missed_regions
from DALESegmentLib.engine.dale.review_rows import number_errors
from DALESegmentLib.engine.dale.suggestions import suggest_for_rows
from DALESegmentLib.engine.geometry.grid import Geometry

SHAPE, SPACING = (20, 60, 60), (2.0, 1.0, 1.0)
GEOMETRY = Geometry(SHAPE[::-1], SPACING[::-1], (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def ball(centre, radius):
    axes = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, SPACING, strict=True)) < radius**2


TRUTH = ball((10, 22, 22), 11) | ball((10, 46, 46), 6) | ball((10, 50, 14), 6)
FIRST, SECOND = ball((10, 22, 35), 6) & ~TRUTH, ball((10, 22, 9), 6) & ~TRUTH
MISSED = ball((10, 46, 46), 6)


def image_of(truth=TRUTH, noise=0.3):
    return (truth + np.random.default_rng(0).normal(0, noise, SHAPE)).astype(np.float32)[None]


def quality_of(label, seen):
    """Low where an error was seen, high elsewhere."""
    return np.where(seen & (label != TRUTH), 0.05, 0.97).astype(np.float32)


def suggested(label, seen, image=None):
    """Regions, and what is suggested at each. seen: where the network still contradicts the label."""
    label, quality = label.astype(np.uint8), quality_of(label, seen)
    contradicted = seen & (label != TRUTH)
    second = np.where(contradicted, 0.95 * (1 - label) + 0.05 * label, 0.95 * label + 0.05 * (1 - label))
    probabilities = np.stack([1 - second, second]).astype(np.float32)
    regions, places = find_regions("a", label, quality, probabilities, GEOMETRY, {1: "lesion"})
    regions, places = number_errors(regions, places, label, SPACING, 20)
    known = places, label, quality, image_of() if image is None else image, SPACING, (0, 1)
    return regions, suggest_for_rows(regions, *known)


def whole(found, name):
    mask = np.zeros(SHAPE, bool)
    for one in found.values():
        mask[one.box] |= getattr(one, name)
    return mask


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_what_is_sure_is_nearly_all_wrong_and_what_is_likely_nearly_all_of_the_error():
    label = TRUTH | FIRST
    middle = FIRST & ball((10, 22, 36), 3)
    regions, found = suggested(label, middle)
    assert {region.suspicion for region in regions} == {"too large"}
    sure, likely = whole(found, "sure"), whole(found, "likely")
    assert not (sure & ~likely).any()
    assert (sure & ~FIRST).sum() <= 0.05 * sure.sum()
    assert (middle & ~sure).sum() <= 0.05 * middle.sum()
    assert (likely & FIRST).sum() > 1.5 * middle.sum(), "what the network learned by heart is reached"


def test_it_never_reaches_an_error_elsewhere_or_of_another_kind():
    label = (TRUTH | FIRST | SECOND) & ~ball((10, 31, 22), 4)
    regions, found = suggested(label, FIRST)
    likely = whole(found, "likely")
    assert regions
    assert (likely & FIRST).any()
    assert not (likely & SECOND).any()
    assert (label & likely).sum() == likely.sum(), "only what is labelled is taken away"


def test_without_contrast_nothing_grows_beyond_what_was_seen():
    label = TRUTH | FIRST
    middle = FIRST & ball((10, 22, 36), 3)
    flat = np.zeros((1, *SHAPE), np.float32)
    _regions, found = suggested(label, middle, flat)
    assert np.array_equal(whole(found, "likely"), middle & label)


def test_each_voxel_is_suggested_at_the_nearest_piece():
    label = TRUTH | FIRST
    regions, _found = suggested(label, FIRST)
    places = np.zeros(SHAPE, np.int32)
    front = np.indices(SHAPE)[1] < 22
    places[FIRST & front], places[FIRST & ~front] = 1, 2
    halves = []
    for number in (1, 2):
        where = np.argwhere(places == number)
        box = {"first_voxel": tuple(where.min(0)[::-1].tolist()), "last_voxel": tuple(where.max(0)[::-1].tolist())}
        halves.append(replace(regions[0], region_id=number, error_id=1, gathered=False, **box))
    quality = quality_of(label, FIRST)
    found = suggest_for_rows(halves, places, label.astype(np.uint8), quality, image_of(), SPACING, (0, 1))
    for number in (1, 2):
        own = whole({number: found[number]}, "likely")
        assert dice(own, places == number) > 0.9
    assert not (whole({1: found[1]}, "likely") & whole({2: found[2]}, "likely")).any()


def test_what_is_small_and_gathered_does_not_grow():
    label = TRUTH | FIRST
    regions, _found = suggested(label, FIRST)
    small = [replace(region, gathered=True) for region in regions]
    places = np.zeros(SHAPE, np.int32)
    places[FIRST] = regions[0].region_id
    quality = quality_of(label, FIRST)
    found = suggest_for_rows(small[:1], places, label.astype(np.uint8), quality, image_of(), SPACING, (0, 1))
    assert not (whole(found, "likely") & ~FIRST).any()


def test_intensities_tell_classes_apart_in_spite_of_errors_in_the_label():
    label = (TRUTH | FIRST).astype(np.uint8)
    model = fit_intensities(image_of(), label, np.ones(SHAPE, bool), 1, 0, SPACING)
    odds = model.log_odds(image_of(), SPACING)
    assert ((odds > 0) == TRUTH)[FIRST].mean() > 0.9
    assert fit_intensities(image_of(), np.zeros(SHAPE, np.uint8), np.ones(SHAPE, bool), 1, 0, SPACING) is None
    assert fit_intensities(image_of(), label, np.zeros(SHAPE, bool), 1, 0, SPACING) is None


def overlooked(probability, image=None, label=None):
    label = (TRUTH & ~MISSED if label is None else label).astype(np.uint8)
    second = np.where(label > 0, 0.95, 0.01)
    second[MISSED & (label == 0)] = probability
    places = np.zeros(SHAPE, np.int32)
    known = label, quality_of(label, np.zeros(SHAPE, bool)), np.stack([1 - second, second]).astype(np.float32)
    image = image_of() if image is None else image
    return find_missed_regions("a", [], places, *known, image, GEOMETRY, {1: "lesion"}), places


def test_an_object_that_was_learned_to_be_left_out_is_found():
    (region,), places = overlooked(0.12)
    assert (region.suspicion, region.label_value, region.class_name) == ("missing", 1, "lesion")
    assert dice(places == region.region_id, MISSED) > 0.85
    assert places[tuple(region.centre_voxel[::-1])] == region.region_id


@pytest.mark.parametrize(
    "made",
    [
        {"probability": 0.02},
        {"probability": 0.12, "image": image_of(TRUTH & ~MISSED)},
        {"probability": 0.12, "label": TRUTH},
        {"probability": 0.12, "label": np.zeros(SHAPE, bool)},
    ],
    ids=["the network is sure", "the image shows nothing", "it is labelled", "nothing is labelled"],
)
def test_nothing_else_is(made):
    assert overlooked(**made)[0] == []
