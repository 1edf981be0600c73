"""What becomes trusted, and what the files remember."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.review.decisions import COLUMNS, read_regions_json, write_regions_csv, write_regions_json
from DALESegmentLib.engine.review.reviewed_voxels import (
    TrustedVoxels,
    correct_from_reference,
    reviewed_mask,
    trusted_from_edit,
    violations,
)


@pytest.fixture
def region_map():
    regions = np.zeros((20, 30), np.int32)
    regions[4:7, 4:7] = 1
    regions[4:7, 20:23] = 2
    return regions


def test_without_a_decision_nothing_is_trusted(region_map):
    label = np.zeros((20, 30), np.uint8)
    assert not trusted_from_edit(label, label, region_map).any()


def test_a_confirmed_region_is_trusted_with_its_margin(region_map):
    label = np.zeros((20, 30), np.uint8)
    trusted = trusted_from_edit(label, label, region_map, confirmed=[1])
    np.testing.assert_array_equal(trusted, reviewed_mask(region_map, [1]))
    assert trusted[2, 5]
    assert not trusted[1, 5]
    assert not trusted[:, 15:].any()


def test_a_corrected_region_is_trusted_as_a_whole(region_map):
    before = np.zeros((20, 30), np.uint8)
    after = before.copy()
    after[5, 20] = 1
    trusted = trusted_from_edit(before, after, region_map)
    np.testing.assert_array_equal(trusted, reviewed_mask(region_map, [2]))


def test_a_change_outside_every_region_speaks_for_itself_alone(region_map):
    before = np.zeros((20, 30), np.uint8)
    after = before.copy()
    after[15, 10:14] = 2
    for regions in (region_map, None):
        np.testing.assert_array_equal(trusted_from_edit(before, after, regions), before != after)


def test_the_margin_does_not_reach_into_thick_slices(region_map):
    volume = np.stack([np.zeros_like(region_map), region_map, np.zeros_like(region_map)])
    seen = reviewed_mask(volume, [1], spacing=(2.5, 0.7, 0.7))
    assert not seen[[0, 2]].any()
    np.testing.assert_array_equal(seen[1], reviewed_mask(region_map, [1]))


def test_playing_the_reviewer_draws_the_reference_there_alone(region_map):
    rng = np.random.default_rng(0)
    label, reference = rng.integers(0, 3, (2, 20, 30)).astype(np.uint8)
    corrected, trusted = correct_from_reference(label, reference, region_map, [2])
    assert corrected.dtype == np.uint8
    np.testing.assert_array_equal(corrected[trusted], reference[trusted])
    np.testing.assert_array_equal(corrected[~trusted], label[~trusted])
    assert (trusted & (region_map == 2)).sum() == 9
    assert not (trusted & (region_map == 1)).any()
    assert violations(trusted, corrected, reference) == 0
    assert violations(trusted, corrected, label) == (trusted & (label != reference)).sum() > 0


def test_another_grid_is_refused(region_map):
    with pytest.raises(EngineError, match="grid"):
        trusted_from_edit(np.zeros((20, 30)), np.zeros((20, 29)), region_map)
    with pytest.raises(EngineError, match="grid"):
        trusted_from_edit(np.zeros((20, 29)), np.zeros((20, 29)), region_map)


def region(rank=1, dims=3, name="Läsion, links"):
    corner = (1, 2, 3)[:dims]
    return Region(
        rank, "case, 1", rank, 1, name, "too large", 0, 12, 34.5678, 0.25, 0.01, 6.5,
        (-1.5, 2.25, 1e-9), corner, corner, (4, 5, 6)[:dims],
    )  # fmt: skip


def test_json_gives_back_what_was_written(tmp_path):
    regions = [region(1), region(2, dims=2)]
    write_regions_json(regions, tmp_path / "new" / "regions.json")
    assert read_regions_json(tmp_path / "new" / "regions.json") == regions
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["regions.json"]


def test_csv_has_a_column_for_every_number(tmp_path):
    write_regions_csv([region(1), region(2, dims=2)], tmp_path / "regions.csv")
    with open(tmp_path / "regions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0]["case"] == "case, 1"
    assert rows[0]["class_name"] == "Läsion, links"
    assert [rows[0][f"centre_{axis}"] for axis in "ijk"] == ["1", "2", "3"]
    assert (rows[1]["centre_k"], rows[1]["last_k"], rows[1]["last_j"]) == ("", "", "5")
    assert float(rows[0]["centre_a_mm"]) == 2.25
    assert float(rows[0]["size_mm3"]) == 34.57


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other", "version": 1, "regions": []}', '"text"'])
def test_something_else_is_refused_in_words(tmp_path, content):
    path = tmp_path / "regions.json"
    path.write_text(content)
    with pytest.raises(EngineError, match="run the review again") as caught:
        read_regions_json(path)
    assert caught.value.code == "bad-regions-file"
    path.write_text(json.dumps({"format": "dalesegment-regions", "version": 1, "regions": [{"rank": 1}]}))
    with pytest.raises(EngineError):
        read_regions_json(path)
    with pytest.raises(EngineError):
        read_regions_json(tmp_path / "absent.json")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "regions.json"
    write_regions_json([region(1)], path)
    with pytest.raises(TypeError):
        write_regions_json([region(2, name=object())], path)
    assert read_regions_json(path) == [region(1)]
    assert [p.name for p in tmp_path.iterdir()] == ["regions.json"]


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_runs_of_a_box_are_those_of_the_whole_image(kind):
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, (5, 6, 7)).astype(kind)
    trusted = np.zeros(label.shape, bool)
    box = (slice(1, 4), slice(2, 6), slice(3, 7))
    trusted[box] = rng.random((3, 4, 4)) < 0.6
    found = TrustedVoxels.within(trusted[box], label[box], box, label.shape, "image")
    where, there = np.zeros(label.shape, bool), np.zeros(label.shape, np.int32)
    found.put(where, there)
    assert np.array_equal(where, trusted)
    assert np.array_equal(there[trusted], label[trusted])
    assert TrustedVoxels.from_dict(found.as_dict()) == found
