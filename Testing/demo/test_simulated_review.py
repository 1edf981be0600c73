"""The played clinician corrects what was asked for and nothing else, and counts honestly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from demo_cases import GEOMETRY, ball

from DALESegmentLib.demo.data import DemoData, lay_out
from DALESegmentLib.demo.simulated_review import simulate_review
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.io.images import read_label, write_image

REGION = Region(1, "a", 7, 1, "ball", "too small", 1, 0, 0.0, 0.2, 0.1, 1.0, (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0))


@pytest.fixture
def reviewed(tmp_path):
    """Two cases whose labels lack one side of the ball; in each a region with id 7 over a box of that side."""
    reference, folder = ball(), tmp_path / "data"
    label = reference.copy()
    label[:, :, 38:] = 0
    region_map = np.zeros(label.shape, np.int32)
    region_map[7:9, 29:33, 37:41] = 7
    for name in ("a", "b"):
        lay_out(folder, name, 100.0 * reference[None], label, reference, GEOMETRY)
        write_image(tmp_path / "review" / name / "regions.nii.gz", region_map, GEOMETRY)
    data = DemoData(folder, ".nii.gz", ("a", "b"), (), {1: "ball"}, "label", ())
    return data, tmp_path, label, reference, region_map == 7


def test_only_what_was_looked_at_is_corrected_and_trusted(reviewed):
    data, out, label, reference, region = reviewed
    played = simulate_review(data, [REGION], out)
    first, second = played.items
    corrected, trusted = (read_label(first[role])[0] for role in ("label", "trusted"))
    assert (trusted[region] == 1).all()
    assert (corrected[trusted > 0] == reference[trusted > 0]).all()
    assert (corrected[trusted == 0] == label[trusted == 0]).all()
    assert second["label"] == str(data.path("b", "label").absolute())
    assert "trusted" not in second
    assert not (out / "corrected" / "b").exists()


def test_the_review_is_worth_what_can_be_counted(reviewed):
    data, out, label, reference, region = reviewed
    facts = simulate_review(data, [REGION], out).facts
    wrong = label != reference
    assert facts["voxels"] == region.sum()
    assert facts["truly_wrong"] == pytest.approx(wrong[region].mean())
    assert facts["by_chance"] == pytest.approx(wrong.mean())
    assert facts["share_of_all_errors"] == pytest.approx(wrong[region].sum() / (2 * wrong.sum()))
    assert facts["label_dice_before"] < facts["label_dice_after"] < 1


def test_without_regions_everything_stays(reviewed):
    data, out, *_ = reviewed
    played = simulate_review(data, [], out)
    assert played.facts["truly_wrong"] is None
    assert played.facts["label_dice_before"] == played.facts["label_dice_after"]
    assert not (out / "corrected").exists()
    assert simulate_review(data, [replace(REGION, case="b")], out).items[0] == data.items(["a"])[0]


def test_a_case_without_a_doubtful_region_is_left_as_it_is(reviewed):
    data, out, label, *_ = reviewed
    write_image(out / "review" / "b" / "regions.nii.gz", np.zeros(label.shape, np.int32), GEOMETRY)
    assert simulate_review(data, [REGION], out).items[1]["label"] == str(data.path("b", "label").absolute())
