"""Lengths of pictures are pixels; lengths of voxels of any size keep their digits, and fixed lengths fit them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.dale.issues import Region, find_regions
from DALESegmentLib.engine.dale.reasons import explained, length_words, reason, size_words
from DALESegmentLib.engine.geometry.distance import scaled_mm
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.metrics.segmentation import Offset, agreement, bias_report
from DALESegmentLib.engine.review.audit import AuditDraw, errors_left_by, read_audit, write_audit
from DALESegmentLib.engine.review.decisions import (
    read_regions_json,
    region_row,
    write_decisions_csv,
    write_regions_csv,
    write_regions_json,
)

EDGES = (0.001, 0.7, 1000.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def cube(edge: float, unit="mm") -> tuple[np.ndarray, Geometry]:
    """A labelled cube of 16 voxels' edge in an image of 40."""
    label = np.zeros((40, 40, 40), np.int16)
    label[12:28, 12:28, 12:28] = 1
    return label, Geometry((40, 40, 40), (edge,) * 3, (5 * edge, 0.0, 0.0), IDENTITY, unit)


def regions_of(label: np.ndarray, geometry: Geometry) -> tuple[list[Region], np.ndarray]:
    """A model that draws two slices less; sure of it."""
    probabilities = np.zeros((2, *label.shape), np.float32)
    inside = label.copy()
    inside[12:14] = 0
    probabilities[1], probabilities[0] = 0.98 * (inside > 0) + 0.01, 1 - (0.98 * (inside > 0) + 0.01)
    confidence = np.where(label > 0, probabilities[1], probabilities[0])
    found, region_map = find_regions("a", label, confidence, probabilities, geometry, {1: "liver"})
    image = 100.0 * inside[None].astype(np.float32)
    return explained(
        found, region_map, label, probabilities, image, geometry.array_spacing, {1: "liver"}, False
    ), region_map


@pytest.mark.parametrize("spacing", [0.1, 0.7, 3.0, 10.0])
def test_a_fixed_length_is_as_it_is_for_usual_voxels(spacing):
    assert scaled_mm(10.0, (5.0 * spacing, spacing)) == 10.0


def test_a_fixed_length_is_as_many_voxels_beyond_them():
    assert scaled_mm(10.0, (0.001,)) / 0.001 == pytest.approx(scaled_mm(10.0, (0.1,)) / 0.1)
    assert scaled_mm(10.0, (1000.0,)) / 1000 == pytest.approx(scaled_mm(10.0, (10.0,)) / 10)


@pytest.mark.parametrize("edge", EDGES)
def test_an_audit_is_drawn_written_and_judged_at_any_voxel_size(edge, tmp_path):
    label, geometry = cube(edge)
    draw = AuditDraw(12, seed=1)
    draw.see("a", label, geometry)
    write_audit(draw.places(), tmp_path / "audit.csv")
    rows = list(csv.DictReader((tmp_path / "audit.csv").read_text(encoding="utf-8").splitlines()))
    for row in rows:
        voxel = tuple(int(row[axis]) for axis in "ijk")
        there = geometry.ras_to_index(tuple(float(row[f"{axis}_mm"]) for axis in "ras"))
        assert np.allclose(there, voxel, atol=0.05)
        assert row["unit"] == "mm"
    places = read_audit(tmp_path / "audit.csv")
    assert 0 < places[0].drawn_from_mm3 < label.size * edge**3
    lines = [",".join(rows[0]), *(",".join((row | {"verdict": "right"}).values()) for row in rows)]
    (tmp_path / "judged.csv").write_text("\n".join(lines))
    left = errors_left_by(read_audit(tmp_path / "judged.csv"))
    assert left["wrong"] == 0
    assert 0 < left["high_mm3"] < left["audited_mm3"]
    assert f"within {scaled_mm(10, (edge,)):,.5g} mm" in left["sentence"]


def test_what_is_drawn_is_the_same_share_at_any_voxel_size():
    """A cube of 16 voxels: all of it is near its outline where voxels are usual or small, and its rim where they are
    large; never nothing."""
    shares = []
    for edge in EDGES:
        draw = AuditDraw(5)
        draw.see("a", *cube(edge))
        shares.append(draw.places()[0].drawn_from_mm3 / edge**3)
    assert shares[0] >= shares[1] * 0.9 > shares[2] > 16 * 16 * 6


def test_an_audit_of_nothing_labelled_says_so():
    draw = AuditDraw(5)
    label, geometry = cube(1.0)
    draw.see("a", np.zeros_like(label), geometry)
    with pytest.raises(Exception, match="nothing is labelled"):
        draw.places()


def test_an_audit_of_pictures_is_in_pixels(tmp_path):
    label = np.zeros((60, 80), np.int16)
    label[20:40, 30:50] = 1
    geometry = Geometry((80, 60), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0), "pixel")
    draw = AuditDraw(5)
    draw.see("a", label, geometry)
    write_audit(draw.places(), tmp_path / "audit.csv")
    text = (tmp_path / "audit.csv").read_text(encoding="utf-8")
    (tmp_path / "audit.csv").write_text("\n".join(line.replace("a,,", "a,wrong,") for line in text.splitlines()))
    rows = list(csv.DictReader((tmp_path / "audit.csv").read_text(encoding="utf-8").splitlines()))
    assert {(row["r_mm"], row["unit"]) for row in rows} == {("", "pixel")}
    left = errors_left_by(read_audit(tmp_path / "audit.csv"))
    assert "within 10 pixels" in left["sentence"]
    assert "mm" not in left["sentence"]
    assert not [key for key in left if "mm" in key]


