"""Disagreement goes with its patch and comes back to the very voxels it came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.sampling import PatchSampler
from Testing.phantoms import ball_case


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
        batch = sampler.draw(torch.device("cpu"))
        inside = batch.valid > 0
        seen = batch.image[:, 0][inside].long()
        assert torch.equal(seen % 2, batch.target[inside])
        batch.record((batch.image[:, 0] % 1000) / 1000)
        expected = ((code % 1000) / 1000).half()
        assert torch.equal(prepared.labels.disagreement.flatten()[seen], expected.flatten()[seen])
        assert prepared.labels.seen.flatten()[seen].all()


def test_padding_is_outside_everything_and_the_case_still_sees_its_state():
    case = ball_case(size=(20, 18, 6))
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (32, 32, 8), "batch_size": 2})
    prepared = prepare_case(case, plan)
    sampler = PatchSampler([prepared], plan)
    sampler.seed(0, 0)
    batch = sampler.draw(torch.device("cpu"))
    assert batch.image.shape == (2, 1, 32, 32, 8)
    assert int(batch.valid[0].sum()) == prepared.labels.given.numel()
    batch.record(torch.full(batch.target.shape, 0.25))
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
    assert first.where == again.where
    assert torch.equal(first.image, again.image)


def test_fine_tuning_looks_where_the_clinician_did():
    case = ball_case(size=(40, 40, 12))
    case.trusted = np.zeros(case.label.shape, bool)
    case.trusted[2:4, 30:34, 30:34] = True
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (8, 8, 8), "batch_size": 30})
    sampler = PatchSampler([prepare_case(case, plan)], plan, focus_trusted=True)
    sampler.seed(0, 0)
    batch = sampler.draw(torch.device("cpu"))
    assert float(batch.reviewed.flatten(1).any(1).float().mean()) > 0.5


def test_corners_are_seen_as_well():
    case = ball_case(size=(60, 60, 12))
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (32, 32, 8), "batch_size": 100})
    sampler = PatchSampler([prepare_case(case, plan)], plan)
    sampler.seed(0, 0)
    batch = sampler.draw(torch.device("cpu"))
    batch.record(torch.full((100, 32, 32, 8), 0.25))
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
    batch = sampler.draw(torch.device("cpu"))
    boxes = [
        [slice(n + s // 2, n + s // 2 + p) for n, s, p in zip(patch.start, short, plan.patch_size, strict=True)]
        for patch in batch.where
    ]

    def taken(array):
        return torch.stack([patch.oriented(array[(..., *box)]) for patch, box in zip(batch.where, boxes, strict=True)])

    assert torch.equal(batch.image, taken(image))
    assert torch.equal(batch.target, taken(label).clamp_min(0).long())
    assert torch.equal(batch.valid > 0, taken(label) >= 0)


def a_sampler() -> PatchSampler:
    """Of patches of a third of a case, so that they overlap."""
    case = ball_case(size=(20, 18, 6))
    plan = make_plan([CaseFingerprint.of(case)]).model_copy(update={"patch_size": (12, 12, 6), "batch_size": 3})
    return PatchSampler([prepare_case(case, plan)], plan)


def test_batches_drawn_ahead_are_the_same_and_see_what_was_learned_between():
    """Each batch's disagreement is written back before the next one is read, whichever was cut first."""

    def told(ahead: bool) -> list[torch.Tensor]:
        sampler = a_sampler()
        sampler.seed(3, 1)
        found = []
        for n, batch in enumerate(sampler.batches(6, torch.device("cpu"), ahead=ahead)):
            found += [batch.image, batch.target, batch.disagreement, batch.seen]
            batch.record(torch.full_like(batch.disagreement, 0.1 * (n + 1)))
        assert len(found) == 6 * 4
        return found

    assert all(torch.equal(a, b) for a, b in zip(told(True), told(False), strict=True))
    assert all(bool(seen.any()) for seen in told(True)[7::4])  # of the later batches


def test_what_goes_wrong_in_the_thread_is_raised():
    sampler = a_sampler()
    sampler.seed(0, 0)
    sampler.outlines = []  # no case to draw from
    with pytest.raises(IndexError):
        list(sampler.batches(3, torch.device("cpu"), ahead=True))
