"""Which device is taken, what is said where it is not there, and what an Apple GPU needs: no number of 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from DALESegmentLib.engine.commands import doctor
from DALESegmentLib.engine.core import device as devices
from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.distributed import Ranks
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.memory import available_memory
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.loss import DaleLoss
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.inference.sliding_window import free_bytes, is_out_of_memory, sw_batch_size
from DALESegmentLib.engine.planning.networks import FeatureTap, build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.sampling import PatchSampler
from Testing.phantoms import ball_case


@pytest.fixture
def machine(monkeypatch):
    def has(*, cuda: bool = False, mps: bool = False, ranks: int = 1, version: str = "2.9.1") -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch, "__version__", version)
        monkeypatch.setattr(devices, "current", lambda: Ranks(0, ranks, 0, ranks))

    return has


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({}, "cpu"),
        ({"mps": True}, "mps"),
        ({"cuda": True}, "cuda"),
        ({"cuda": True, "mps": True}, "cuda"),
        ({"mps": True, "version": "2.4.1+cpu"}, "cpu"),
        ({"mps": True, "version": "2.10.0"}, "mps"),
        ({"mps": True, "ranks": 2}, "cpu"),
    ],
)
def test_the_best_device_is_taken(there, taken, machine):
    machine(**there)
    assert str(choose_device()) == taken


def test_an_apple_gpu_is_one(machine):
    machine(mps=True)
    assert choose_device("mps") == choose_device("mps:0") == torch.device("mps")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "there", "told"),
    [
        ("mps", {}, "no usable mps .* use auto or cpu"),
        ("mps", {"mps": True, "version": "2.4.0"}, "torch 2.5 or newer"),
        ("mps", {"mps": True, "ranks": 2}, "cannot train together on an Apple GPU; train in one process"),
        ("cuda", {"mps": True}, "no usable cuda"),
        ("xpu", {"mps": True}, "not supported; use auto, cpu, cuda or mps"),
        ("tpu!", {}, "There is no device"),
    ],
)
def test_what_is_not_there_is_said(asked, there, told, machine):
    machine(**there)
    with pytest.raises(EngineError, match=told):
        choose_device(asked)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_plan_for_an_apple_gpu_lies_between(dims):
    """The network is that of a GPU, patches and batches are smaller."""
    facts = CaseFingerprint("a", False, (512, 512, 400), (0.8, 0.8, 1.0), 1, (0, 1), {1: "liver"}, 0.0, (0.0, 1.0))
    plans = [make_plan([facts], dims=dims, device=name) for name in ("cpu", "mps", "cuda")]
    voxels = [torch.Size(plan.patch_size).numel() for plan in plans]
    assert voxels[0] < voxels[1] < voxels[2]
    batches = [v * plan.batch_size for v, plan in zip(voxels, plans, strict=True)]
    assert batches[0] < batches[1] < batches[2]
    widths = [plan.network_arguments["channels"][0] for plan in plans]
    assert widths[0] < widths[1] == widths[2]


def test_its_memory_is_the_machines_up_to_what_it_may_take(monkeypatch):
    plan = make_plan([CaseFingerprint.of(ball_case("a", size=(16, 16, 8)))])
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 1 << 20)
    for most, expected in ((3 << 20, 2 << 20), (1 << 60, available_memory())):
        monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda most=most: most)
        assert free_bytes(torch.device("mps")) == pytest.approx(expected, rel=0.2)
    assert sw_batch_size(plan, (16, 16, 8), torch.device("mps")) >= 1
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 5.0 GB)"))


@pytest.mark.parametrize(
    ("version", "answer", "ok", "value", "advice"),
    [
        ("2.9.1", 16.0, True, "Apple GPU (MPS)", "not measured by us"),
        ("2.9.1", 15.0, False, "Apple GPU (MPS)", "not measured by us"),
        ("2.4.0", 16.0, False, "not used", "torch 2.5 or newer"),
        ("2.9.1", None, False, "does not work", "Update macOS"),
    ],
)
def test_the_doctor_says_what_it_is_and_that_it_is_not_measured(
    version, answer, ok, value, advice, machine, monkeypatch
):
    machine(mps=True, version=version)
    real = torch.ones

    def ones(n: int, device: Any = "cpu") -> torch.Tensor:
        assert device == "mps"
        if answer is None:
            raise RuntimeError("Invalid buffer size")
        return real(n) * (answer - n) / n

    monkeypatch.setattr(torch, "ones", ones)
    (check,) = doctor._gpus()
    assert check["ok"] is ok
    assert value in check["value"]
    assert advice in check["advice"]


class NoFloat64(TorchDispatchMode):
    """Refuses what an Apple GPU does not have. It takes numbers, as torch makes them of Python's."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, found)):
            if isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128):
                assert value.ndim == 0, f"{func} of 64 bits, {tuple(value.shape)}"
        return found


def test_the_check_itself_finds_them():
    with NoFloat64():
        torch.ones(3) * 2.5
        with pytest.raises(AssertionError, match="of 64 bits"):
            torch.ones(3).double()
        with pytest.raises(AssertionError, match="of 64 bits"):
            torch.from_numpy(np.ones(3)).float()


@pytest.mark.parametrize("network", ["UNet", "SegResNet", "DynUNet"])
def test_training_and_prediction_make_no_number_of_64_bits(network):
    cases = [ball_case(name, size=(20, 18, 10), seed=n) for n, name in enumerate("ab")]
    cases[0].trusted = cases[0].label == 1
    plan = make_plan([CaseFingerprint.of(case) for case in cases], network=network).model_copy(update={"batch_size": 2})
    model = build(plan.network, plan.network_arguments)
    sampler = PatchSampler([prepare_case(case, plan) for case in cases], plan)
    sampler.seed(0, 0)
    loss_fn = DaleLoss(plan.classes, DaleConfig(warm_up=0.0, alignment_start=0.0), reviewed_share=0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tap = FeatureTap(model, plan.classes)
    tap.find(lambda: model(torch.zeros(1, 1, *plan.network_patch)))
    with NoFloat64():
        for step in range(4):  # of both phases
            batch = sampler.draw(torch.device("cpu"))
            logits = model.train()(batch.image)
            loss = loss_fn(logits, batch, 0.5 + step / 10, tap.features)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 12.0)
            optimizer.step()
        Predictor(model, plan, torch.device("cpu")).prepared_probabilities(sampler.cases[0].image, Progress())
