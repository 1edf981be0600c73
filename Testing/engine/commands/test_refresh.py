"""A correction is learned from, and the maps that come back are those of the new model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from DALESegmentLib.engine.commands import predict, refresh, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


def handed_over(case, folder) -> dict:
    save_array_case(case, folder)
    return {"items": [{"name": case.name, "arrays": str(folder)}]}


def test_a_corrected_case_comes_back_sure_and_segmented(tmp_path):
    case = ball_case()
    truth = case.label.copy()
    i = int(np.argwhere(truth).mean(0)[2])
    case.label = truth.copy()
    case.label[:, :, i:] = 0
    short = {"epochs": 1, "steps_per_epoch": 4, "batch_size": 2, "device": "cpu"}
    trained = train.run({"cases": handed_over(case, tmp_path / "a"), "out": str(tmp_path / "run"), **short}, Progress())
    case.label, case.trusted = truth, case.label != truth

    asked = {"model": trained["model"], "cases": handed_over(case, tmp_path / "b"), "out": str(tmp_path / "new")}
    answer = refresh.run({**asked, "seconds": 0.5, "device": "cpu"}, Progress())
    (item,) = answer["items"]
    confidence = np.load(item["confidence"])
    assert np.all(confidence[case.trusted] == 1.0)
    shown = np.load(item["shown"])
    np.testing.assert_array_equal(shown[case.label > 0], confidence[case.label > 0])
    assert (shown >= confidence).all()
    label = case.label > 0
    outline = label ^ ndimage.binary_erosion(label)
    near = ndimage.distance_transform_edt(~outline, sampling=case.geometry.spacing[::-1]) < 8.0
    np.testing.assert_array_equal(shown[near], confidence[near])
    assert answer["confirmed_voxels"] == case.trusted.sum()
    assert item["classes"] == {"1": "ball"}
    assert answer["model"] != trained["model"]

    again = {"model": answer["model"], "cases": asked["cases"], "out": str(tmp_path / "p"), "device": "cpu"}
    same = predict.run(again, Progress())["items"][0]["segmentation"]
    np.testing.assert_array_equal(np.load(item["segmentation"]), np.load(same))
