"""The review list on real labels that a simulated annotator redrew, under a model with errors of its own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from DALESegmentLib.engine.dale.issues import find_regions
from DALESegmentLib.engine.geometry.distance import boundary_distance
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.metrics.label_errors import review_value
from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator
from Testing.engine.geometry.face_points import to_face_points

DATA = os.environ.get("DALESEGMENT_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="DALESEGMENT_DATA names no folder of real images")
CASES = ("hippocampus_001", "hippocampus_004", "hippocampus_006", "hippocampus_014")


def model_of(truth, spacing, rng):
    """Posterior (3, *grid): boundaries wander by about a voxel and are unsure, more so in one half."""
    sampling = spacing[::-1]
    half = np.arange(truth.shape[1])[None, :, None] > truth.shape[1] / 2
    wander = ndimage.gaussian_filter(rng.standard_normal(truth.shape), 3)
    wander *= 0.6 / wander.std()
    logits = [-to_face_points(truth == c, sampling) / np.where(half, 2.5, 1.0) for c in range(3)]
    odds = np.exp(np.clip(np.stack(logits) + wander * np.array([0, 1, 1])[:, None, None, None], -40, 40))
    return odds / odds.sum(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "gain"), [("hurried", 2.5), ("walk", 2.5), ("shift", 2.5), ("erode", 1.4)])
def test_ten_regions_hold_far_more_errors_than_the_band_round_the_label(kind, gain):
    gains = []
    for seed, name in enumerate(CASES):
        image = sitk.ReadImage(str(Path(DATA) / "msd_hippocampus" / name / "label.nii.gz"))
        truth = sitk.GetArrayFromImage(image)
        geometry = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        rng = np.random.default_rng(seed)
        label = simulate_annotator(truth, geometry.array_spacing, kind, 0.2, rng, relative=True)
        p = model_of(truth, geometry.spacing, rng)
        confidence = np.take_along_axis(p, label[None].astype(int), axis=0)[0]
        regions, region_map = find_regions(name, label, confidence, p, geometry, {}, limit=10)
        band = np.abs(boundary_distance(label, geometry.array_spacing, 4.0)[0]) <= 3
        gains.append(review_value(region_map, [r.region_id for r in regions], label != truth, band)["gain"])
    assert np.mean(gains) > gain
