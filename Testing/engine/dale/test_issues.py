"""Doubtful regions on labels whose errors are known because they were planted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DALESegmentLib.engine.core.errors import Cancelled, EngineError, cancellable
from DALESegmentLib.engine.dale.issues import find_regions, rank_regions
from DALESegmentLib.engine.geometry.grid import Geometry

NAMES = {1: "lesion", 2: "vessel"}


def grid(shape, spacing=None):
    n = len(shape)
    return Geometry(shape[::-1], tuple(spacing or (1.0,) * n), (0.0,) * n, tuple(np.eye(n).ravel()))


def ball(shape, centre, radius_mm, sampling):
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, sampling, strict=True)) <= radius_mm**2


def signed_mm(mask, sampling):
    """Between centres, less half of the finest edge."""
    inside, outside = (ndimage.distance_transform_edt(side, sampling) - min(sampling) / 2 for side in (mask, ~mask))
    return np.where(mask, -inside, outside)


def fuzzy_posterior(truth, geometry, fuzz_mm=1.0):
    """A model that knows the truth and is honestly unsure about boundaries."""
    sampling = geometry.spacing[::-1]
    logits = [
        -signed_mm(truth == value, sampling) / fuzz_mm if (truth == value).any() else np.full(truth.shape, -50.0)
        for value in range(max(int(truth.max()), 1) + 1)
    ]
    odds = np.exp(np.clip(logits, -50, 50))
    return (odds / odds.sum(axis=0)).astype(np.float32)


def confidence_of(label, probabilities):
    return np.take_along_axis(probabilities, label[None].astype(int), axis=0)[0]


def review(label, truth, geometry, fuzz_mm=1.0, **options):
    p = fuzzy_posterior(truth, geometry, fuzz_mm)
    return find_regions("case", label, confidence_of(label, p), p, geometry, NAMES, **options)


@pytest.fixture(params=["2D", "3D", "thick slices"])
def scene(request):
    """Truth with two lesions, a grid, and balls at the places where errors are planted."""
    shape, spacing = {
        "2D": ((100, 110), (1.0, 1.0)),
        "3D": ((60, 70, 70), (1.0, 1.0, 1.0)),
        "thick slices": ((24, 90, 90), (0.8, 0.8, 2.5)),
    }[request.param]
    geometry = grid(shape, spacing)
    sampling = spacing[::-1]
    middle = [n // 2 for n in shape]

    def at(dj, di, radius):
        return ball(
            shape,
            [*middle[:-2], middle[-2] + dj / sampling[-2], middle[-1] + di / sampling[-1]],
            radius,
            sampling,
        )

    return geometry, (at(0, 0, 14) | at(-22, -22, 6)).astype(np.uint8), at


def test_a_right_label_has_no_region_though_every_boundary_is_doubtful(scene):
    geometry, truth, _ = scene
    p = fuzzy_posterior(truth, geometry, fuzz_mm=5)
    assert (confidence_of(truth, p) < 0.6).sum() > 50
    regions, region_map = review(truth, truth, geometry, fuzz_mm=5)
    assert regions == []
    assert not region_map.any()


@pytest.mark.parametrize("suspicion", ["too large", "too small", "missing", "extra"])
def test_a_planted_error_comes_first_with_its_kind_and_size(scene, suspicion):
    geometry, truth, at = scene
    label = truth.copy()
    if suspicion == "too large":
        label[at(0, 14, 6)] = 1
    elif suspicion == "too small":
        label[at(0, 12, 6)] = 0
    elif suspicion == "missing":
        label[at(-22, -22, 7)] = 0
    else:
        label[at(22, -20, 5)] = 1
    planted = label != truth
    regions, region_map = review(label, truth, geometry)
    top = regions[0]
    found = region_map == top.region_id
    assert (top.suspicion, top.label_value, top.class_name) == (suspicion, 1, "lesion")
    assert top.suggested_value == (1 if suspicion in ("too small", "missing") else 0)
    assert top.voxels == found.sum()
    assert top.size_mm3 == pytest.approx(found.sum() * geometry.voxel_volume)
    assert top.size_mm3 == pytest.approx(planted.sum() * geometry.voxel_volume, rel=0.2)
    assert (found & planted).sum() > 0.9 * found.sum()
    assert top.expected_wrong > 5 * sum(other.expected_wrong for other in regions[1:])


def test_the_centre_is_inside_and_the_box_is_tight(scene):
    geometry, truth, at = scene
    label = truth.copy()
    label[at(0, 14, 6)] = 1
    regions, region_map = review(label, truth, geometry)
    for region in regions:
        where = np.argwhere(region_map == region.region_id)[:, ::-1]
        assert region_map[region.centre_voxel[::-1]] == region.region_id
        assert tuple(where.min(axis=0)) == region.first_voxel
        assert tuple(where.max(axis=0)) == region.last_voxel
        assert region.centre_ras == geometry.index_to_ras(region.centre_voxel)


def test_a_ring_is_cut_into_pieces_one_can_look_at():
    geometry = grid((40, 80, 80))
    truth = ball((40, 80, 80), (20, 40, 40), 12, (1, 1, 1)).astype(np.uint8)
    label = ball((40, 80, 80), (20, 40, 40), 16, (1, 1, 1)).astype(np.uint8)
    regions, region_map = review(label, truth, geometry, limit=1000)
    assert len(regions) > 4
    assert {region.suspicion for region in regions} == {"too large"}
    for region in regions:
        extent = np.subtract(region.last_voxel, region.first_voxel) + 1
        assert extent.max() <= 2 * 32 / 3 + 1
    wrong = label != truth
    assert (wrong & (region_map > 0)).sum() > 0.8 * wrong.sum()


def test_whole_objects_are_not_cut():
    geometry = grid((30, 120, 120))
    truth = ball((30, 120, 120), (15, 30, 30), 8, (1, 1, 1)).astype(np.uint8)
    label = truth.copy()
    label[10:18, 60:64, 20:110] = 1
    regions, _ = review(label, truth, geometry)
    assert [(r.suspicion, r.voxels) for r in regions] == [("extra", 8 * 4 * 90)]


def test_mixed_up_classes_are_told_apart():
    geometry = grid((30, 60, 60))
    truth = np.zeros((30, 60, 60), np.uint8)
    truth[8:22, 15:45, 10:30] = 1
    truth[8:22, 15:45, 30:50] = 2
    label = truth.copy()
    label[10:20, 25:35, 24:30] = 2
    regions, _ = review(label, truth, geometry)
    top = regions[0]
    assert (top.label_value, top.class_name, top.suspicion, top.suggested_value) == (
        2,
        "vessel",
        "too large",
        1,
    )
    assert top.voxels == pytest.approx(600, rel=0.2)


def test_the_larger_error_comes_first_across_cases_with_different_voxels():
    fine, coarse = grid((40, 40, 40), (0.5,) * 3), grid((40, 40, 40), (2.0,) * 3)
    truth = np.zeros((40, 40, 40), np.uint8)
    truth[5:20, 5:20, 5:20] = 1
    lists = []
    for geometry, edge in ((fine, 9), (coarse, 6)):
        label = truth.copy()
        label[26 : 26 + edge, 26 : 26 + edge, 26 : 26 + edge] = 1
        lists.append(review(label, truth, geometry)[0])
    merged = rank_regions(lists)
    assert lists[0][0].voxels > lists[1][0].voxels
    assert [region.rank for region in merged] == list(range(1, len(merged) + 1))
    assert merged[0].size_mm3 == pytest.approx(6**3 * 8)


def test_trusted_voxels_are_in_no_region(scene):
    geometry, truth, at = scene
    label = truth.copy()
    label[at(0, 14, 6)] = 1
    trusted = at(0, 17, 4)
    regions, region_map = review(label, truth, geometry, trusted=trusted)
    assert not (region_map[trusted] > 0).any()
    assert not trusted[tuple(reversed(regions[0].centre_voxel))]
    _, nothing = review(label, truth, geometry, trusted=np.ones(label.shape, bool))
    assert not nothing.any()


def test_what_is_trusted_of_a_whole_object_is_left_out(scene):
    geometry, truth, at = scene
    absent = truth.copy()
    absent[at(-22, -22, 7)] = 0
    trusted = at(-22, -22, 2)
    regions, region_map = review(absent, truth, geometry, trusted=trusted)
    assert regions[0].suspicion == "missing"
    assert not (region_map[trusted] > 0).any()

    # somebody confirmed a part of this object: then it is not extra as a whole
    added = truth.copy()
    added[at(22, -20, 5)] = 1
    trusted = at(22, -20, 1.5)
    regions, region_map = review(added, truth, geometry, trusted=trusted)
    assert regions[0].suspicion == "too large"
    assert not (region_map[trusted] > 0).any()


def test_small_regions_are_dropped_and_the_list_is_limited(scene):
    geometry, truth, at = scene
    label = truth.copy()
    for di in (-20, 0, 20):
        label[at(24, di, 4)] = 1
    regions, region_map = review(label, truth, geometry, limit=2)
    assert len(regions) == 2
    assert set(np.unique(region_map)) == {0, 1, 2}
    assert review(label, truth, geometry, min_mm3=1e6)[0] == []


def test_an_empty_label_and_a_model_that_sees_something():
    geometry = grid((20, 20, 20))
    truth = np.zeros((20, 20, 20), np.uint8)
    truth[5:12, 5:12, 5:12] = 1
    regions, _ = review(np.zeros_like(truth), truth, geometry)
    assert [(r.suspicion, r.voxels) for r in regions] == [("missing", 343)]


def test_what_does_not_fit_is_refused():
    geometry = grid((10, 12))
    label, confidence, p = np.zeros((10, 12), int), np.ones((10, 12)), np.full((2, 10, 12), 0.5)
    with pytest.raises(EngineError, match="same grid") as caught:
        find_regions("a", label, confidence[:-1], p, geometry, NAMES)
    assert caught.value.code == "geometry-mismatch"
    label[3, 3] = 7
    with pytest.raises(EngineError, match="value 7") as caught:
        find_regions("a", label, confidence, p, geometry, NAMES)
    assert caught.value.code == "bad-label"


def test_regions_speak_of_label_values_where_classes_are_given_by_their_place(scene):
    geometry, truth, at = scene
    label = truth.copy()
    label[at(0, 14, 6)] = 0
    label[at(22, -20, 5)] = 1
    p = fuzzy_posterior(truth, geometry)
    found, where = find_regions("x", label, confidence_of(label, p), p, geometry, NAMES)
    values = {0: 0, 1: 1_000_000}
    names = {1_000_000: NAMES[1]}
    renamed, there = find_regions(
        "x", label, confidence_of(label, p), p, geometry, names, class_values=list(values.values())
    )
    assert {r.suspicion for r in found} >= {"too small", "extra"}
    assert (where == there).all()
    assert renamed == [
        replace(r, label_value=values[r.label_value], suggested_value=values[r.suggested_value]) for r in found
    ]


def test_no_class_is_mistaken_for_another_however_many_there_are():
    geometry = grid((10, 12))
    label = np.full((10, 12), 39_999)
    label[:, :6] = 0
    p = np.zeros((40_000, 10, 12), np.float32)
    p[0] = 1.0
    regions, _ = find_regions("x", label, 1 - np.float32(label > 0), p, geometry, {39_999: "last"})
    assert [(r.label_value, r.class_name, r.suspicion, r.suggested_value) for r in regions] == [
        (39_999, "last", "extra", 0)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 3), st.integers(2, 4))
def test_whatever_comes_in_regions_and_map_agree(seed, dims, classes):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 14, dims))
    geometry = grid(tuple(int(n) for n in shape), tuple(float(s) for s in rng.uniform(0.4, 3, dims)))
    label = rng.integers(0, classes, shape)
    p = rng.dirichlet(np.ones(classes), shape).transpose(-1, *range(dims))
    confidence, trusted = rng.random(shape), rng.random(shape) < 0.1
    regions, region_map = find_regions("x", label, confidence, p, geometry, {}, trusted, limit=5, min_mm3=0)
    assert region_map.shape == shape
    assert region_map.dtype == np.int32
    assert not (region_map[trusted] > 0).any()
    assert set(np.unique(region_map)) - {0} == {r.region_id for r in regions}
    for region in regions:
        inside = region_map == region.region_id
        assert inside.sum() == region.voxels
        assert inside[region.centre_voxel[::-1]]
        assert 0 <= region.lowest_confidence <= region.mean_confidence <= 1
        assert region.expected_wrong <= region.voxels
    volumes = [r.expected_wrong for r in regions]
    assert volumes == sorted(volumes, reverse=True)


DATA = os.environ.get("DALESEGMENT_DATA", "")
real_images = pytest.mark.skipif(not DATA, reason="DALESEGMENT_DATA names no folder of real images")


def read(path):
    image = sitk.ReadImage(str(path))
    geometry = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return sitk.GetArrayFromImage(image), geometry


@real_images
@pytest.mark.parametrize("case", ["L0057_n00", "L0044_n02", "L0058_n02", "L0043_n02"])
def test_top_regions_are_where_other_radiologists_disagree(case):
    """The votes of four as posterior: what is listed first for one of them must be what most others reject,
    far more than the voxels round the outline."""
    folder = Path(DATA) / "lidc_4rater" / case
    votes, geometry = read(folder / "votes.nii.gz")
    label, _ = read(folder / "rater1.nii.gz")
    share = votes / 4.0
    p = np.stack([1 - share, share])
    confidence = confidence_of(label, p)
    regions, region_map = find_regions(case, label, confidence, p, geometry, NAMES)
    outvoted = (votes >= 2) != label
    band = ndimage.binary_dilation(label, iterations=2) & ~ndimage.binary_erosion(label, iterations=2)
    top = np.isin(region_map, [r.region_id for r in regions[:5]])
    assert outvoted[top].mean() > 2 * outvoted[band].mean()
    assert outvoted[top].mean() > 0.5


@real_images
@pytest.mark.parametrize("name", ["hippocampus_001", "hippocampus_004"])
def test_a_hole_cut_into_a_real_label_comes_first(name):
    truth, geometry = read(Path(DATA) / "msd_hippocampus" / name / "label.nii.gz")
    label = truth.copy()
    surface = np.argwhere((truth == 2) & ~ndimage.binary_erosion(truth > 0))
    place = surface[len(surface) // 2]
    label[ball(truth.shape, place, 4, (1, 1, 1)) & (truth == 2)] = 0
    planted = label != truth
    regions, region_map = review(label, truth, geometry)
    top = region_map == regions[0].region_id
    assert (regions[0].suspicion, regions[0].label_value) == ("too small", 2)
    assert (top & planted).sum() > 0.7 * max(top.sum(), planted.sum())


@pytest.mark.slow
@real_images
def test_a_bulge_and_an_overlooked_part_of_a_large_tumour_come_first():
    folder = sorted((Path(DATA) / "sts_sarcoma").glob("STS_*"))[0]
    truth, geometry = read(folder / "mr_t1_label.nii.gz")
    sampling = geometry.spacing[::-1]
    depth = signed_mm(truth > 0, sampling)
    where = np.argwhere(np.abs(depth) < 2)
    bulge = ball(truth.shape, where[len(where) // 4], 8, sampling) & (truth == 0)
    bite = ball(truth.shape, where[3 * len(where) // 4], 8, sampling) & (truth > 0)
    label = truth.copy()
    label[bulge], label[bite] = 1, 0
    regions, _ = review(label, truth, geometry)
    assert {r.suspicion for r in regions[:2]} == {"too large", "too small"}
    for region in regions[:2]:
        planted = bulge if region.suspicion == "too large" else bite
        assert planted[region.centre_voxel[::-1]]
        assert region.size_mm3 == pytest.approx(planted.sum() * geometry.voxel_volume, rel=0.3)


def test_a_search_can_be_stopped_at_every_step(scene):
    geometry, truth, at = scene
    label = truth & ~at(0, 8, 8)
    looks = []
    with cancellable(lambda: looks.append(None)):
        found, _ = review(label, truth, geometry)
    assert [region.suspicion for region in found]
    assert len(looks) > 10

    def stop_at(last):
        left = iter(range(last))

        def check():
            if next(left, None) is None:
                raise Cancelled

        return check

    for last in range(len(looks)):
        with pytest.raises(Cancelled), cancellable(stop_at(last)):
            review(label, truth, geometry)
