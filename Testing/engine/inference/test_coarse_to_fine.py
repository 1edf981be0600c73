"""The quick first look: fewer windows, the same objects; and nothing is left out where it finds nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.io.case import Case
from Testing.engine.inference.position_network import plan_of

CPU = torch.device("cpu")
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class Bright(nn.Module):
    """Finds what is brighter than `least`, at any resolution."""

    def __init__(self, least: float = 0.5) -> None:
        super().__init__()
        self.least = least
        self.windows = 0

    def forward(self, x):
        self.windows += len(x)
        return torch.stack([torch.zeros_like(x[:, 0]), 20 * (x[:, 0] - self.least)], 1)


def two_balls() -> Case:
    geometry = Geometry((48, 40, 32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY)
    k, j, i = np.indices(geometry.array_shape)
    label = sum(((k - c) ** 2 + (j - b) ** 2 + (i - a) ** 2 <= 16) for a, b, c in ((8, 10, 12), (40, 33, 26)))
    return Case("balls", label[None].astype(np.float32), geometry, label.astype(np.uint8), class_names={1: "ball"})


def predictor_of(network: nn.Module) -> Predictor:
    plan = plan_of(two_balls(), (8, 8, 8)).model_copy(update={"class_values": [0, 1], "spacing": None})
    return Predictor(network, plan, CPU)


def test_what_is_found_first_is_segmented_as_the_whole_image_is():
    network, image = Bright(), torch.from_numpy(np.ascontiguousarray(two_balls().image.transpose(0, 3, 2, 1)))
    predictor = predictor_of(network)
    exact = predictor.prepared_classes(image, Progress())
    assert int(exact.sum()) == int(image.sum())
    all_windows, network.windows = network.windows, 0
    assert torch.equal(predictor.prepared_classes(image, Progress(), "foreground"), exact)
    assert network.windows < all_windows / 2


def test_elsewhere_it_is_surely_background():
    case = two_balls()
    predictor = predictor_of(Bright())
    p = predictor.probabilities(case, Progress(), "foreground")
    np.testing.assert_allclose(p.sum(0), 1.0, atol=1e-6)
    assert (p[0] == 1.0).mean() > 0.3


def test_where_the_first_look_finds_nothing_every_window_is_run():
    network, image = Bright(least=2.0), torch.zeros(1, 48, 40, 32)
    predictor = predictor_of(network)
    predictor.prepared_classes(image, Progress())
    all_windows, network.windows = network.windows, 0
    assert not predictor.prepared_classes(image, Progress(), "foreground").any()
    assert network.windows > all_windows
