"""Cases made small, labels spoiled, worst places trusted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.data_set import DataSet
from benchmarks.loading import Sample, _blocks, _cropped, _shrunk, load
from benchmarks.noise import KINDS, level_of, noisy_label
from benchmarks.small_plan import plan_for, slimmed
from benchmarks.trusted_voxels import foreground_band, trusted_masks
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.metrics.segmentation import mean_dice

SPLIT = {"train": {f"d{n:02d}" for n in range(6)}, "test": {f"d{n:02d}" for n in range(6, 10)}}


def box_sample() -> Sample:
    """A box of 8 x 8 x 4 voxels off the middle, in a turned volume; the image counts voxels along i."""
    geometry = Geometry((32, 30, 6), (1.0, 1.0, 2.5), (5.0, -3.0, 7.0), (0, 1, 0, -1, 0, 0, 0, 0, 1))
    label = np.zeros(geometry.array_shape, np.uint8)
    label[1:5, 10:18, 20:28] = 1
    image = np.broadcast_to(np.arange(32, dtype=np.float32), geometry.array_shape)[None].copy()
    other = np.roll(label, 2, axis=1)
    return Sample(Case("box", image, geometry, label=label), [label.copy(), other])


def middle_of(sample: Sample) -> np.ndarray:
    """RAS mm of the middle of the label."""
    kji = np.argwhere(sample.case.label > 0).mean(0)
    return np.array(sample.case.geometry.index_to_ras(tuple(reversed(kji))))


def test_the_window_holds_the_lesion_and_it_stays_where_it_was():
    whole = box_sample()
    part = _cropped(whole, 16)
    assert part.case.label.shape == (6, 16, 16)
    assert part.case.label.sum() == whole.case.label.sum()
    assert part.raters[1].sum() == whole.raters[1].sum()
    np.testing.assert_allclose(middle_of(part), middle_of(whole))
    # the image went along: it still counts the voxels of the whole
    first = round(float(part.case.image[0, 0, 0, 0]))
    assert whole.case.label[2, 12, first + int(np.argwhere(part.case.label)[0][2])] == 1


def test_blocks_average_the_image_and_vote_on_the_label_without_moving_it():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert _blocks(image, 2, 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    label = np.array([[0, 2, 1, 1], [2, 2, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], np.int16)
    assert _blocks(label, 2, 2).tolist() == [[2, 1], [0, 0]]
    small = _shrunk(box_sample(), 2)
    assert small.case.geometry.spacing == (2.0, 2.0, 5.0)
    assert small.case.label.shape == (3, 15, 16)
    # the box starts on an odd slice, so that only its middle is a whole block; in the plane nothing may move
    np.testing.assert_allclose(middle_of(small)[:2], middle_of(box_sample())[:2])


def test_raters_disagreement_is_one_minus_their_dice():
    assert box_sample().disagreement == pytest.approx(1 - 6 / 8)
    assert Sample(box_sample().case).disagreement is None


@pytest.mark.parametrize("kind", KINDS)
def test_noise_depends_on_seed_and_case_alone_and_leaves_the_truth(kind):
    sample = box_sample()
    truth = sample.case.label.copy()
    level = level_of(kind, volumes=True)
    many = [noisy_label(sample, kind, level, seed) for seed in range(12)]
    again = noisy_label(sample, kind, level, 3)
    assert np.array_equal(again, many[3])
    assert np.array_equal(sample.case.label, truth)
    differ = sum(not np.array_equal(m, truth) for m in many)
    if kind == "none":
        assert differ == 0
    elif kind in ("affine", "markov", "biased", "sr", "se", "sde"):
        assert differ == 12
    else:  # some cases are spared: a fifth by morph, the most by missed, half by the rater who is the truth
        assert 0 < differ < 12
    if kind == "biased":
        assert all(np.array_equal(m, many[0]) for m in many)
    if kind == "missed":
        assert {int(m.sum()) for m in many} == {0, int(truth.sum())}


def test_the_worst_stretch_is_trusted_with_both_its_sides_and_within_the_share():
    truth = np.zeros((40, 40), np.int16)
    truth[10:30, 10:30] = 1
    label = truth.copy()
    label[15:25, 30:34] = 1  # the worst: too large by four
    label[15:25, 10:12] = 0  # too small by two
    labels, truths, spacings = [label, truth], [truth, truth], [(1.0, 1.0)] * 2
    none, some, many = (trusted_masks(labels, truths, spacings, share) for share in (0.0, 0.1, 1.0))
    assert not any(m.any() for m in none)
    for mask, given in zip(some, labels, strict=True):
        assert 0 < mask.sum() <= 0.1 * foreground_band(given, (1.0, 1.0)).sum()
    assert some[0][:, 30:34].any()
    assert some[0][:, 28:30].any()
    assert some[0][:, 34:36].any()
    assert not some[0][:, :20].any()
    assert ((truth > 0) & some[1]).any()
    assert ((truth == 0) & some[1]).any()
    assert (many[0] >= (label != truth)).all()


def test_a_label_that_is_empty_has_the_missed_object_corrected():
    truth = np.zeros((20, 20), np.int16)
    truth[8:12, 8:12] = 1
    (mask,) = trusted_masks([np.zeros_like(truth)], [truth], [(1.0, 1.0)], 1.0)
    assert not mask.any()  # no outline, no band, nothing to spend


def test_networks_are_slimmed_in_width_and_depth():
    arguments = {"channels": [16, 32, 64, 128], "strides": [[2, 2]] * 3, "norm": "INSTANCE"}
    assert slimmed(arguments, 0.5, 3) == {"channels": [8, 16, 32], "strides": [[2, 2]] * 2, "norm": "INSTANCE"}
    assert slimmed({"init_filters": 16, "blocks_down": [1, 2]}, 0.3) == {"init_filters": 8, "blocks_down": [1, 2]}


def test_each_draw_has_cases_of_its_own_and_keeps_to_the_split(tiny_data):
    wanted = DataSet(name="discs", train=3, test=2)
    parts = {
        split: [[s.case.name for s in load(wanted, tiny_data, split, draw)] for draw in range(6)] for split in SPLIT
    }
    for split, names in SPLIT.items():
        assert all(set(drawn) <= names for drawn in parts[split])
        assert len({tuple(sorted(drawn)) for drawn in parts[split]}) > 2
        assert set().union(*parts[split]) == names
    load.cache_clear()
    assert [s.case.name for s in load(wanted, tiny_data, "train", 3)] == parts["train"][3]


def test_cases_of_a_patient_are_known_by_their_names(tiny_data):
    of_names = DataSet(name="discs", train=6, test=1, patient=r"d\d")
    assert {s.patient for s in load(of_names, tiny_data, "train", 0)} == {"d0"}
    alone = load(DataSet(name="discs", train=6, test=1), tiny_data, "train", 0)
    assert [s.patient for s in alone] == [s.case.name for s in alone]


def test_a_folder_that_is_in_no_list_is_loaded_and_planned(tiny_data):
    wanted = DataSet(name="discs", train=4, test=9, batch=3)
    training, test = load(wanted, tiny_data, "train", 0), load(wanted, tiny_data, "test", 0)
    assert (len(training), len(test)) == (4, 4)
    assert not {s.case.name for s in training} & {s.case.name for s in test}
    plan = plan_for(training, wanted, "UNet", "cpu")
    assert (plan.dims, plan.batch_size, plan.class_values) == (2, 3, [0, 1])
    assert mean_dice(training[0].case.label, training[0].case.label) == 1.0
