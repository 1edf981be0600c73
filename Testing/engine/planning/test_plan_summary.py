"""A plan in words says what a training would do, and why."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.plan_summary import plan_sentences


def facts(size: tuple[int, ...], spacing: tuple[float, ...], lowest: float = 0.0, channels: int = 1):
    n = len(size)
    unit = "pixel" if n == 2 else "mm"
    geometry = Geometry(size, spacing, (0.0,) * n, tuple(float(x) for x in np.eye(n).ravel()), unit)
    image = np.full((channels, *geometry.array_shape), lowest, np.float32)
    image[..., 3:] = lowest + 100
    label = np.zeros(geometry.array_shape, np.int16)
    label[..., 4:6] = 1
    case = Case("a", image, geometry, label=label, class_names={1: "tumour"})
    return [CaseFingerprint.of(case), CaseFingerprint.of(case)]


def words(found, device="cpu", **asked) -> str:
    return " ".join(plan_sentences(make_plan(found, device=device, **asked), found, device, **asked))


def test_pictures():
    said = words(facts((200, 150), (1.0, 1.0), channels=3))
    assert "2 cases, pictures of 200 × 150 pixels in the median and 3 channels." in said
    assert "tumour (1)" in said
    assert "UNet in 2D, since these are pictures; another one with --network." in said
    assert "pixels stay as they are" in said
    assert "mm" not in said


@pytest.mark.parametrize(("device", "why"), [("cpu", "slice by slice: slices are 5 times"), ("cuda", "there is a GPU")])
def test_thick_slices(device, why):
    assert why in words(facts((64, 64, 12), (1.0, 1.0, 5.0)), device)


def test_ct_with_what_was_asked_for():
    said = words(facts((40, 40, 40), (0.8, 0.8, 1.0), lowest=-1000.0), network="SegResNet", dims=3)
    assert "SegResNet in 3D, as asked for." in said
    assert "this is CT" in said
    assert "resampled to 0.8 × 0.8 × 1 mm (R, A, S)" in said
