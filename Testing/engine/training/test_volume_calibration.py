"""What was trained to draw too large is put right by one offset, in the weights themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import CrossFittingConfig, DaleConfig
from DALESegmentLib.engine.planning.networks import NETWORKS, add_to_logits, build, design
from DALESegmentLib.engine.planning.plan import CaseFingerprint, TrainSettings, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.build_trainer import training
from DALESegmentLib.engine.training.callbacks import Callback
from DALESegmentLib.engine.training.validation import OFFSETS, Predicted, evaluation_windows, predicted
from DALESegmentLib.engine.training.volume_calibration import VolumeCalibration, VolumeOffset, volume_offset
from Testing.phantoms import ball_case

CPU = torch.device("cpu")
CONFIG = DaleConfig()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_network_can_be_shifted(name, dims):
    fitted, arguments = design(name, np.full(dims, 32), np.ones(dims), 1, 3, large=False)
    torch.manual_seed(0)
    network = build(name, arguments).eval()
    patch = torch.randn(1, 1, *fitted)
    offsets = torch.tensor([0.0, -1.5, -1.5])
    with torch.no_grad():
        before = network(patch)
        assert add_to_logits(network, offsets, lambda: network(patch))
        after = network(patch)
    assert torch.allclose(after, before + offsets.view(1, 3, *[1] * dims), atol=1e-3, rtol=1e-3)


def test_a_network_without_such_a_bias_stays_as_it_is():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Softmax(1))
    was = {name: value.clone() for name, value in network.state_dict().items()}
    patch = torch.randn(1, 1, 8, 8)
    assert not add_to_logits(network, torch.tensor([0.0, -1.0]), lambda: network(patch))
    assert all(torch.equal(value, was[name]) for name, value in network.state_dict().items())


def drawn(labelled: int, by_offset: dict[float, int]) -> Predicted:
    """A case of one class in which so many voxels are drawn from these offsets on."""
    sizes = np.zeros((1, len(OFFSETS)), np.int64)
    for offset, voxels in by_offset.items():
        sizes[0, np.searchsorted(OFFSETS, offset)] += voxels
    return Predicted(sizes, sizes // 2, np.array([labelled]))


@pytest.mark.parametrize(("share", "largest", "offset"), [(1.0, 9.0, -2.0), (0.5, 9.0, -1.0), (0.5, 0.5, -0.5)])
def test_what_is_clearly_too_large_is_made_smaller_by_a_share_of_what_it_takes(share, largest, offset):
    cases = [drawn(100 + n, {-2.0: 106 + n, -1.0: 30, 3.0: 500}) for n in range(12)]
    found = volume_offset(cases, DaleConfig(volume_share=share, volume_max_offset=largest))
    assert found.offset == pytest.approx(offset)
    assert found.ratio == pytest.approx(1.35, abs=0.05)
    assert "1.3" in str(found)
    assert f"{offset:+.2f}" in str(found)


@pytest.mark.parametrize(
    "cases",
    [
        [drawn(100, {-2.0: 100}) for _ in range(20)],  # right
        [drawn(100, {-2.0: 50, 1.0: 50}) for _ in range(20)],  # too small: Dice would lose
        [drawn(100, {-2.0: 150 if n % 2 else 60}) for n in range(20)],  # either way
        [drawn(100, {-2.0: 100, -1.0: 50}) for _ in range(11)],  # too few
        [drawn(0, {-2.0: 100}) for _ in range(20)],  # nothing labelled
        [],
    ],
)
def test_anything_else_is_left_alone(cases):
    assert volume_offset(cases, CONFIG) is None


def a_training(cases: int = 12, epochs: int = 2, **dale):
    made = [replace(ball_case(size=(24, 24, 1), seed=n), name=f"ball{n}") for n in range(cases)]
    plan = make_plan([CaseFingerprint.of(case) for case in made])
    arguments = {**plan.network_arguments, "channels": [4, 8], "strides": [[2, 2]]}
    plan = plan.model_copy(update={"batch_size": 4, "network_arguments": arguments})
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    settings = TrainSettings(epochs=epochs, steps_per_epoch=60, seed=1, dale=DaleConfig(early_stopping=False, **dale))
    prepared = [prepare_case(case, plan) for case in made]
    return training(plan, settings, network, prepared, [], None, CPU, Progress())


def growth(trainer) -> float:
    batches = evaluation_windows(trainer.sampler, CrossFittingConfig())
    cases = [predicted(trainer.network, each, CPU) for each in batches]
    return math.exp(np.median([math.log(max(case.drawn(0.0), 1) / case.given.sum()) for case in cases]))


def calibration(trainer) -> VolumeCalibration | None:
    return next((c for c in trainer.callbacks if isinstance(c, VolumeCalibration)), None)


class Widening(Callback):
    """Makes a network draw wider than it has learned to."""

    def on_epoch_end(self, trainer):
        patch = torch.randn(1, trainer.plan.channels, *trainer.plan.network_patch)
        trainer.network.eval()
        assert add_to_logits(trainer.network, torch.tensor([0.0, 2.0]), lambda: trainer.network(patch))


@pytest.mark.slow
def test_a_network_that_draws_too_large_is_calibrated_at_the_end_of_its_training():
    def widened(**dale):
        trainer = a_training(epochs=1, **dale)
        trainer.callbacks = (Widening(), *trainer.callbacks)
        trainer.fit()
        return trainer

    loose, tight = widened(volume_calibration=False), widened(volume_share=1.0, volume_max_offset=9.0)
    assert calibration(loose) is None
    found = calibration(tight).found
    assert growth(loose) == pytest.approx(found.ratio)
    assert found.ratio > 1.3
    assert found.offset < -0.5
    assert growth(tight) == pytest.approx(1.05, abs=0.1)
    assert str(found).startswith("Volume calibrated")


def test_plain_training_is_left_alone():
    trainer = a_training()
    trainer.loss.config = None
    trainer.settings = trainer.settings.model_copy(update={"epochs": 1, "steps_per_epoch": 1})
    calibration(trainer).config = DaleConfig(volume_level=1.0, volume_target=0.001)
    trainer.fit()
    assert calibration(trainer).found is None


def test_it_is_kept_in_a_checkpoint():
    first, second = VolumeCalibration(CONFIG), VolumeCalibration(CONFIG)
    first.found = VolumeOffset(-0.7, 1.3)
    second.load_state_dict(first.state_dict())
    assert second.found == first.found
    second.load_state_dict(VolumeCalibration(CONFIG).state_dict())
    assert second.found is None
