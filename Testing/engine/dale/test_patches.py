"""What is taken from a case goes back to the very voxels it came from, however it was turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.patches import PatchIndex

SHAPE = (8, 7, 6)


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(*[st.integers(-3, 5)] * 3),
    st.lists(st.sampled_from([0, 1, 2]), unique=True),
    st.integers(0, 3),
    st.sampled_from([(0, 1), (0, 2), (1, 2)]),
)
def test_what_is_taken_is_put_back_in_place(start, flips, rot90, plane):
    """Patches may stick out; what lies outside is filled up and not put back."""
    array = torch.arange(np.prod(SHAPE), dtype=torch.float32).reshape(SHAPE)
    index = PatchIndex("case", start, (4, 4, 4), tuple(flips), rot90, plane)
    patch = index.take(array, value=-5.0)
    assert patch.shape == (4, 4, 4)
    out = torch.full_like(array, -1)
    index.put(out, patch)
    box = tuple(slice(max(s, 0), s + 4) for s in start)
    assert torch.equal(out[box], array[box])
    assert int((out >= 0).sum()) == array[box].numel()
    assert int((patch == -5.0).sum()) == 64 - array[box].numel()


def test_a_patch_is_turned_as_numpy_turns_it_and_then_flipped():
    array = torch.arange(24.0).reshape(1, 4, 6)
    index = PatchIndex("case", (0, 1), (4, 4), flips=(1,), rot90=1)
    wanted = np.flip(np.rot90(array[0, :, 1:5].numpy(), 1), 1)
    assert np.array_equal(index.take(array)[0].numpy(), wanted)


def test_a_slice_of_a_volume_has_no_axis_across_it():
    array = torch.arange(np.prod(SHAPE), dtype=torch.float32).reshape(SHAPE)
    index = PatchIndex("case", (1, 5, 0), (4, 1, 4), flips=(0,), rot90=1, plane=(0, 2), slice_axis=1)
    patch = index.take(array[None])
    assert patch.shape == (1, 4, 4)
    assert sorted(patch.flatten().tolist()) == sorted(array[1:5, 5, 0:4].flatten().tolist())
    out = torch.zeros_like(array)
    index.put(out, patch[0])
    assert torch.equal(out[1:5, 5, 0:4], array[1:5, 5, 0:4])
    assert int((out > 0).sum()) == 16


def test_outside_the_case_an_image_goes_on_as_it_is_at_its_border():
    image = torch.arange(4.0).reshape(1, 2, 2)
    patch = PatchIndex("case", (-1, 0), (3, 3)).take(image, mode="replicate")
    assert patch[0].tolist() == [[0, 1, 1], [0, 1, 1], [2, 3, 3]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": (0, 0, 0)},
        {"start": (1.0, 0.0)},
        {"size": 4},
        {"flips": 0},
        {"flips": (2,)},
        {"flips": (0, 0)},
        {"flips": (True, False)},
        {"rot90": 1.0},
        {"rot90": 1, "plane": (0, 0)},
        {"rot90": 1, "plane": (0, 2)},
        {"slice_axis": 0},
        {"slice_axis": 5},
        {"start": None},
    ],
    ids=str,
)
def test_what_is_no_patch_is_refused(wrong):
    with pytest.raises(EngineError, match=r"PatchIndex\(case='a'.* is no patch: "):
        PatchIndex(**({"case": "a", "start": (0, 0), "size": (4, 4)} | wrong))


def test_places_and_images_may_be_of_numpy_and_torch():
    image = np.arange(24.0).reshape(1, 4, 6)
    index = PatchIndex("a", np.array([-1, 1]), torch.tensor([4, 4]), flips=(0,), rot90=1)
    assert index == PatchIndex("a", (-1, 1), (4, 4), flips=(0,), rot90=1)
    assert torch.equal(index.take(image), index.take(torch.from_numpy(image)))


@pytest.mark.parametrize("start", [(8, 0, 0), (0, -4, 0), (0, 0)])
def test_a_patch_without_a_voxel_of_its_case_is_refused(start):
    with pytest.raises(EngineError, match=r"no voxel of the case a.*\(8, 7, 6\)"):
        PatchIndex("a", start, (4,) * len(start)).coverage(SHAPE)
