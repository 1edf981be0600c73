"""What intensities say where label and network disagree, and the outline that follows from all three."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.dale.correctors.image_evidence import (
    DEFAULT,
    ClassEvidence,
    class_evidence,
    is_systematic,
    preference_auc,
    ramp,
    refine_mask,
)
from DALESegmentLib.engine.metrics.segmentation import mean_dice

SIZE, MIDDLE = 48, 23.5


def disc(radius: float, middle: tuple[float, float] = (MIDDLE, MIDDLE)) -> np.ndarray:
    x, y = np.indices((SIZE, SIZE))
    return np.hypot(x - middle[0], y - middle[1]) < radius


def seen(truth: np.ndarray, contrast: float = 4.0, seed: int = 0) -> np.ndarray:
    """(1, *grid), brighter inside, with noise of spread 1."""
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    return (contrast * truth + noise)[None].astype(np.float32)


def only(image, label, network, **more) -> ClassEvidence:
    (evidence,) = class_evidence(image, label.astype(np.int16), network.astype(np.int16), (1.0,) * label.ndim, **more)
    return evidence


def whole(label: np.ndarray, evidence: ClassEvidence, image_trust: float) -> np.ndarray:
    out = label.astype(np.int16)
    out[evidence.box] = refine_mask(label.astype(np.int16), evidence, image_trust)
    return out


@pytest.mark.parametrize("label", [disc(8), disc(16), disc(12, (MIDDLE + 4, MIDDLE))], ids=["small", "large", "moved"])
def test_a_wrong_outline_is_drawn_where_the_object_is_seen_to_end(label):
    truth = disc(12)
    evidence = only(seen(truth), label, truth)
    assert evidence.separability == 1.0
    assert mean_dice(label, truth) < 0.82
    assert mean_dice(whole(label, evidence, 1.0), truth) > 0.95


def test_an_outline_is_left_to_the_voxel_where_the_image_is_not_trusted():
    label = disc(8)
    assert np.array_equal(whole(label, only(seen(disc(12)), label, disc(12)), 0.0), label)


def test_an_image_that_shows_nothing_has_no_say():
    label = disc(8)
    evidence = only(seen(disc(12), contrast=0.0), label, disc(12))
    assert evidence.separability == 0.0
    assert np.array_equal(whole(label, evidence, 1.0), label)


def sided(labels: list[np.ndarray], networks: list[np.ndarray], truth: np.ndarray) -> float:
    found = [only(seen(truth, seed=n), label, net) for n, (label, net) in enumerate(zip(labels, networks, strict=True))]
    return preference_auc(np.sum([o.separability * o.disagreement_histograms for o in found], axis=0))


def test_the_preference_is_for_whoever_is_right():
    truth = disc(12)
    wrong = [disc(r, (MIDDLE + dx, MIDDLE)) for r in (10, 11, 13, 14) for dx in (-1, 0, 1)]
    right = [truth] * len(wrong)
    assert sided(wrong, right, truth) > 0.9
    assert sided(right, wrong, truth) < 0.1


def test_systematic_is_nearly_all_and_by_much():
    assert is_systematic([0.3, 0.4, 0.35, 0.2, 0.5, 0.3])
    assert is_systematic([-0.3, -0.4, -0.35, 0.1, -0.5, -0.3])
    assert not is_systematic([0.3, -0.4, 0.35, -0.2, 0.5, -0.3])
    assert not is_systematic([0.03, 0.04, 0.03, 0.02, 0.05])
    assert is_systematic([0.3, -0.3, 0.1, 0.0]), "too few to tell"


def test_without_disputes_nobody_is_sided_with():
    assert preference_auc(np.zeros((2, DEFAULT.histogram_bins))) == 0.5
    few = np.zeros((2, DEFAULT.histogram_bins))
    few[0, -1], few[1, 0] = 1000, DEFAULT.min_disputes - 1
    assert preference_auc(few) == 0.5


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=300, max_size=300), st.lists(st.integers(0, 40), min_size=300, max_size=300)
)
def test_the_preference_is_the_share_of_pairs_the_network_wins(network, label):
    a, b = np.array(network), np.array(label)
    pairs = (a[:, None] > b).mean() + (a[:, None] == b).mean() / 2
    disputes = np.stack([np.bincount(x, minlength=DEFAULT.histogram_bins) for x in (a, b)])
    assert preference_auc(disputes) == pytest.approx(pairs)


def test_classes_grow_into_background_only_and_others_stay():
    first, second = disc(10, (14, MIDDLE)), disc(10, (33, MIDDLE))
    label = np.where(first, 1, np.where(second, 2, 0)).astype(np.int16)
    image = seen(disc(13, (14, MIDDLE)) | disc(13, (33, MIDDLE)))
    network = np.where(disc(13, (14, MIDDLE)), 1, np.where(disc(13, (33, MIDDLE)), 2, 0))
    for evidence in class_evidence(image, label, network, (1.0, 1.0)):
        inside = refine_mask(label, evidence, 1.0)
        other = label[evidence.box] == 3 - evidence.value
        assert not inside[other].any()
        assert inside.sum() > (label == evidence.value).sum()


def test_slices_nobody_outlined_stay_empty():
    truth = np.stack([disc(12)] * 3 + [np.zeros((SIZE, SIZE), bool)])
    label = np.stack([disc(9)] * 3 + [np.zeros((SIZE, SIZE), bool)])
    image = np.stack([seen(disc(12), seed=n)[0] for n in range(4)])[None]
    evidence = only(image, label, truth, slice_axis=0)
    anew = whole(label, evidence, 1.0)
    assert not anew[3].any()
    assert mean_dice(anew[:3], truth[:3]) > 0.95


def test_an_object_that_is_everywhere_or_too_small_is_left_alone():
    everywhere, dot = np.ones((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
    dot[3, 3] = True
    for label in (everywhere, dot):
        assert not list(class_evidence(seen(label), label.astype(np.int16), label.astype(np.int16), (1.0, 1.0)))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**16),
    st.sampled_from([(12, 10), (7, 9, 5)]),
    st.sampled_from([None, 0]),
    st.floats(0.0, 1.0),
    st.floats(0.3, 3.0),
)
def test_any_label_and_network_give_an_answer_of_the_same_classes(seed, shape, slice_axis, image_trust, step):
    random = np.random.default_rng(seed)
    label, network = (random.integers(0, 3, shape).astype(np.int16) for _ in range(2))
    image = random.normal(size=(2, *shape)).astype(np.float32)
    for evidence in class_evidence(image, label, network, (step, *(1.0,) * (len(shape) - 1)), slice_axis):
        inside = refine_mask(label, evidence, image_trust)
        assert inside.shape == label[evidence.box].shape
        others = (label[evidence.box] > 0) & (label[evidence.box] != evidence.value)
        assert not inside[others].any()
        assert np.isfinite(evidence.log_odds).all()


def test_trust_rises_between_its_bounds():
    assert [ramp(x, DEFAULT.separable) for x in (0.5, 0.90, 0.94, 0.98, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
