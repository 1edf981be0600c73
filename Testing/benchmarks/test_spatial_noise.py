"""Markov chains along an outline: which way they go, how far in mm, and that no class is lost."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.goals import APART
from benchmarks.noise import SPATIAL, level_of
from benchmarks.spatial_noise import FLIPPED, PREFERENCE, _majority, _step, markov_chain, spatial_label
from benchmarks.tiers import Wanted, cells
from DALESegmentLib.engine.metrics.segmentation import mean_dice


def ball(shape: tuple[int, ...], spacing: tuple[float, ...], radius: float) -> np.ndarray:
    axes = np.indices(shape)
    return (sum(((a - (n - 1) / 2) * s) ** 2 for a, n, s in zip(axes, shape, spacing, strict=True)) < radius**2).astype(
        np.uint8
    )


def test_a_step_moves_face_neighbours_alone():
    half = np.zeros((400, 40), bool)
    half[:, :20] = True
    rng = np.random.default_rng(0)
    for expand, column in ((True, 20), (False, 19)):
        moved = _step(half, expand, rng) != half
        assert not np.delete(moved, column, 1).any()
        assert moved[:, column].mean() == pytest.approx(FLIPPED, abs=0.03)


def test_parts_of_a_thick_voxel_have_the_majority():
    fine = np.array([[1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 1, 1]], bool)
    assert _majority(fine, [2, 2]).tolist() == [[True, False, True]]
    assert _majority(fine, [1, 1]).tolist() == fine.tolist()


@pytest.mark.parametrize(("kind", "larger"), [("se", True), ("sr", False)])
def test_the_preference_decides_the_side_in_every_case(kind, larger):
    spacing = (1.0, 1.0)
    truth = ball((64, 64), spacing, 14.0)
    labels = [spatial_label(truth, spacing, kind, 0.15, np.random.default_rng(n)) for n in range(6)]
    assert all((label.sum() > truth.sum()) == larger for label in labels)
    assert len({label.tobytes() for label in labels}) == 6
    assert np.array_equal(labels[3], spatial_label(truth, spacing, kind, 0.15, np.random.default_rng(3)))


def test_thick_slices_are_moved_as_far_in_mm_as_the_plane():
    """The extent of a ball in mm along each axis."""
    spacing = (4.0, 1.0, 1.0)
    truth = ball((16, 64, 64), spacing, 16.0)
    grown = [markov_chain(truth, spacing, 0.12, 0.8, np.random.default_rng(n)) > 0 for n in range(3)]

    def depth(label: np.ndarray, axis: int) -> float:
        """Of the middle column along the axis, mm."""
        middle = [slice(n // 2 - 2, n // 2 + 2) for n in label.shape]
        middle[axis] = slice(None)
        return float(label[tuple(middle)].sum(axis).mean() * spacing[axis])

    across, along = (np.mean([depth(g, axis) - depth(truth > 0, axis) for g in grown]) for axis in (0, 2))
    assert along > 2
    assert across == pytest.approx(along, rel=0.3)


def test_classes_move_together_and_none_vanishes():
    label = np.zeros((40, 40), np.int16)
    label[8:20, 8:30] = 3
    label[20:30, 8:30] = 9
    label[18:20, 18:20] = 7
    before = label.copy()
    for seed in range(4):
        grown = markov_chain(label, (1.0, 1.0), 0.4, 0.8, np.random.default_rng(seed))
        assert grown.dtype == label.dtype
        assert (grown[label > 0] > 0).mean() > 0.95
        kept = (grown > 0) & (label > 0)
        assert (grown[kept] == label[kept]).all()
        gone = markov_chain(label, (1.0, 1.0), 5.0, 0.2, np.random.default_rng(seed))
        assert set(np.unique(gone)) == {0, 3, 7, 9}
        assert (gone > 0).sum() < (label > 0).sum()
    assert np.array_equal(label, before)
    empty = np.zeros((5, 5), np.int16)
    assert not markov_chain(empty, (1.0, 1.0), 0.2, 0.8, np.random.default_rng(0)).any()


def test_labels_agree_about_as_well_in_pictures_and_volumes():
    shapes = {False: ((64, 64), (1.0, 1.0), 14.0), True: ((20, 24, 24), (2.0, 2.0, 2.0), 12.0)}
    for kind in SPATIAL:
        for volumes, (shape, spacing, radius) in shapes.items():
            truth = ball(shape, spacing, radius)
            level = level_of(kind, volumes)
            labels = [spatial_label(truth, spacing, kind, level, np.random.default_rng(n)) for n in range(8)]
            assert 0.5 < np.mean([mean_dice(label, truth) for label in labels]) < 0.85, (kind, volumes)


def test_sde_is_as_much_too_large_as_too_small():
    truth = ball((64, 64), (1.0, 1.0), 14.0)
    labels = [spatial_label(truth, (1.0, 1.0), "sde", 0.3, np.random.default_rng(n)) for n in range(40)]
    radii = np.sqrt([label.sum() / np.pi for label in labels]) / np.sqrt(truth.sum() / np.pi) - 1
    assert 10 < (radii > 0).sum() < 30
    assert (np.abs(radii) > 0.2).all()
    assert (np.abs(radii) < 0.4).all()


def test_they_are_in_the_tier_of_methods_and_by_name_and_biased_ones_are_not_averaged():
    assert set(SPATIAL) <= {c.noise for c in cells(Wanted("methods"))}
    assert not set(SPATIAL) & {c.noise for c in cells(Wanted())}
    assert {c.noise for c in cells(Wanted(noise=["sr", "sde"]))} == {"sr", "sde"}
    assert set(PREFERENCE) < set(APART)
    assert "sde" not in APART
