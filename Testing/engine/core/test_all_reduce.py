"""Sums over two real processes, and what is made of them, are those of one process; and so are the gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from DALESegmentLib.engine.core.distributed import all_reduce_sum
from DALESegmentLib.engine.dale.paper_terms import ClassStatistics

RANK = """
import sys
import torch
import torch.distributed as dist
from DALESegmentLib.engine.core import distributed as totals
from Testing.engine.core.test_all_reduce import losses

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.save(losses(slice(rank * 300, 300 + rank * 500)), f"{folder}/{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""


def numbers() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """features (800, 3), classes (800,), chosen (800,)"""
    random = torch.Generator().manual_seed(5)
    features = torch.randn(800, 3, generator=random) + torch.tensor([1e4, -3e3, 0.5])
    return features, torch.arange(800) % 2, torch.rand(800, generator=random) < 0.7


def losses(share: slice) -> dict[str, torch.Tensor]:
    """Of a share of the numbers: sums, statistics, and the gradients of losses made of them."""
    features, classes, chosen = (values[share] for values in numbers())
    features.requires_grad_()
    found = ClassStatistics.of(features, classes, chosen, 2)
    ((found.mean * torch.arange(3)).sum() + found.variance.sqrt().sum()).backward()
    x = features.detach().clone().requires_grad_()
    total, squares = all_reduce_sum(x[:, 2].sum(), (x[:, 1:] / 1e3).square().sum(0))
    (total * squares).sum().backward()
    assert features.grad is not None
    assert x.grad is not None
    return {
        "mean": found.mean.detach(),
        "variance": found.variance.detach(),
        "total": total.detach(),
        "squares": squares.detach(),
        "gradient": features.grad,
        "other gradient": x.grad,
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("ranks")
    started = [subprocess.Popen([sys.executable, "-c", RANK, str(folder), str(rank)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="Gloo meets over a file")]


@pytest.mark.parametrize("name", ["mean", "variance", "total", "squares"])
def test_both_have_the_sums_of_all(name, ranks):
    expected = losses(slice(None))[name]
    for rank in ranks:
        torch.testing.assert_close(rank[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gradient", "other gradient"])
def test_gradients_of_the_shares_are_those_of_the_whole(name, ranks):
    """Each rank has those of its own numbers, as one process would have them, not times the number of ranks."""
    expected = losses(slice(None))[name]
    found = torch.cat([rank[name] for rank in ranks])
    assert expected.abs().max() > 1e-5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_the_variance_far_from_nothing_is_that_of_64_bits():
    features, classes, chosen = numbers()
    found = ClassStatistics.of(features, classes, chosen, 2)
    for value in range(2):
        mine = features[chosen & (classes == value)].double()
        torch.testing.assert_close(found.mean[value].double(), mine.mean(0), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.variance[value].double(), mine.var(0), rtol=1e-4, atol=0)
