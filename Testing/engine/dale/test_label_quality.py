"""Label quality and label issues of arrays as other tools write them: any model, dtype, dimension."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from DALESegmentLib.engine.dale.config import LabelQualityConfig, ReviewListConfig
from DALESegmentLib.engine.dale.issues import find_label_issues, find_regions
from DALESegmentLib.engine.dale.label_state import LabelDisagreement, LabelState
from DALESegmentLib.engine.dale.quality import DEFAULT, Recalibration, label_quality
from DALESegmentLib.engine.geometry.grid import Geometry

SPACING = (2.5, 0.8, 0.8)


def phantom(shape=(16, 60, 56), spacing=SPACING, classes=3):
    """Two balls of different classes and a model that knows them and is unsure at their outlines."""
    truth = np.zeros(shape, np.int16)
    axes = np.indices(shape).astype(float)
    for value in range(1, classes):
        centre = [n * (0.5 if axis < len(shape) - 1 else value / classes) for axis, n in enumerate(shape)]
        far = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing, strict=True))
        truth[far <= 8.0**2] = value
    one_hot = [
        ndimage.gaussian_filter((truth == value).astype(float), [1.0 / step for step in spacing])
        for value in range(classes)
    ]
    probs = np.stack(one_hot) + 1e-3
    return truth, (probs / probs.sum(axis=0)).astype(np.float32)


def with_errors(truth, spacing=SPACING):
    """The second ball is missing its upper half; something is drawn where nothing is."""
    label = truth.copy()
    label[:, : truth.shape[1] // 2][truth[:, : truth.shape[1] // 2] == 2] = 0
    label[5:9, 2:12, 20:30] = 1
    return label


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float64, (3, 4, 5), elements=st.floats(0.01, 1)),
    hnp.arrays(np.int64, (4, 5), elements=st.integers(0, 2)),
    st.floats(0.3, 3.0),
)
def test_without_a_prior_it_is_the_odds_of_the_label_against_its_rival(raw, labels, temperature):
    probs = raw / raw.sum(axis=0)
    given_p = np.take_along_axis(probs, labels[None], 0)[0]
    rival = np.where(np.arange(3)[:, None, None] == labels, 0, probs).max(axis=0)
    odds = (given_p / rival) ** (1 / temperature)
    asked = {"distance_prior": False, "temperature": temperature}
    bare = LabelQualityConfig(calibration_slope=1.0, calibration_intercept=0.0)
    found = label_quality(labels, probs, **asked, config=bare)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, odds / (1 + odds), rtol=1e-4)

    calibrated = odds**DEFAULT.calibration_slope * np.exp(DEFAULT.calibration_intercept)
    np.testing.assert_allclose(label_quality(labels, probs, **asked), calibrated / (1 + calibrated), rtol=1e-4)


def test_calibration_keeps_the_order_of_all_voxels():
    truth, probs = phantom()
    bare = LabelQualityConfig(calibration_slope=1.0, calibration_intercept=0.0)
    closed_form = label_quality(with_errors(truth), probs, spacing=SPACING, config=bare).ravel()
    calibrated = label_quality(with_errors(truth), probs, spacing=SPACING).ravel()
    assert np.diff(closed_form[np.argsort(calibrated)]).min() > -1e-6
    assert (calibrated[closed_form < 0.5] > closed_form[closed_form < 0.5]).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_the_type_of_the_probabilities_matters_only_by_its_rounding(kind):
    truth, probs = phantom()
    label = with_errors(truth)
    reference = label_quality(label, probs, spacing=SPACING)
    found = label_quality(label.astype(np.float64), probs.astype(kind), spacing=SPACING)
    assert found.dtype == np.float32
    assert found.shape == label.shape
    sure = np.abs(probs.max(axis=0) - 0.5) > 0.01  # elsewhere the rounding may decide what contradicts the label
    assert np.abs(found - reference)[sure].max() < 0.01


def test_tensors_and_turned_arrays_are_taken():
    truth, probs = phantom()
    label = with_errors(truth)
    reference = label_quality(label, probs, spacing=SPACING)
    tensors = label_quality(torch.from_numpy(label), torch.from_numpy(probs).requires_grad_(), spacing=SPACING)
    np.testing.assert_array_equal(tensors, reference)
    turned = label_quality(
        label[:, ::-1].transpose(2, 1, 0), probs[:, :, ::-1].transpose(0, 3, 2, 1), spacing=SPACING[::-1]
    )
    np.testing.assert_allclose(turned, reference[:, ::-1].transpose(2, 1, 0), atol=1e-5)


def test_nothing_given_is_changed():
    truth, probs = phantom()
    label, reviewed = with_errors(truth), np.zeros(truth.shape, bool)
    before = label.copy(), probs.copy()
    for array in (label, probs, reviewed):
        array.flags.writeable = False
    quality = label_quality(label, probs, spacing=SPACING, reviewed=reviewed)
    find_label_issues(label, probs, spacing=SPACING, quality=quality, reviewed=reviewed)
    np.testing.assert_array_equal(label, before[0])
    np.testing.assert_array_equal(probs, before[1])


def test_reviewed_voxels_are_trusted_and_part_of_no_issue():
    truth, probs = phantom()
    label = with_errors(truth)
    reviewed = np.zeros(label.shape, bool)
    reviewed[:, :30] = True
    assert (label_quality(label, probs, spacing=SPACING, reviewed=reviewed)[reviewed] == 1).all()
    assert find_label_issues(label, probs, spacing=SPACING)
    for issue in find_label_issues(label, probs, spacing=SPACING, reviewed=reviewed):
        assert not reviewed[issue.slices][issue.mask].any()


def test_disagreement_counts_where_it_was_seen():
    truth, probs = phantom()
    values = np.full(truth.shape, np.nan, np.float32)
    values[:8] = 0.99
    alone = label_quality(truth, probs, distance_prior=False)
    found = label_quality(truth, probs, distance_prior=False, disagreement=values)
    np.testing.assert_array_equal(found[8:], alone[8:])
    assert (found[:8] < alone[:8]).mean() > 0.9
    pair = LabelDisagreement(torch.from_numpy(np.nan_to_num(values, nan=0.3)), torch.from_numpy(~np.isnan(values)))
    np.testing.assert_array_equal(label_quality(truth, probs, distance_prior=False, disagreement=pair), found)


def test_a_calibrator_is_applied_before_what_was_reviewed():
    truth, probs = phantom()
    wrong = Recalibration(looks=(100.0,) * 11, right=(0.0,) * 11)
    reviewed = np.zeros(truth.shape, bool)
    reviewed[0] = True
    found = label_quality(truth, probs, spacing=SPACING, calibrator=wrong, reviewed=reviewed)
    assert (found[0] == 1).all()
    assert found[1:].max() < 0.05


def test_the_prior_follows_the_ratios_of_the_spacing_alone():
    truth, probs = phantom()
    twice = tuple(2 * step for step in SPACING)
    found = label_quality(truth, probs, spacing=SPACING)
    np.testing.assert_allclose(label_quality(truth, probs, spacing=twice), found, atol=1e-5)
    assert np.abs(label_quality(truth, probs) - found).max() > 0.01  # without, edges are equal


def test_the_numbers_of_the_configs_are_those_that_are_used():
    truth, probs = phantom()
    label, even = with_errors(truth), LabelQualityConfig(agreement_log_odds=0.0)
    found = label_quality(label, probs, spacing=SPACING, config=even)
    np.testing.assert_array_equal(found, label_quality(label, probs, distance_prior=False))
    looks = Recalibration((1.0,) * 11, (0.0,) * 11)
    strict, mild = (
        label_quality(label, probs, calibrator=looks, config=LabelQualityConfig(recalibration_prior=prior)).mean()
        for prior in (0.1, 10.0)
    )
    assert strict < 0.5 * mild
    usual = find_label_issues(label, probs, spacing=SPACING)
    sizes = [issue.voxels for issue in usual]
    large = find_label_issues(label, probs, spacing=SPACING, config=ReviewListConfig(min_voxels=max(sizes)))
    assert 0 < len(large) < len(usual)
    cut = find_label_issues(label, probs, spacing=SPACING, config=ReviewListConfig(pieces_across=12.0))
    assert len(cut) > len(usual)
    assert not find_label_issues(
        label, probs, spacing=SPACING, config=ReviewListConfig(excess_doubt=1.0, contradicted_doubt=1.0)
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_planted_errors_are_found_and_described(dims):
    shape, spacing = ((60, 56), (0.8, 0.8)) if dims == 2 else ((16, 60, 56), SPACING)
    truth, probs = phantom(shape, spacing)
    label = truth.copy()
    upper = np.index_exp[..., : shape[-2] // 2, :]
    label[upper][truth[upper] == 2] = 0
    label[..., 2:12, 20:30] = 1
    issues = find_label_issues(label, probs, spacing=spacing)
    kinds = {(issue.suspicion, issue.label_class, issue.given_class, issue.suggested_class) for issue in issues}
    assert {("too small", 2, 0, 2), ("extra", 1, 1, 0)} <= kinds
    wrong = label != truth
    for issue in issues:
        values, quality = label[issue.slices][issue.mask], label_quality(label, probs, spacing=spacing)
        assert (values == issue.given_class).all()
        assert issue.mask.sum() == issue.voxels == len(values)
        assert issue.volume_mm3 == pytest.approx(issue.voxels * np.prod(spacing))
        assert issue.mean_quality == pytest.approx(quality[issue.slices][issue.mask].mean(), abs=1e-5)
        assert issue.lowest_quality == pytest.approx(quality[issue.slices][issue.mask].min(), abs=1e-5)
        assert issue.mask[tuple(c - s.start for c, s in zip(issue.centre, issue.slices, strict=True))]
        for axis in range(dims):  # the box is tight
            assert issue.mask.any(axis=tuple(a for a in range(dims) if a != axis))[[0, -1]].all()
        assert issue.bbox == tuple(zip(*((s.start, s.stop - 1) for s in issue.slices), strict=True))
        assert wrong[issue.slices][issue.mask].mean() > 0.8
    expected = [issue.expected_wrong for issue in issues]
    assert expected == sorted(expected, reverse=True)
    assert len(find_label_issues(label, probs, spacing=spacing, max_regions=1)) == 1
    assert not find_label_issues(label, probs, spacing=spacing, min_volume=1e6)


def test_the_review_list_is_made_of_the_same_issues():
    truth, probs = phantom()
    label = with_errors(truth)
    geometry = Geometry(label.shape[::-1], SPACING[::-1], (0.0,) * 3, tuple(np.eye(3).ravel()))
    quality = label_quality(label, probs, spacing=SPACING)
    regions, region_map = find_regions("case", label, quality, probs, geometry, {})
    issues = find_label_issues(label, probs, spacing=SPACING)
    assert len(regions) == len(issues) > 1
    for region, issue in zip(regions, issues, strict=True):
        assert region.centre_voxel == issue.centre[::-1]
        assert (region_map[issue.slices] == region.region_id)[issue.mask].all()
        assert (region_map == region.region_id).sum() == issue.voxels
        assert (region.suspicion, region.suggested_value) == (issue.suspicion, issue.suggested_class)


def test_what_nnu_net_writes_can_be_looked_at_as_it_is(tmp_path):
    """`probabilities` (K, z, y, x) float16 of an .npz beside a segmentation, and the spacing in the same order."""
    truth, probs = phantom()
    np.savez_compressed(tmp_path / "case_001.npz", probabilities=probs.astype(np.float16))
    label = with_errors(truth)
    with np.load(tmp_path / "case_001.npz") as stored:
        found = stored["probabilities"]
    assert found.dtype == np.float16
    issues = find_label_issues(label, found, spacing=SPACING)
    assert {issue.suspicion for issue in issues} >= {"too small", "extra"}
    hit = np.zeros(label.shape, bool)
    for issue in issues:
        hit[issue.slices] |= issue.mask
    wrong = label != truth
    assert (hit & wrong).sum() > 0.75 * wrong.sum()
    assert (hit & wrong).sum() > 0.9 * hit.sum()


def of(**changes):
    truth, probs = phantom((12, 14), (1.0, 1.0))
    return {"labels": truth, "probs": probs, "spacing": (1.0, 1.0)} | changes


BROKEN = of()["probs"].copy()
BROKEN[0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": np.zeros(14, int)}, "labels have the shape (14,); give those of one image, in 2D or 3D."),
        ({"labels": np.zeros((12, 13), int)}, "labels have the shape (12, 13), but probs (3, 12, 14); give probs the"),
        ({"probs": np.moveaxis(of()["probs"], 0, -1)}, "but probs (12, 14, 3); give probs the classes as their first"),
        ({"probs": np.ones((1, 12, 14))}, "probs hold one class; add the background's"),
        ({"probs": np.ones((3, 12, 14), np.uint8)}, "probs are of the type uint8; give the softmax output"),
        ({"probs": np.log(of()["probs"])}, "if they are logits, apply softmax over the classes first."),
        ({"probs": 2 * of()["probs"]}, "probs sum to between 2 and 2 over their first axis"),
        ({"probs": BROKEN}, "probs hold values that are NaN or infinite"),
        ({"labels": np.full((12, 14), 3)}, "labels hold the class 3, but probs have 3 classes, 0 to 2; number the"),
        ({"labels": np.full((12, 14), -1)}, "labels hold the class -1, but probs have 3 classes"),
        ({"labels": np.full((12, 14), 0.5)}, "labels hold values that are no whole numbers"),
        ({"labels": np.full((12, 14), np.nan)}, "labels hold values that are no whole numbers"),
        ({"spacing": (1.0, 1.0, 1.0)}, "spacing is (1.0, 1.0, 1.0); give 2 numbers above 0"),
        ({"spacing": (1.0, 0.0)}, "spacing is (1.0, 0.0); give 2 numbers above 0"),
        ({"labels": np.full((12, 14), np.inf)}, "labels hold values that are no whole numbers"),
        ({"spacing": 3.0}, "spacing is 3.0; give 2 numbers above 0"),
        ({"spacing": ("a", "b")}, "spacing is ('a', 'b'); give 2 numbers above 0"),
        ({"spacing": (1.0, np.nan)}, "spacing is (1.0, nan); give 2 numbers above 0"),
        ({"reviewed": np.zeros((3, 3), bool)}, "reviewed has the shape (3, 3), but labels have (12, 14)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(changes, told):
    arrays = of(**changes)
    labels, probs = arrays.pop("labels"), arrays.pop("probs")
    for function in (label_quality, find_label_issues):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            function(labels, probs, **arrays)
        assert told in str(caught.value)
        assert str(caught.value).count("\n") == 0


def test_what_only_one_of_them_takes_is_checked_too():
    arrays = of()
    labels, probs = arrays.pop("labels"), arrays.pop("probs")
    with pytest.raises(ValueError, match=r"quality holds 1\.5; its values must lie between 0 and 1"):
        find_label_issues(labels, probs, quality=np.full(labels.shape, 1.5), **arrays)
    with pytest.raises(ValueError, match="quality holds nan"):
        find_label_issues(labels, probs, quality=np.full(labels.shape, np.nan), **arrays)
    for wrong in (-1, 2.5, None):
        with pytest.raises(ValueError, match=f"max_regions is {wrong}; give a whole number not below 0"):
            find_label_issues(labels, probs, max_regions=wrong, **arrays)
    with pytest.raises(ValueError, match="min_volume is '3'; give a number not below 0"):
        find_label_issues(labels, probs, min_volume="3", **arrays)
    with pytest.raises(ValueError, match=r"calibrator is 0\.5; give a Recalibration"):
        label_quality(labels, probs, calibrator=0.5, **arrays)
    with pytest.raises(ValueError, match=r"whole LabelState; give what its disagreement_of\(labels\) returns"):
        label_quality(labels, probs, disagreement=LabelState(torch.as_tensor(labels)), **arrays)
    with pytest.raises(ValueError, match="temperature is None"):
        label_quality(labels, probs, temperature=None, **arrays)
    with pytest.raises(ValueError, match=r"disagreement holds 2\.0"):
        label_quality(labels, probs, disagreement=np.full(labels.shape, 2.0), **arrays)
    with pytest.raises(ValueError, match="temperature is 0"):
        label_quality(labels, probs, temperature=0, **arrays)
