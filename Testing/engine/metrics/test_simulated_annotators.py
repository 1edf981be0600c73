"""Simulated annotators: what they state in mm, on discs, balls and real labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.metrics.simulated_annotators import KINDS, simulate_annotator
from Testing.engine.geometry.face_points import to_face_points

SPACINGS = [(1.0, 1.0), (1.0, 0.5), (1.0, 1.0, 1.0), (2.1, 0.7, 0.7)]


def from_middle(spacing, extent=60.0):
    """mm from the middle of the grid."""
    shape = [round(extent / s) for s in spacing]
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return np.sqrt(sum(((a - n / 2) * s) ** 2 for a, n, s in zip(axes, shape, spacing, strict=True)))


def ball(spacing, radius=14.0):
    return (from_middle(spacing) <= radius).astype(np.uint8)


def radius_of(mask, spacing):
    volume = mask.sum() * np.prod(spacing)
    return (volume / np.pi) ** 0.5 if len(spacing) == 2 else (0.75 * volume / np.pi) ** (1 / 3)


def drawn(label, spacing, kind, amount, seed=0, **options):
    return simulate_annotator(label, spacing, kind, amount, np.random.default_rng(seed), **options)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("kind", "sign"), [("erode", -1), ("dilate", 1)])
def test_the_radius_changes_by_so_many_mm(spacing, kind, sign):
    label = ball(spacing)
    for amount in (2.0, 4.0):
        change = radius_of(drawn(label, spacing, kind, amount), spacing) - radius_of(label, spacing)
        assert sign * change == pytest.approx(amount, abs=0.6 * max(spacing))


@pytest.mark.parametrize(("kind", "expected"), [("erode", [5, 6]), ("dilate", [3, 4, 5, 6, 7, 8])])
def test_three_mm_reach_across_slices_of_five(kind, expected):
    label = np.zeros((12, 40, 40), np.uint8)
    label[4:8, 5:35, 5:35] = 1
    out = drawn(label, (5.0, 1.0, 1.0), kind, 3.0)
    assert np.flatnonzero(out[:, 20, 20]).tolist() == expected


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_shift_moves_by_so_many_mm_and_keeps_the_volume(spacing):
    label = ball(spacing)
    directions = []
    for seed in range(4):
        moved = drawn(label, spacing, "shift", 5.0, seed)
        step = np.subtract(ndimage.center_of_mass(moved), ndimage.center_of_mass(label)) * spacing
        assert np.linalg.norm(step) == pytest.approx(5.0, abs=0.5)
        assert moved.sum() == pytest.approx(label.sum(), rel=0.06)
        directions.append(step / 5)
    assert np.std(directions, axis=0).max() > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_wandering_contour_has_the_standard_deviation_asked_for(spacing):
    label = ball(spacing)
    distance = from_middle(spacing) - 14.0
    fields = []
    for seed in range(10 if len(spacing) == 2 else 4):  # of a ball, ten times as many voxels lie near the outline
        walked = to_face_points(drawn(label, spacing, "walk", 2.0, seed) > 0, spacing)
        fields.append(walked[np.abs(distance) < max(spacing)])
    assert np.std(fields) == pytest.approx(2.0, abs=0.9)
    assert abs(np.mean(fields)) < 1.2


def test_the_biased_annotator_is_the_same_every_time():
    spacing = (1.0, 1.0, 1.0)
    label = ball(spacing)
    out, again = drawn(label, spacing, "biased", 3.0, 1), drawn(label, spacing, "biased", 3.0, 2)
    np.testing.assert_array_equal(out, again)
    assert radius_of(out, spacing) - radius_of(label, spacing) == pytest.approx(3, abs=0.5)
    step = np.subtract(ndimage.center_of_mass(out), ndimage.center_of_mass(label))
    np.testing.assert_allclose(step, [0, 0, 1.5], atol=0.3)
    assert radius_of(drawn(label, spacing, "biased", -3.0), spacing) < radius_of(label, spacing) - 2.4


def test_overlooked_objects_vanish_whole():
    label = np.zeros((60, 60), np.uint8)
    for j in range(0, 60, 6):
        for i in range(0, 60, 6):
            label[j : j + 3, i : i + 3] = 1 + (j // 6) % 2
    out = drawn(label, (1, 1), "miss", 0.3)
    sizes = ndimage.sum_labels(out > 0, ndimage.label(label)[0], range(1, 101))
    assert set(sizes) == {0, 9}
    assert 15 < (sizes == 0).sum() < 45
    assert not drawn(label, (1, 1), "miss", 1.0).any()
    np.testing.assert_array_equal(drawn(label, (1, 1), "miss", 0.0), label)


def test_a_relative_amount_is_a_share_of_the_radius():
    spacing = (2.1, 0.7, 0.7)
    label = ball(spacing)
    np.testing.assert_array_equal(
        drawn(label, spacing, "erode", 0.2, relative=True),
        drawn(label, spacing, "erode", 0.2 * radius_of(label, spacing)),
    )


def test_the_hurried_annotator_slips_in_one_place_more_than_elsewhere():
    spacing = (3.0, 1.0, 1.0)
    label = ball(spacing)
    worst = []
    for seed in range(6):
        out = drawn(label, spacing, "hurried", 1.0, seed)
        wrong = out != label
        assert wrong.any()
        assert (out == 1).any()
        worst.append(np.abs(from_middle(spacing) - 14.0)[wrong].max())
    assert np.median(worst) > 2.0
    assert max(worst) < 8.0


def test_touching_classes_stay_together_and_do_not_overwrite_each_other():
    label = np.zeros((40, 40), np.uint8)
    label[10:30, 8:20], label[10:30, 20:32] = 1, 2
    grown = drawn(label, (1, 1), "dilate", 3.0)
    np.testing.assert_array_equal(grown[label > 0], label[label > 0])
    assert set(np.unique(grown[5:35, 14][grown[5:35, 14] > 0])) == {1}
    shrunk = drawn(label, (1, 1), "erode", 3.0)
    assert (shrunk[13:27, 11:29] > 0).all()
    np.testing.assert_array_equal(shrunk[shrunk > 0], label[shrunk > 0])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from([k for k in KINDS if k != "miss"]),
    amount=st.floats(0, 8),
    dims=st.integers(2, 3),
    relative=st.booleans(),
)
def test_seeded_same_type_and_no_class_vanishes(seed, kind, amount, dims, relative):
    rng = np.random.default_rng(seed)
    shape = rng.integers(4, 16, dims)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    label = np.digitize(noise, np.quantile(noise, [0.5, 0.8])).astype(rng.choice([np.uint8, np.int16]))
    spacing = tuple(rng.uniform(0.5, 3, dims))
    before = label.copy()
    out = drawn(label, spacing, kind, amount, seed, relative=relative)
    np.testing.assert_array_equal(label, before)
    np.testing.assert_array_equal(out, drawn(label, spacing, kind, amount, seed, relative=relative))
    assert out.dtype == label.dtype
    assert set(np.unique(out[out > 0])) == set(np.unique(label[label > 0]))


def test_an_empty_label_stays_empty():
    for kind in KINDS:
        assert not drawn(np.zeros((5, 5), int), (1, 1), kind, 0.5).any()


@pytest.mark.parametrize(("kind", "amount"), [("draw", 1), ("miss", 1.5), ("erode", -1), ("walk", float("nan"))])
def test_nonsense_is_refused(kind, amount):
    with pytest.raises(EngineError) as caught:
        drawn(np.ones((3, 3), int), (1, 1), kind, amount)
    assert caught.value.code == "bad-simulation"


DATA = os.environ.get("DALESEGMENT_DATA", "")


@pytest.mark.skipif(not DATA, reason="DALESEGMENT_DATA names no folder of real images")
@pytest.mark.parametrize("file", ["lidc_4rater/L0057_n00/rater1", "msd_hippocampus/hippocampus_001/label"])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "miss"])
def test_more_noise_agrees_less_on_real_labels(file, kind):
    image = sitk.ReadImage(str(Path(DATA) / f"{file}.nii.gz"))
    label = sitk.GetArrayFromImage(image)
    dice = []
    for amount in (0.1, 0.4):
        out = drawn(label, image.GetSpacing()[::-1], kind, amount, relative=True)
        dice.append(2 * ((out == label) & (label > 0)).sum() / ((out > 0).sum() + (label > 0).sum()))
    assert 1 > dice[0] > dice[1] > 0
    assert dice[0] > 0.7
