"""A region's answer is that of the whole image there, whatever the grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.commands import confidence, refresh, train
from DALESegmentLib.engine.commands.refresh import RegionParameter
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.predictor import Predictor, cached_predictor, predict_region
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.engine.inference.position_network import Position, plan_of
from Testing.phantoms import ball_case

CPU = torch.device("cpu")


class Counting(Position):
    windows = 0

    def forward(self, x):
        self.windows += len(x)
        return super().forward(x)


@pytest.mark.parametrize("spacing", [None, (1.3, 0.8, 1.7)])
@pytest.mark.parametrize("box", [((3, 4, 2), (9, 8, 6)), ((0, 0, 0), (5, 5, 2)), ((30, 20, 9), (31, 23, 11))])
def test_a_region_is_answered_as_the_whole_image_is(spacing, box):
    case = ball_case(size=(32, 24, 12))
    plan = plan_of(case, (8, 8, 8)).model_copy(update={"spacing": spacing})
    network = Counting()
    predictor = Predictor(network, plan, CPU)
    whole = predictor.probabilities(case, Progress())
    windows, network.windows = network.windows, 0
    (i, j, k), (i2, j2, k2) = box
    image = predictor.prepare(case, Progress())
    found = predict_region(predictor, image, case.geometry.part(*box), Progress())
    np.testing.assert_allclose(found, whole[:, k : k2 + 1, j : j2 + 1, i : i2 + 1], atol=1e-4)
    assert network.windows < windows / 2


def test_the_corrected_region_comes_before_learning_and_before_the_rest(tmp_path):
    case = ball_case()
    case.trusted = case.label > 0
    save_array_case(case, tmp_path / "a")
    cases = {"items": [{"name": case.name, "arrays": str(tmp_path / "a")}]}
    short = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "device": "cpu"}
    trained = train.run({"cases": cases, "out": str(tmp_path / "run"), **short}, Progress())
    said = []
    region = {"case": case.name, "first_voxel": [4, 5, 3], "last_voxel": [9, 12, 8]}
    asked = {"model": trained["model"], "cases": cases, "out": str(tmp_path / "new"), "region": region, "seconds": 0.2}
    (item,) = refresh.run({**asked, "device": "cpu"}, Progress(said.append))["items"]
    first, last = [n for n, report in enumerate(said) if "region" in report["values"]]
    assert first < min(n for n, report in enumerate(said) if report["stage"] == "training") < last
    asked_of_old = {"model": trained["model"], "cases": cases, "out": str(tmp_path / "old"), "device": "cpu"}
    (unlearned,) = confidence.run(asked_of_old, Progress())["items"]
    for number, item_then, names in (
        (first, unlearned, ("confidence", "shown")),
        (last, item, ("confidence", "segmentation", "shown")),
    ):
        told = said[number]["values"]["region"]
        assert (told["name"], told["first_voxel"], told["last_voxel"]) == (case.name, [4, 5, 3], [9, 12, 8])
        for name in names:
            whole, found = np.load(item_then[name])[3:9, 5:13, 4:10], np.load(told[name])
            if name != "segmentation":  # at the rim the whole map knows of contradictions just outside
                assert (found >= whole - 1e-4).all()
                whole, found = whole[2:-2, 2:-2, 2:-2], found[2:-2, 2:-2, 2:-2]
            np.testing.assert_allclose(found, whole, atol=1e-4, err_msg=name)
    # the model stays loaded until its files change
    kept = cached_predictor(tmp_path / "new" / "model", CPU)
    assert cached_predictor(tmp_path / "new" / "model", CPU) is kept
    assert cached_predictor(tmp_path / "run", CPU) is not kept


@pytest.mark.parametrize(
    "corners", [((0, 0, 0), (24, 3, 3)), ((5, 0, 0), (4, 3, 3)), ((0, 0), (3, 3)), ((-1, 0, 0), (3, 3, 3))]
)
def test_a_region_outside_the_image_is_refused(corners):
    with pytest.raises(EngineError, match="is not inside ball"):
        RegionParameter(case="ball", first_voxel=corners[0], last_voxel=corners[1]).within(replace(ball_case()))
