"""A memory gives the labels of patches, takes their disagreement back, and keeps both for a resume."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.correctors.annotator_bias import correct_bias
from DALESegmentLib.engine.dale.label_memory import LabelMemory, label_correctors
from DALESegmentLib.engine.dale.label_state import NO_PROPOSAL
from DALESegmentLib.engine.dale.patches import PatchIndex, PatchLabels

RNG = np.random.default_rng(0)


def a_label(shape=(10, 9, 8), classes=3):
    return np.random.default_rng(1).integers(0, classes, shape)


def test_patches_have_the_labels_of_their_voxels_and_padding_has_none():
    memory, label = LabelMemory(), a_label()
    reviewed = label == 2
    memory.add("a", label, reviewed)
    inside = PatchIndex("a", (1, 2, 3), (4, 4, 4), flips=(0,))
    beyond = PatchIndex("a", (-2, 0, 0), (4, 4, 4))
    found = memory.at([inside, beyond])
    assert np.array_equal(found.target[0].numpy(), label[1:5, 2:6, 3:7][::-1])
    assert np.array_equal(found.reviewed[0].numpy(), reviewed[1:5, 2:6, 3:7][::-1])
    assert found.valid[0].min() == 1
    assert found.valid[1, :2].max() == 0
    assert np.array_equal(found.target[1, 2:].numpy(), label[:2, :4, :4])
    assert not found.seen[0].any()


def test_disagreement_comes_back_to_its_voxels():
    memory, code = LabelMemory(), torch.arange(720).reshape(10, 9, 8) / 720
    memory.add("a", a_label())
    where = [
        PatchIndex("a", (6, -1, 2), (4, 4, 4), flips=(1, 2), rot90=3, plane=(0, 2)),
        PatchIndex("a", (0, 4, 0), (4, 4, 4), rot90=1),
    ]
    found = memory.at(where)
    found.record(torch.stack([index.take(code, value=0.5) for index in where]))
    seen = memory["a"].seen
    assert int(seen.sum()) == 4 * 3 * 4 + 64
    assert torch.equal(memory["a"].disagreement[seen], code[seen].half())
    again = memory.at(where)
    assert torch.equal(again.disagreement[1], where[1].take(code).half().float())
    assert again.seen.all()


def test_nothing_is_recorded_of_what_is_not_a_number():
    memory = LabelMemory()
    memory.add("a", a_label())
    memory.at(["a"]).record(torch.full((1, 10, 9, 8), torch.nan))
    assert not memory["a"].seen.any()


def test_the_name_of_a_case_stands_for_all_of_it():
    memory = LabelMemory()
    labels = {name: np.random.default_rng(n).integers(0, 2, (6, 5)) for n, name in enumerate("ab")}
    for name, label in labels.items():
        memory.add(name, label)
    found = memory.at(["b", "a"])
    assert np.array_equal(found.target.numpy(), np.stack([labels["b"], labels["a"]]))
    found.record(torch.stack([torch.full((6, 5), 0.25), torch.full((6, 5), 0.75)]))
    assert float(memory["b"].disagreement.float().mean()) == 0.25
    assert float(memory["a"].disagreement.float().mean()) == 0.75


def test_negative_labels_are_not_learned_and_the_array_that_was_given_is_left_alone():
    memory, label = LabelMemory(), np.array([[0, 1], [-1, -7]])
    state = memory.add("a", label)
    assert memory.at(["a"]).valid.tolist() == [[[1, 1], [0, 0]]]
    state.given.fill_(1)
    assert label.tolist() == [[0, 1], [-1, -7]]


@pytest.mark.parametrize(
    ("label", "more", "code"),
    [
        (np.zeros((1, 4, 4, 4)), {}, "bad-shape"),
        (np.full((4, 4), 0.5), {}, "bad-label"),
        (np.full((4, 4), 40_000), {}, "bad-label"),
        (np.zeros((4, 4)), {"reviewed": np.zeros((4, 5), bool)}, "bad-shape"),
        (np.zeros((4, 4)), {"image": np.zeros((4, 4))}, "bad-shape"),
        (np.zeros((4, 4)), {"spacing": (1.0, 1.0, 1.0)}, "bad-shape"),
        (np.zeros((4, 4)), {"before_review": np.zeros((4, 5))}, "bad-shape"),
        (np.zeros((0, 4)), {}, "bad-shape"),
        (np.zeros((4, 4)), {"image": 3.0}, "bad-shape"),
        (np.zeros((4, 4)), {"spacing": 1.0}, "bad-shape"),
        (np.zeros((4, 4)), {"spacing": (1.0, -1.0)}, "bad-shape"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(label, more, code):
    with pytest.raises(EngineError) as refused:
        LabelMemory().add("a", label, **more)
    assert refused.value.code == code
    assert "'a'" in refused.value.sentence


@pytest.mark.parametrize("label", [None, "label.nii.gz"])
def test_what_is_no_array_is_refused(label):
    with pytest.raises(EngineError, match="arrays of numbers"):
        LabelMemory().add("a", label)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", ">i2", ">f4", "?"])
def test_whatever_type_and_order_in_memory_a_label_has_it_is_the_same(kind):
    wanted, memory = a_label((6, 5), classes=2), LabelMemory()
    turned = wanted[::-1].astype(kind)[::-1]
    assert turned.strides[0] < 0
    turned.flags.writeable = False
    state = memory.add("a", turned, spacing=np.array([1.0, 2.0]))
    assert np.array_equal(state.given.numpy(), wanted)
    memory.add("b", turned, spacing=torch.tensor([1.0, 2.0]))  # MONAI's pixdim
    assert [case.spacing for case in memory.cases] == [(1.0, 2.0)] * 2


def test_cases_are_added_once_and_before_they_are_asked_for():
    memory = LabelMemory()
    memory.add("a", a_label())
    memory.add("b", a_label((6, 5)))
    for wrong, code in (
        (lambda: memory.add("a", a_label()), "case-twice"),
        (lambda: memory.at(["c"]), "unknown-case"),
        (lambda: memory.at([]), "bad-shape"),
        (lambda: memory.at("a"), "bad-shape"),
        (lambda: memory.at(PatchIndex("a", (0, 0, 0), (4, 4, 4))), "bad-shape"),
        (lambda: memory.at(3), "bad-shape"),
        (lambda: LabelMemory().disagreement_by_class(2), "no-cases"),
        (lambda: memory.at(["a", "b"]), "bad-shape"),
        (lambda: memory.disagreement_by_class(2), "unknown-class"),
        (lambda: memory.load_state_dict({}), "other-cases"),
    ):
        with pytest.raises(EngineError) as refused:
            wrong()
        assert refused.value.code == code


def test_a_resumed_memory_is_the_same():
    memory, again = LabelMemory(), LabelMemory()
    for each in (memory, again):
        each.add("a", a_label(), a_label() == 1)
    memory.at(["a"]).record(torch.rand(1, 10, 9, 8))
    memory["a"].set_proposal("image_evidence", np.where(a_label() == 0, 1, NO_PROPOSAL))
    again.load_state_dict(memory.state_dict())
    for name, values in memory.state_dict()["a"].items():
        assert torch.equal(again.state_dict()["a"][name], values)
    assert torch.equal(again.at(["a"]).target, memory.at(["a"]).target)
    other = LabelMemory()
    other.add("a", a_label((4, 4)))
    with pytest.raises(EngineError, match="another label"):
        other.load_state_dict(memory.state_dict())


def test_the_disagreement_of_a_class_is_that_of_its_voxels_also_after_the_target_moved():
    memory, labels = LabelMemory(), {name: a_label((20, 20)) for name in "ab"}
    for name, label in labels.items():
        memory.add(name, label)
    s = torch.rand(2, 20, 20)
    memory.at(["a", "b"]).record(s)

    def wanted(c):
        return np.sort(np.concatenate([memory[n].disagreement[memory[n].target() == c].numpy() for n in "ab"]))

    for found, c in zip(memory.disagreement_by_class(3), range(3), strict=True):
        assert np.array_equal(np.sort(found), wanted(c))
    memory["b"].set_proposal("missed_objects", np.where(labels["b"] == 0, 2, NO_PROPOSAL))
    counts = [len(found) for found in memory.disagreement_by_class(3)]
    assert counts == [len(wanted(c)) for c in range(3)]
    assert counts[2] > (labels["a"] == 2).sum() + (labels["b"] == 2).sum()


def squares(lacking=()):
    """Ten cases with a square each, of which some have no label."""
    memory, truths = LabelMemory(), {}
    for n in range(10):
        truth = np.zeros((32, 32), np.int16)
        truth[5 + n : 15 + n, 8:18] = 1
        truths[n] = truth
        memory.add(n, np.zeros_like(truth) if n in lacking else truth, image=RNG.random((1, 32, 32)))
    return memory, truths


def test_correctors_propose_what_the_network_finds_in_labels_without_it():
    memory, truths = squares(lacking=(8, 9))
    correctors = label_correctors(memory, 2, DaleConfig())
    asked = []

    def predict(case):
        asked.append(case)
        return np.eye(2, dtype=np.float32)[truths[case]].transpose(2, 0, 1)

    assert memory.refine(correctors, predict) == 200
    assert sorted(asked) == list(range(10))
    assert all(np.array_equal(memory[n].target().numpy(), truths[n]) for n in range(10))
    assert label_correctors(squares()[0], 2, DaleConfig()) == []


def test_a_prediction_of_another_shape_is_refused():
    memory, truths = squares(lacking=(9,))
    with pytest.raises(EngineError, match=r"prediction of 0 has the shape \(32, 32\)"):
        memory.refine(label_correctors(memory, 2, DaleConfig()), lambda case: truths[case])


def test_image_evidence_asks_for_images():
    memory = LabelMemory()
    for n in range(6):
        memory.add(n, squares()[1][n])
    correctors = label_correctors(memory, 2, DaleConfig(image_evidence=True))
    with pytest.raises(EngineError, match="needs the image of"):
        memory.refine(correctors, lambda _: np.eye(2, dtype=np.float32)[squares()[1][3]].transpose(2, 0, 1))


def test_a_bias_that_the_review_shows_is_undone_where_nobody_looked():
    memory = LabelMemory()
    for n in range(20):
        truth, drawn = np.zeros((40, 40)), np.zeros((40, 40))
        truth[10:30, 10:30], drawn[8:32, 8:32] = 1, 1
        looked = np.zeros((40, 40), bool)
        looked[:20] = n < 19
        memory.add(n, np.where(looked, truth, drawn), looked, before_review=drawn)
    bias = correct_bias(memory.cases)
    assert bias is not None
    assert bias.offset == pytest.approx(-2.0)
    assert abs(int((memory[19].target() == 1).sum()) - 20 * 20) < 10  # of 24 * 24


def test_an_empty_share_of_a_batch_counts_for_nothing():
    empty = PatchLabels.empty((4, 4), total=3)
    assert empty.valid.sum() == 0
    assert empty.total == 3
    empty.record(torch.zeros(1, 4, 4))  # nowhere


HEAVY = ("monai", "sklearn", "slicer", "vtk")


def test_a_loop_of_ones_own_needs_no_heavy_package():
    code = (
        "import sys\n"
        "import DALESegmentLib.engine.dale.loss, DALESegmentLib.engine.dale.label_memory\n"
        f"sys.exit(str([name for name in {HEAVY!r} if name in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert done.stderr.strip() == ""
