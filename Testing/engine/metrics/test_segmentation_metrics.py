"""Agreement scores against hand-made cases and a brute-force reading of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.metrics.segmentation import agreement


def surface_points(mask, sampling):
    return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(sampling)


def brute(prediction, reference, sampling, tolerance):
    a, b = surface_points(prediction, sampling), surface_points(reference, sampling)
    between = np.linalg.norm(a[:, None] - b[None], axis=2)
    there, back = between.min(axis=1), between.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    near = (there <= tolerance).sum() + (back <= tolerance).sum()
    return hd95, near / (len(a) + len(b))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_distances_match_brute_force(seed, dims):
    rng = np.random.default_rng(seed)
    shape = rng.integers(6, 12, dims)
    masks = [ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0 for _ in range(2)]
    if not all(mask.any() for mask in masks):
        return
    spacing = rng.uniform(0.5, 2.5, dims)
    result = agreement(masks[0].astype(int), masks[1].astype(int), spacing, [1])["classes"][1]
    hd95, nsd = brute(*masks, spacing, 2.0)
    assert result["hd95_mm"] == pytest.approx(hd95, rel=1e-4)
    assert result["nsd"] == pytest.approx(nsd, rel=1e-5)
    both, either = (masks[0] & masks[1]).sum(), (masks[0] | masks[1]).sum()
    assert result["iou"] == pytest.approx(both / either)
    assert result["dice"] == pytest.approx(2 * both / (both + either))


def test_spacing_belongs_to_its_axis():
    a, b = np.zeros((3, 40, 40), int), np.zeros((3, 40, 40), int)
    a[1, 10:20, 10:20] = 1
    b[1, 10:20, 14:24] = 1  # four voxels along i
    assert agreement(a, b, (9.0, 9.0, 0.5), [1])["classes"][1]["hd95_mm"] == pytest.approx(2.0)
    assert agreement(a, b, (9.0, 9.0, 0.5), [1])["mean"]["nsd"] == 1.0
    assert agreement(a, b, (9.0, 9.0, 2.0), [1])["classes"][1]["hd95_mm"] == pytest.approx(8.0)


def test_conventions_for_absent_classes():
    a, b = np.zeros((10, 10), int), np.zeros((10, 10), int)
    a[2:5, 2:5] = b[2:5, 2:5] = 1
    a[7, 7] = 2
    result = agreement(a, b, (1, 1), [1, 2, 3])
    perfect = {"dice": 1.0, "iou": 1.0, "hd95_mm": 0.0, "nsd": 1.0}
    assert result["classes"] == {
        1: perfect,
        2: {"dice": 0.0, "iou": 0.0, "hd95_mm": None, "nsd": 0.0},
        3: perfect,
    }
    third = pytest.approx(2 / 3)
    assert result["mean"] == {"dice": third, "iou": third, "hd95_mm": 0.0, "nsd": third}
    assert result["hd95_undefined"] == 1
    assert agreement(a, np.where(b, 0, 2), (1, 1), [])["mean"]["dice"] is None


def test_another_grid_is_refused():
    with pytest.raises(EngineError, match="grid"):
        agreement(np.zeros((3, 4)), np.zeros((4, 3)), (1, 1), [1])
