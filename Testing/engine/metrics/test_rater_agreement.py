"""The consensus of raters, and each one's bias and noise, on real labels that simulated raters draw anew."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from DALESegmentLib.engine.io.case_files import read_case, read_reference
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.metrics.rater_agreement import (
    Consensus,
    consensus_label,
    rated_case,
    rater_rows,
    rater_sentence,
)
from DALESegmentLib.engine.metrics.simulated_annotators import simulate_annotator


def ball(radius: float, value: int = 1, middle: tuple[int, ...] = (12, 12, 12), size: int = 25) -> np.ndarray:
    grid = np.ogrid[tuple(slice(0, size) for _ in middle)]
    return (sum((axis - m) ** 2 for axis, m in zip(grid, middle, strict=True)) <= radius**2).astype(np.int16) * value


def real_raters(data_folder, *names):
    for source in find_cases(data_folder / "lidc_4rater", label=names[0], limit=4):
        folder = source.label.parent
        case = read_case(source)
        yield case, [sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}.nii.gz"))) for name in names]


def test_of_three_raters_the_consensus_is_simple_itks_majority_vote(data_folder):
    for case, labels in real_raters(data_folder, "rater1", "rater2", "rater3"):
        images = [sitk.GetImageFromArray(label.astype(np.uint8)) for label in labels]
        vote = sitk.GetArrayFromImage(sitk.LabelVoting(images, 255))
        np.testing.assert_array_equal(consensus_label(labels, case.geometry.array_spacing), vote)


def test_a_tie_is_decided_by_the_outline_between_and_not_by_the_larger_label():
    small, large = ball(5), ball(9)
    middle = consensus_label([small, small, large, large], (1, 1, 1))
    assert small.sum() < middle.sum() < large.sum()
    assert abs(int(middle.sum()) - int(ball(7).sum())) < 0.1 * ball(7).sum()


def test_an_empty_label_counts_against_an_object():
    object_, empty = ball(4), np.zeros((25, 25, 25), np.int16)
    assert consensus_label([object_, object_, empty], (1, 1, 1)).sum() == object_.sum()
    assert not consensus_label([object_, empty, empty], (1, 1, 1)).any()
    assert not consensus_label([object_, object_, empty, empty], (1, 1, 1)).any()
    assert not consensus_label([empty, empty], (1, 1, 1)).any()
    three = Consensus.of_raters([object_, object_, empty], (1, 1, 1))
    left = rated_case("a", "case", empty, three, (1, 1, 1))
    assert (left.left_out, left.alone, left.dice, left.outlines) == (True, False, 0, ())
    one = Consensus.of_raters([object_, empty, empty], (1, 1, 1))
    alone = rated_case("b", "case", object_, one, (1, 1, 1))
    assert (alone.left_out, alone.alone, alone.dice) == (False, True, 0)
    assert rated_case("c", "case", empty, one, (1, 1, 1)).dice is None


def test_classes_do_not_mix_and_what_nobody_annotated_stays_unknown():
    left, right = ball(4, 1, (12, 12, 6)), ball(4, 2, (12, 12, 18))
    labels = [left + right, left + right, right]
    labels[0][0, 0, 0] = -1
    found = consensus_label(labels, (1, 1, 1))
    assert found[0, 0, 0] == -1
    np.testing.assert_array_equal(np.where(found < 0, 0, found), left + right)


@pytest.mark.parametrize("raters", [(-1.0, 0.0, 1.0), (-1.0, -0.4, 0.4, 1.0)])
def test_bias_and_its_sign_are_told_on_real_nodules(data_folder, raters):
    rated, random = [], np.random.default_rng(0)
    for source in find_cases(data_folder / "lidc_4rater", reference="votes:2", limit=6):
        case = read_case(source)
        truth, spacing = read_reference(source, case), case.geometry.array_spacing
        drawn = [simulate_annotator(truth, spacing, "dilate" if b > 0 else "erode", abs(b), random) for b in raters]
        drawn = [simulate_annotator(label, spacing, "walk", 0.4, random) for label in drawn]
        consensus = Consensus.of_raters(drawn, spacing)
        rated += [rated_case(str(b), case.name, lab, consensus, spacing) for b, lab in zip(raters, drawn, strict=True)]
    rows = {float(row["rater"]): row for row in rater_rows(rated)}
    for bias, row in rows.items():
        assert row["bias_mm"] == pytest.approx(bias, abs=0.3)
        assert row["low_mm"] <= row["bias_mm"] <= row["high_mm"]
        assert row["cases"] == 6


def test_noise_is_what_wanders_and_no_bias():
    label, random = ball(8), np.random.default_rng(1)
    found = []
    for noise in (0.5, 1.5):
        drawn = [simulate_annotator(label, (1, 1, 1), "walk", noise, random) for _ in range(6)]
        truth = Consensus.of_label(label, (1, 1, 1), drawn)
        (row,) = rater_rows(rated_case("r", str(n), each, truth, (1, 1, 1)) for n, each in enumerate(drawn))
        assert abs(row["bias_mm"]) < 0.3
        found.append(row["noise_mm"])
    assert found[0] < 0.9 < found[1] < 2.2


def test_lengths_of_pictures_are_in_pixels_and_unknown_figures_are_left_out():
    label = ball(6, middle=(12, 12))
    truth = Consensus.of_label(label, (1, 1))
    (row,) = rater_rows([rated_case("r1", "a", label, truth, (1, 1))], "pixel")
    assert [row[key] for key in ("bias_px", "low_px", "dice", "confidence")] == [0, None, 1, None]
    assert rater_sentence(row, "r1") == "r1 drew 1 case, bias +0.00 px, noise 0.00 px, Dice with the consensus 1.000."
