"""The label of a case in all its versions, against a model that keeps every voxel in a dictionary."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from DALESegmentLib.engine.dale import label_state
from DALESegmentLib.engine.dale.label_state import IGNORED, NO_PROPOSAL, LabelState

SHAPE = (4, 3, 2)
VOXELS = int(np.prod(SHAPE))
NAMES = ("annotator_bias", "image_evidence", "missed_objects", "another")
STRONGEST_FIRST = ("another", "missed_objects", "image_evidence", "annotator_bias")


class SlowState:
    """One dictionary a voxel, and the rules as they are written in words."""

    def __init__(self, given, reviewed):
        self.voxels = [
            {"given": g, "reviewed": r, "corrected": None, "s": np.float16(0.5), "seen": False, "proposals": {}}
            for g, r in zip(given, reviewed, strict=True)
        ]

    @staticmethod
    def label(voxel, names=STRONGEST_FIRST):
        if voxel["reviewed"]:
            return voxel["given"] if voxel["corrected"] is None else voxel["corrected"]
        for name in names:
            if name in voxel["proposals"]:
                return voxel["proposals"][name]
        return voxel["given"]

    def began_with(self, voxel):
        return self.label(voxel, ("annotator_bias",))

    @staticmethod
    def why(voxel):
        if voxel["reviewed"]:
            return "corrected" if voxel["corrected"] not in (None, voxel["given"]) else "reviewed"
        return next((name for name in STRONGEST_FIRST if name in voxel["proposals"]), "given")

    def change(self, proposals):
        """The same as one proposal after the other, but every voxel is turned once."""
        before = [self.label(v) for v in self.voxels]
        for name, labels in proposals:
            for n, v in enumerate(self.voxels):
                v["proposals"].pop(name, None)
                if labels is not None and labels[n] != NO_PROPOSAL:
                    v["proposals"][name] = labels[n]
        for was, v in zip(before, self.voxels, strict=True):
            if was != self.label(v) and v["seen"]:
                v["s"] = np.float16(1) - v["s"]
        return sum(was != self.label(v) for was, v in zip(before, self.voxels, strict=True))

    def known_of(self, voxel, label):
        if voxel["seen"] and label == self.label(voxel):
            return voxel["s"], True
        if voxel["seen"] and label == self.began_with(voxel):
            return np.float16(1) - voxel["s"], True
        return np.float16(0.5), False

    def reviewed_anew(self, labels, where):
        """The next training: some voxels were reviewed since, all others come from the file again."""
        now = [labels[n] if where[n] else v["given"] for n, v in enumerate(self.voxels)]
        after = SlowState(now, [bool(w) for w in where])
        for new, old in zip(after.voxels, self.voxels, strict=True):
            new["corrected"] = new["given"]
            if new["reviewed"]:
                new["given"] = old["given"]
            began = self.began_with(old)
            if self.began_with(new) == began != self.label(old) and not new["reviewed"]:
                new["proposals"] = {k: p for k, p in old["proposals"].items() if k != "annotator_bias"}
            new["s"], new["seen"] = self.known_of(old, self.label(new))
            if new["reviewed"]:
                new["s"], new["seen"] = np.float16(0), True
        return after


def assert_same(state: LabelState, slow: SlowState) -> None:
    flat = {name: getattr(state, name)().flatten().tolist() for name in ("target", "initial", "source")}
    assert flat["target"] == [slow.label(v) for v in slow.voxels]
    assert flat["initial"] == [slow.began_with(v) for v in slow.voxels]
    assert [state.source_names[n] for n in flat["source"]] == [slow.why(v) for v in slow.voxels]
    assert state.disagreement.flatten().tolist() == [float(v["s"]) for v in slow.voxels]
    assert state.seen.flatten().tolist() == [v["seen"] for v in slow.voxels]
    counts = {name: n for name, n in state.source_counts().items() if n}
    assert counts == {why: [slow.why(v) for v in slow.voxels].count(why) for why in {slow.why(v) for v in slow.voxels}}
    part = (slice(1, 3), slice(0, 2), slice(1, 2))
    assert torch.equal(state.target(part), state.target()[part])
    assert torch.equal(state.source(part), state.source()[part])
    some = torch.arange(VOXELS).reshape(SHAPE) % 3
    known = state.disagreement_of(some)
    assert known is not None
    wanted = [slow.known_of(v, n % 3) for n, v in enumerate(slow.voxels)]
    assert [*zip(known.values.flatten().tolist(), known.seen.flatten().tolist(), strict=True)] == wanted


def grid(values, kind=torch.int16):
    return torch.tensor(values, dtype=kind).reshape(SHAPE)


classes = st.lists(st.integers(0, 2), min_size=VOXELS, max_size=VOXELS)
masks = st.lists(st.booleans(), min_size=VOXELS, max_size=VOXELS)
proposed = st.lists(st.sampled_from([NO_PROPOSAL, IGNORED, 0, 1, 2]), min_size=VOXELS, max_size=VOXELS)
steps = st.one_of(
    st.tuples(st.just("propose"), st.sampled_from(NAMES), st.none() | proposed),
    st.tuples(st.just("revise"), proposed, st.none() | proposed),
    st.tuples(st.just("record"), st.integers(0, 3), st.floats(0, 1)),
    st.tuples(st.just("review"), classes, masks),
    st.tuples(st.just("save")),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(classes, masks, st.lists(steps, max_size=12), st.sampled_from([1, 7, 1000]))
def test_any_history_ends_as_in_a_model_of_single_voxels(labels, reviewed, history, slab):
    was, label_state._SLAB = label_state._SLAB, slab
    try:
        state, slow = LabelState(grid(labels), grid(reviewed, torch.bool)), SlowState(labels, reviewed)
        for step in history:
            state, slow = taken(step, state, slow)
            assert_same(state, slow)
    finally:
        label_state._SLAB = was


def taken(step, state: LabelState, slow: SlowState) -> tuple[LabelState, SlowState]:
    version = state.version
    match step:
        case ("propose", name, labels):
            moved = state.set_proposal(name, None if labels is None else grid(labels))
            assert moved == slow.change([(name, labels)])
        case ("revise", first, second):
            with state.revision():
                state.set_proposal("image_evidence", grid(first).numpy())
                state.set_proposal("missed_objects", None if second is None else grid(second))
            slow.change([("image_evidence", first), ("missed_objects", second)])
        case ("record", row, value):
            state.record((slice(row, row + 1),), torch.full((1, *SHAPE[1:]), value))
            for v in slow.voxels[row * 6 : row * 6 + 6]:
                v["s"], v["seen"] = np.float16(value), True
        case ("review", labels, where):
            earlier = state
            now = torch.where(grid(where, torch.bool), grid(labels), state.given)
            state, slow = LabelState(now, grid(where, torch.bool)), slow.reviewed_anew(labels, where)
            state.restore_given(earlier.given)
            state.resume(earlier)
            state.clear_reviewed()
        case ("save",):
            stored = load(save({name: values.contiguous() for name, values in state.state_dict().items()}))
            for again in (LabelState.from_state_dict(stored), LabelState(torch.zeros(SHAPE, dtype=torch.int16))):
                again.load_state_dict(stored)
                assert_same(again, slow)
            return again, copy.deepcopy(slow)
    assert state.version > version or step[0] == "review"
    return state, slow


def test_a_corrector_that_is_new_above_others_sees_what_they_propose():
    state = LabelState(grid([0] * VOXELS))
    state.set_proposal("image_evidence", grid([1] * VOXELS))
    state.set_proposal("missed_objects", grid([2] * VOXELS))
    assert (state.below("missed_objects") == 1).all()
    assert (state.below("image_evidence") == 0).all()
    assert (state.below("annotator_bias") == 0).all()
    assert state.class_counts() == {2: VOXELS}
    assert state.class_counts(state.initial) == {0: VOXELS}


def test_what_does_not_fit_is_refused():
    state = LabelState(grid([0] * VOXELS))
    with pytest.raises(ValueError, match="proposes labels"):
        state.set_proposal("image_evidence", torch.zeros((2, 2, 2)))
    for name, values in (("seen", torch.zeros((2, 2, 2))), ("other", torch.zeros(SHAPE))):
        with pytest.raises(ValueError, match="does not fit"):
            state.load_state_dict({name: values})
    with pytest.raises(ValueError, match="another shape"):
        LabelState.from_state_dict(state.state_dict() | {"seen": torch.zeros((2, 2, 2), dtype=torch.bool)})
    assert state.disagreement_of(torch.zeros((2, 2, 2))) is None


def test_a_state_of_another_grid_says_nothing():
    state, other = LabelState(grid([0] * VOXELS)), LabelState(torch.ones((2, 2, 2), dtype=torch.int16))
    other.record(..., torch.ones((2, 2, 2)))
    state.resume(other)
    state.restore_given(other.given)
    assert not state.seen.any()
    assert state.corrected is None


def test_arrays_that_lie_in_files_stay_there(tmp_path):
    """Also those that are added later; every write goes to the file."""
    files = []

    def in_files(shape, kind):
        path = tmp_path / str(len(files))
        files.append(path)
        array = np.memmap(path, torch.empty(0, dtype=kind).numpy().dtype, "w+", shape=shape)
        return torch.from_numpy(array)

    mapped = {}
    state = LabelState(grid([0, 1] * (VOXELS // 2)), grid([False, True] * (VOXELS // 2), torch.bool))
    for name, values in state.state_dict().items():
        mapped[name] = in_files(SHAPE, values.dtype)
        mapped[name].copy_(values)
    state = LabelState.from_state_dict(mapped, in_files)
    places = {name: values.data_ptr() for name, values in mapped.items()}
    earlier = LabelState(grid([0] * VOXELS))
    earlier.record(..., torch.full(SHAPE, 0.25))
    earlier.set_proposal("image_evidence", grid([2] * VOXELS))
    state.restore_given(earlier.given)
    state.resume(earlier)
    state.clear_reviewed()
    state.set_proposal("missed_objects", grid([2] * VOXELS))
    assert len(files) == 4 + 3  # corrected and two proposals
    assert {name: values.data_ptr() for name, values in state.state_dict().items() if name in places} == places
    on_disk = np.fromfile(files[[*mapped].index("disagreement")], np.float16)
    assert np.array_equal(on_disk, state.disagreement.flatten().numpy())
