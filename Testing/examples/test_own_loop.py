"""The example of a loop of one's own: DALE learns more from spoiled labels than plain training, and finds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.quality import consistent_margin, label_confidence, label_margin
from examples.own_loop import make_cases, train
from Testing.code_lines import code_lines

pytestmark = pytest.mark.slow

LINES = 40


@pytest.fixture(scope="module")
def trained():
    cases = make_cases(seed=0)
    return cases, {name: train(cases, config) for name, config in {"plain": None, "dale": DaleConfig()}.items()}


def dice(network) -> float:
    """Against the truth of cases that nobody has seen."""
    network.eval()
    with torch.no_grad():
        found = [(network(i[None])[0].argmax(0).numpy(), truth) for i, truth, _ in make_cases(seed=1).values()]
    return float(sum(2 * (a * b).sum() for a, b in found) / sum(a.sum() + b.sum() for a, b in found))


def test_dale_learns_more_from_spoiled_labels_than_plain_training(trained):
    plain, dale = (dice(trained[1][name][0]) for name in ("plain", "dale"))
    assert plain > 0.7  # both learn something
    assert dale > plain + 0.01


def test_wrong_labels_are_less_trusted_than_right_ones(trained):
    cases, (network, memory) = trained[0], trained[1]["dale"]
    right, wrong = [], []
    for name, (image, truth, label) in cases.items():
        given = memory[name].given
        with torch.no_grad():
            margin = label_margin(network.eval()(image[None]), given[None])[0]
        known = memory[name].disagreement_of(given)
        confidence = label_confidence(consistent_margin(margin, known.values.float())).numpy()
        right.append(confidence[label == truth])
        wrong.append(confidence[label != truth])
    assert np.concatenate(right).mean() > 0.9
    assert np.concatenate(wrong).mean() < 0.5


def test_objects_that_a_label_lacks_are_learned(trained):
    cases, (_, memory) = trained[0], trained[1]["dale"]
    lacking = [name for name, (_, _, label) in cases.items() if not label.any()]
    found = sum(int(((memory[name].target() == 1) & torch.from_numpy(cases[name][1] == 1)).sum()) for name in lacking)
    assert found > 0.6 * sum(cases[name][1].sum() for name in lacking)
    assert not any(bool(memory[name].given.any()) for name in lacking)  # the label itself stays as it is


def test_it_is_as_short_as_the_documentation_says():
    assert code_lines("examples/own_loop.py") <= LINES
