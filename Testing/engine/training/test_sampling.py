"""Disagreement goes with its patch and comes back to the very voxels it came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.sampling import PatchSampler, Pose
from Testing.phantoms import ball_case


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.integers(0, 3)] * 3),
    st.lists(st.sampled_from([0, 1, 2]), unique=True),
    st.integers(0, 3),
    st.sampled_from([(0, 1), (0, 2), (1, 2)]),
)
def test_what_is_taken_is_put_back_in_place(start, flips, turns, axes):
    array = torch.arange(8**3, dtype=torch.float32).reshape(8, 8, 8)
    pose = Pose(0, start, (4, 4, 4), tuple(flips), turns, axes)
    patch = pose.take(array)
    assert patch.shape == (4, 4, 4)
    out = torch.full_like(array, -1)
    pose.put(out, patch)
    touched = out >= 0
    assert int(touched.sum()) == 64
    assert torch.equal(out[touched], array[touched])


@pytest.mark.parametrize("dims", [2, 3])
def test_batches_hold_the_same_voxels_in_image_label_and_state(dims):
    """The image is made to say where each voxel is, so a shift of one would show."""
    case = ball_case(size=(20, 18, 6))
    plan = make_plan([CaseFingerprint.of(case)], dims=dims).model_copy(update={"batch_size": 3})
    prepared = prepare_case(case, plan)
    code = torch.arange(prepared.labels.given.numel()).reshape(prepared.labels.shape)
    prepared.image = code.unsqueeze(0).float()
    prepared.labels = LabelState((code % 2).to(torch.int16))
    sampler = PatchSampler([prepared], plan)
    sampler.augment.transforms = ()
    sampler.seed(0, 0)
    for _ in range(5):
        batch, poses = sampler.draw(torch.device("cpu"))
        inside = batch.valid > 0
        seen = batch.image[:, 0][inside].long()
        assert torch.equal(seen % 2, batch.label[inside])
        sampler.write_back(poses, (batch.image[:, 0] % 1000) / 1000)
        expected = ((code % 1000) / 1000).half()
        assert torch.equal(prepared.labels.disagreement.flatten()[seen], expected.flatten()[seen])
        assert prepared.labels.seen.flatten()[seen].all()


def test_padding_is_outside_everything_and_the_case_still_sees_its_state():
    case = ball_case(size=(20, 18, 6))
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (32, 32, 8), "batch_size": 2})
    prepared = prepare_case(case, plan)
    sampler = PatchSampler([prepared], plan)
    sampler.seed(0, 0)
    batch, poses = sampler.draw(torch.device("cpu"))
    assert batch.image.shape == (2, 1, 32, 32, 8)
    assert int(batch.valid[0].sum()) == prepared.labels.given.numel()
    sampler.write_back(poses, torch.full(batch.label.shape, 0.25))
    whole = torch.full(prepared.labels.shape, 0.25, dtype=torch.float16)
    assert torch.equal(prepared.labels.disagreement, whole)
    assert prepared.labels.seen.all()


def test_an_epoch_draws_the_same_whatever_came_before():
    case = ball_case()
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (8, 8, 8)})
    sampler = PatchSampler([prepare_case(case, plan)], plan)
    sampler.seed(3, 7)
    first = sampler.draw(torch.device("cpu"))
    sampler.seed(3, 0)
    sampler.draw(torch.device("cpu"))
    sampler.seed(3, 7)
    again = sampler.draw(torch.device("cpu"))
    assert first[1] == again[1]
    assert torch.equal(first[0].image, again[0].image)


def test_fine_tuning_looks_where_the_clinician_did():
    case = ball_case(size=(40, 40, 12))
    case.trusted = np.zeros(case.label.shape, bool)
    case.trusted[2:4, 30:34, 30:34] = True
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (8, 8, 8), "batch_size": 30})
    sampler = PatchSampler([prepare_case(case, plan)], plan, focus_trusted=True)
    sampler.seed(0, 0)
    batch, _ = sampler.draw(torch.device("cpu"))
    assert float(batch.trusted.flatten(1).any(1).float().mean()) > 0.5


def test_corners_are_seen_as_well():
    case = ball_case(size=(60, 60, 12))
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (32, 32, 8), "batch_size": 100})
    sampler = PatchSampler([prepare_case(case, plan)], plan)
    sampler.seed(0, 0)
    _, poses = sampler.draw(torch.device("cpu"))
    sampler.write_back(poses, torch.full((100, 32, 32, 8), 0.25))
    assert sampler.cases[0].labels.seen.float().mean() > 0.97


def test_a_case_smaller_than_a_patch_is_filled_up_as_it_always_was():
    """As if the whole case had been filled up first, also where it is larger along another axis."""
    case = ball_case(size=(20, 40, 6))
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (16, 32, 9), "batch_size": 40})
    prepared = prepare_case(case, plan)
    short = [max(0, p - n) for p, n in zip(plan.patch_size, prepared.labels.shape, strict=True)]
    assert any(short)
    assert not all(short)
    pads = [n for s in reversed(short) for n in (s // 2, s - s // 2)]
    image = torch.nn.functional.pad(prepared.image, pads, mode="replicate")
    label = torch.nn.functional.pad(prepared.labels.given, pads, value=-1)
    sampler = PatchSampler([prepared], plan)
    sampler.augment.transforms = ()
    sampler.seed(0, 0)
    batch, poses = sampler.draw(torch.device("cpu"))
    assert torch.equal(batch.image, torch.stack([pose.take(image) for pose in poses]))
    assert torch.equal(batch.label, torch.stack([pose.take(label) for pose in poses]).clamp_min(0).long())
    assert torch.equal(batch.valid > 0, torch.stack([pose.take(label) for pose in poses]) >= 0)
