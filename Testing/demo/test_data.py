"""What is laid out is what the notes say it is, and test cases are never learned from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from demo_cases import GEOMETRY, ball
from scipy import ndimage

from DALESegmentLib.demo.data_brain import _template, brain_data
from DALESegmentLib.demo.data_folder import MARGIN_MM, folder_data
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import read_image, read_label, write_image
from DALESegmentLib.engine.metrics.segmentation import mean_dice


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    pytest.importorskip("nilearn", reason="the brain comes with nilearn")
    return brain_data(tmp_path_factory.mktemp("brain") / "data", seed=3)


@pytest.fixture
def three_raters(rater_folder, tmp_path):
    data = folder_data(rater_folder, tmp_path / "data", seed=3)
    data.describe()
    return data


@pytest.mark.slow
def test_blocks_share_no_voxel_and_no_mirror_image(brain):
    boxes = []
    for name in (*brain.train, *brain.test):
        _, place = read_image(brain.path(name, "image"))
        corners = [place.index_to_ras(c) for c in ((-0.5,) * 3, tuple(n - 0.5 for n in place.size))]
        boxes.append((np.min(corners, axis=0), np.max(corners, axis=0)))
    assert not set(brain.train) & set(brain.test)
    assert all(high[0] <= 0 for _, high in boxes)  # the template is symmetric: left half only
    for n, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:n]:
            assert (np.minimum(high, other_high) - np.maximum(low, other_low)).min() <= 1e-3


def test_a_block_lies_where_it_was_cut_from(brain):
    truth, whole = _template("wm")
    reference, place = read_label(brain.path(brain.test[0], "reference"))
    last = tuple(n - 1 for n in place.size)
    for index in ((0, 0, 0), (20, 30, 12), last):
        there = tuple(round(n) for n in whole.ras_to_index(place.index_to_ras(index)))
        assert reference[index[::-1]] == (truth[there[::-1]] > 127)
    assert 0.08 < reference.mean() < 0.9


def test_the_label_is_as_bad_as_the_note_says(brain):
    scores = []
    for name in (*brain.train, *brain.test):
        label, reference = (read_label(brain.path(name, role))[0] for role in ("label", "reference"))
        scores.append(mean_dice(label, reference))
    assert f"{np.mean(scores):.3f}" in brain.notes[-1]
    assert 0.6 < min(scores) < max(scores) < 0.95


def test_with_raters_no_noise_is_added(three_raters, rater_folder):
    for name in (*three_raters.train, *three_raters.test):
        label, place = read_label(three_raters.path(name, "label"))
        reference, _ = read_label(three_raters.path(name, "reference"))
        raters = []
        for number in (1, 2, 3):
            drawn, whole = read_label(rater_folder / name / f"rater{number}.nii.gz")
            first = np.rint(whole.ras_to_index(place.index_to_ras((0, 0, 0)))).astype(int)
            box = tuple(slice(f, f + n) for f, n in zip(first[::-1], place.array_shape, strict=True))
            assert drawn[box].sum() == drawn.sum()
            raters.append(drawn[box])
        assert any((label == drawn).all() for drawn in raters)
        assert ((np.sum(raters, axis=0) >= 2) == (reference > 0)).all()


def test_the_cut_leaves_the_margin_it_names(three_raters, rater_folder):
    name = three_raters.train[0]
    _, place = read_image(three_raters.path(name, "image"))
    drawn = np.any([read_label(rater_folder / name / f"rater{n}.nii.gz")[0] for n in (1, 2, 3)], axis=0)
    tall = np.ptp(np.flatnonzero(drawn.any(axis=(0, 2)))) + 1
    assert place.size[1] == tall + 2 * MARGIN_MM
    assert any(f"{MARGIN_MM:g} mm" in note for note in three_raters.notes)


@pytest.mark.slow
def test_the_same_seed_draws_the_same_labels(rater_folder, tmp_path):
    first, again, other = (folder_data(rater_folder, tmp_path / n, s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert (first.train, first.test) == (again.train, again.test)
    labels = [[read_label(d.path(n, "label"))[0] for n in sorted(d.train + d.test)] for d in (first, again, other)]
    assert all((a == b).all() for a, b in zip(labels[0], labels[1], strict=True))
    assert any((a != b).any() for a, b in zip(labels[0], labels[2], strict=True))


def test_the_folder_is_one_that_can_be_opened(three_raters):
    sources = find_cases(three_raters.folder)
    assert {s.name for s in sources if s.split == "test"} == set(three_raters.test)
    assert all(s.label is not None and s.reference is not None for s in sources)


def test_a_split_that_is_given_is_kept(rater_folder, tmp_path):
    folder = tmp_path / "source"
    shutil.copytree(rater_folder, folder)
    split = {"train": ["case0", "case1"], "test": ["case5"]}
    (folder / "split.json").write_text(json.dumps(split))
    data = folder_data(folder, tmp_path / "data", seed=0)
    assert set(data.train) == {"case0", "case1"}
    assert data.test == ("case5",)


def without_raters(folder, cases, image=None):
    for number in range(cases):
        truth = ball(centre=(28 + 3 * number, 31, 8))
        write_image(folder / f"c{number}" / "image.nii.gz", truth * 100 if image is None else image, GEOMETRY)
        write_image(folder / f"c{number}" / "label.nii.gz", truth, GEOMETRY)
    return folder


def test_without_raters_noise_is_added_to_the_label_and_the_note_names_it(tmp_path):
    data = folder_data(without_raters(tmp_path / "source", 3), tmp_path / "data", seed=0)
    for name in (*data.train, *data.test):
        label, reference = (read_label(data.path(name, role))[0] for role in ("label", "reference"))
        assert reference.sum() == ball().sum()
        assert 0.6 < mean_dice(label, reference) < 0.97
    assert any("spoiled on purpose" in note for note in data.notes)


def test_slices_that_were_scaled_one_by_one_are_normalised_one_by_one(tmp_path):
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GEOMETRY.array_shape), 1.5)
    low, high = (f(smooth, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    scaled = np.rint(255 * (smooth - low) / (high - low))
    slices = folder_data(without_raters(tmp_path / "a", 2, scaled), tmp_path / "data-a", seed=0)
    whole = folder_data(without_raters(tmp_path / "b", 2, smooth), tmp_path / "data-b", seed=0)
    assert slices.normalise == "slice"
    assert any("slice by slice" in note for note in slices.notes)
    assert whole.normalise is None


def test_one_case_is_too_few(tmp_path):
    with pytest.raises(EngineError) as caught:
        folder_data(without_raters(tmp_path / "source", 1), tmp_path / "data", seed=0)
    assert caught.value.code == "too-few-cases"
