"""The audit over several cases: places drawn by volume, a file filled in by hand, and bounds that hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.review.audit import AuditDraw, Place, auditable, errors_left_by, read_audit, write_audit

UNTURNED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def grid(spacing=(1.0, 1.0, 2.0)) -> Geometry:
    return Geometry((24, 20, 8), spacing, (5.0, -3.0, 7.0), UNTURNED)


def box_label() -> np.ndarray:
    label = np.zeros(grid().array_shape, np.uint8)
    label[3:5, 6:14, 6:16] = 2
    return label


def drawn(count: int = 40, seed: int = 0) -> list[Place]:
    draw = AuditDraw(count, seed)
    draw.see("large", box_label(), grid((2.0, 2.0, 4.0)))
    draw.see("small", box_label(), grid())
    draw.see("empty", np.zeros_like(box_label()), grid())
    return draw.places()


def judged(verdicts: str) -> list[Place]:
    names = {"r": "right", "w": "wrong", "u": "unsure", ".": ""}
    return [replace(p, verdict=names[v]) for p, v in zip(drawn(len(verdicts)), verdicts, strict=True)]


def test_places_are_drawn_by_volume_from_what_is_auditable():
    sizes = {"large": grid((2.0, 2.0, 4.0)), "small": grid()}
    where = {name: auditable(box_label(), geometry.array_spacing) for name, geometry in sizes.items()}
    mm3 = {name: where[name].sum() * geometry.voxel_volume for name, geometry in sizes.items()}
    places = drawn(400)
    share = np.mean([place.case == "large" for place in places])
    assert share == pytest.approx(mm3["large"] / sum(mm3.values()), abs=0.05)
    for place in places:
        i, j, k = place.voxel
        assert where[place.case][k, j, i]
        assert place.label_value == box_label()[k, j, i]
        assert place.ras == pytest.approx(sizes[place.case].index_to_ras(place.voxel))
        assert place.drawn_from_mm3 == pytest.approx(sum(mm3.values()))
    assert [place.place for place in places] == list(range(1, 401))
    assert drawn(400) == places
    assert drawn(400, seed=1) != places


def test_where_everything_is_confirmed_nothing_is_drawn():
    draw = AuditDraw(5)
    draw.see("a", box_label(), grid(), np.ones(box_label().shape, bool))
    with pytest.raises(EngineError, match="all of them are confirmed"):
        draw.places()


def test_a_list_comes_back_as_it_was_filled_in(tmp_path):
    path = tmp_path / "audit.csv"
    write_audit(drawn(), path)
    assert read_audit(path) == drawn()
    filled = path.read_text().replace("large,,", "large,Wrong ,").replace("small,,", "small,right,")
    path.write_text("\ufeff" + filled.replace(",", ";"), encoding="utf-8")  # as a spreadsheet saves it
    assert {(p.case, p.verdict) for p in read_audit(path)} == {("large", "wrong"), ("small", "right")}


def test_a_flat_image_has_no_third_index(tmp_path):
    draw = AuditDraw(3)
    draw.see("flat", box_label()[3], Geometry((24, 20), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0)))
    write_audit(draw.places(), tmp_path / "audit.csv")
    assert [len(place.voxel) for place in read_audit(tmp_path / "audit.csv")] == [2, 2, 2]


def test_the_bounds_are_clopper_and_pearsons():
    """5 of 20: 8.66 to 49.10 %."""
    left = errors_left_by(judged("w" * 5 + "r" * 15))
    size = left["audited_mm3"]
    assert (left["places"], left["wrong"], left["unsure"]) == (20, 5, 0)
    assert left["wrong_mm3"] == pytest.approx(0.25 * size)
    assert (left["low_mm3"] / size, left["high_mm3"] / size) == pytest.approx((0.0866, 0.4910), abs=1e-4)
    assert "5 of 20 places were wrong: about 25.0%" in left["sentence"]


def test_who_is_unsure_widens_the_interval():
    sure, unsure = errors_left_by(judged("w" * 5 + "r" * 15)), errors_left_by(judged("w" * 5 + "uu" + "r" * 13))
    assert unsure["low_mm3"] == sure["low_mm3"]
    assert unsure["high_mm3"] > sure["high_mm3"]
    assert "and 2 unsure" in unsure["sentence"]


@pytest.mark.slow
def test_the_interval_holds_the_volume_that_is_wrong_as_often_as_it_says():
    """Two cases of unlike voxels and unlike shares of wrong ones."""
    random, held = np.random.default_rng(0), 0
    label, geometries = box_label(), {"large": grid((2.0, 2.0, 4.0)), "small": grid()}
    wrong = {"large": random.random(label.shape) < 0.1, "small": random.random(label.shape) < 0.5}
    truth = sum(
        (wrong[name] & auditable(label, g.array_spacing)).sum() * g.voxel_volume for name, g in geometries.items()
    )
    for seed in range(200):
        places = [
            replace(p, verdict="wrong" if wrong[p.case][tuple(reversed(p.voxel))] else "right") for p in drawn(30, seed)
        ]
        left = errors_left_by(places)
        held += left["low_mm3"] <= truth <= left["high_mm3"]
    assert held / 200 >= 0.94


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "bad-audit-file"),
        ("my,notes\n1,2\n", "bad-audit-file"),
        ("\0\0\n", "bad-audit-file"),
        ("place,case,verdict,label_value,r_mm,a_mm,s_mm,i,j,k,drawn_from_mm3\n", "bad-audit-file"),
        (
            "place,case,verdict,label_value,r_mm,a_mm,s_mm,i,j,k,drawn_from_mm3\n1,a,maybe,0,1,1,1,1,1,1,9\n",
            "bad-verdict",
        ),
        (
            "place,case,verdict,label_value,r_mm,a_mm,s_mm,i,j,k,drawn_from_mm3\n1,a,right,0,1,1,1,1,1,1,nan\n",
            "bad-audit-file",
        ),
        (
            "place,case,verdict,label_value,r_mm,a_mm,s_mm,i,j,k,drawn_from_mm3\n1,a,right,0,1,1,1,1,1,1\n",
            "bad-audit-file",
        ),
    ],
)
def test_what_is_no_audit_is_refused(content, code, tmp_path):
    (tmp_path / "audit.csv").write_text(content)
    with pytest.raises(EngineError) as caught:
        read_audit(tmp_path / "audit.csv")
    assert caught.value.code == code


def test_places_without_a_verdict_are_no_estimate():
    with pytest.raises(EngineError, match="3 of the 10 places"):
        errors_left_by(judged("rrrrwrr..."))


def test_a_missing_list_is_said_so(tmp_path: Path):
    with pytest.raises(EngineError, match="is not there"):
        read_audit(tmp_path / "audit.csv")