@pytest.mark.parametrize("edge", EDGES)
def test_a_list_keeps_its_digits(edge, tmp_path):
    label, geometry = cube(edge)
    regions, _ = regions_of(label, geometry)
    assert sum(region.voxels for region in regions) == 2 * 16 * 16
    region = regions[0]
    write_regions_json(regions, tmp_path / "regions.json")
    assert read_regions_json(tmp_path / "regions.json") == regions
    write_regions_csv(regions, tmp_path / "regions.csv")
    row = next(csv.DictReader((tmp_path / "regions.csv").read_text(encoding="utf-8").splitlines()))
    assert float(row["size_mm3"]) == pytest.approx(region.size_mm3, rel=0.01)
    centre = tuple(float(row[f"centre_{axis}_mm"]) for axis in "ras")
    assert np.allclose(geometry.ras_to_index(centre), region.centre_voxel, atol=0.05)
    assert row["unit"] == "mm"
    text = (tmp_path / "regions.csv").read_text(encoding="utf-8")
    assert ",0.00," not in text
    decided = {**region.as_dict(), "state": "confirmed", "who": "me", "when": "now"}
    write_decisions_csv([decided], tmp_path / "decisions.csv")
    assert row["size_mm3"] in (tmp_path / "decisions.csv").read_text(encoding="utf-8")
    assert "0 mm" not in reason(region).replace(f"{region.extent_mm:,.0f} mm", "")


def test_regions_are_the_same_voxels_at_any_size():
    found = [regions_of(*cube(edge))[1] for edge in EDGES]
    assert all(((other > 0) == (found[1] > 0)).all() for other in found)


def test_a_region_of_a_picture_is_in_pixels():
    label, geometry = cube(1.0, "pixel")
    region = regions_of(label, geometry)[0][0]
    row = region_row(region)
    assert (row["unit"], row["size_mm3"], row.get("centre_r_mm", "")) == ("pixel", "", "")
    assert f"{row['voxels']} pixels" in reason(region)
    assert "mm" not in reason(region)


@pytest.mark.parametrize(
    ("mm3", "words"),
    [(3.1e-8, "3.1e-08 mm³"), (0.042, "0.042 mm³"), (8.0, "8 mm³"), (830.0, "0.83 ml"), (5e9, "5,000,000 ml")],
)
def test_volumes_in_words(mm3, words):
    region = regions_of(*cube(1.0))[0][0]
    assert size_words(Region(**{**region.__dict__, "size_mm3": mm3})) == words


def test_lengths_in_words():
    assert [length_words(x, "mm") for x in (0.0042, 0.9, 9.4, 1234.0)] == ["0.0042 mm", "0.9 mm", "9 mm", "1,234 mm"]
    assert length_words(86.6, "pixel") == "87 px"


def test_scores_of_pictures_are_in_pixels():
    a, b = np.zeros((2, 50, 50), np.uint8)
    a[10:30, 10:30], b[10:30, 13:33] = 1, 1
    found = agreement(a, b, (1.0, 1.0), [1], unit="pixel")
    assert set(found["mean"]) == {"dice", "iou", "hd95_px", "nsd"}
    assert found["classes"][1]["hd95_px"] == 3
    assert (found["unit"], found["nsd_tolerance_px"]) == ("pixel", 2.0)
    assert "nsd_tolerance_mm" not in found
    assert agreement(a, b, (1.0, 1.0), [1])["unit"] == "mm"


def test_the_surface_dice_tells_something_at_any_voxel_size():
    """Shifted by 45 voxels: no tolerance covers that."""
    for edge in EDGES:
        a, b = np.zeros((2, 80, 80), np.uint8)
        a[10:30, 10:30], b[10:30, 55:75] = 1, 1
        assert agreement(a, b, (edge, edge), [1])["mean"]["nsd"] < 0.5
        assert agreement(a, a, (edge, edge), [1])["mean"]["nsd"] == 1


def test_offsets_of_outlines_have_their_unit():
    (row,) = bias_report([Offset("liver", "", 1.5, "pixel"), Offset("liver", "", 0.5, "pixel")])
    assert row["offset_px"] == 1.0
    assert "offset_mm" not in row


def test_the_audit_of_an_earlier_version_is_still_read(tmp_path):
    Path(tmp_path / "audit.csv").write_text(
        "place,case,verdict,label_value,r_mm,a_mm,s_mm,i,j,k,drawn_from_mm3\n1,a,right,1,1.0,2.0,3.0,1,2,3,500.0\n",
        encoding="utf-8",
    )
    assert "within 10 mm" in errors_left_by(read_audit(tmp_path / "audit.csv"))["sentence"]
