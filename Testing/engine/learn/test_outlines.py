"""Outlines drawn anew in a training: what moves, what never does, and what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save

from DALESegmentLib.engine.dale.disagreement import START
from DALESegmentLib.engine.dale.settings import DaleSettings
from DALESegmentLib.engine.distributed.ranks import Ranks
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.learn.folder import CHECKPOINT_FILE, write_atomically
from DALESegmentLib.engine.learn.outlines import TIMES, Outlines, classes_added, outline_moved
from DALESegmentLib.engine.learn.patches import PatchSampler
from DALESegmentLib.engine.learn.plan import CaseFacts, make_plan
from DALESegmentLib.engine.learn.prepare import prepare_case
from DALESegmentLib.engine.learn.remembered import labels_of, load_remembered, save_labels
from DALESegmentLib.engine.measure.overlap import mean_dice
from DALESegmentLib.engine.process.progress import Progress
from Testing.phantoms import ball_case

ON = DaleSettings(third_opinion=True)


class Knowing:
    """A network that has found the true outlines, one case after the other."""

    def __init__(self, truths):
        self.truths = truths
        self.asked = 0

    def prepared_classes(self, image, progress):
        self.asked += 1
        return self.truths[(self.asked - 1) % len(self.truths)]


def drawn_by_hand(radii=(4.0, 8.0, 4.5, 7.5, 4.0, 8.0)):
    """Cases with balls of 6 mm that were drawn with these radii instead."""
    cases = [ball_case(str(n), size=(28, 28, 14), seed=n) for n in range(len(radii))]
    plan = make_plan([CaseFacts.of(case) for case in cases])
    prepared = [prepare_case(case, plan) for case in cases]
    truths = [case.label.clone() for case in prepared]
    for case, truth, radius in zip(prepared, truths, radii, strict=True):
        middle = truth.nonzero().double().mean(0)
        spacing = case.affine[:3, :3].double().norm(dim=0)
        at = torch.stack(torch.meshgrid(*(torch.arange(n) for n in truth.shape), indexing="ij"), -1).double()
        case.label = (((at - middle) * spacing).norm(dim=-1) < radius).to(truth.dtype)
    return plan, prepared, truths


def test_wrong_outlines_move_to_where_image_and_network_have_them():
    plan, cases, truths = drawn_by_hand()
    before = [case.label.clone() for case in cases]
    outlines = Outlines(cases, plan, Ranks(), ON)
    assert outlines.draw_anew(0.4, Knowing(truths), Progress())
    assert outlines.image_trust == 1.0
    for case, truth, was in zip(cases, truths, before, strict=True):
        assert mean_dice(was, truth) < 0.8 < 0.9 < mean_dice(case.label, truth)
        assert torch.equal(case.begun, was)


def test_good_outlines_stay_to_the_voxel():
    plan, cases, truths = drawn_by_hand()
    drawn, scattered = truths, [case.label.clone() for case in cases]
    for case, truth in zip(cases, drawn, strict=True):
        case.label = truth.clone()
    outlines = Outlines(cases, plan, Ranks(), ON)
    assert not outlines.draw_anew(0.4, Knowing(scattered), Progress())
    assert outlines.image_trust == 0.0
    assert not outlines.due(1.0)
    assert all(torch.equal(case.label, truth) and case.begun is None for case, truth in zip(cases, drawn, strict=True))


def test_images_that_would_move_all_outlines_one_way_are_not_trusted():
    """They show another edge than the annotators mean."""
    plan, cases, truths = drawn_by_hand(radii=(4.0, 4.5, 4.0, 4.5, 5.0, 4.0))
    before = [case.label.clone() for case in cases]
    assert not Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths), Progress())
    assert all(torch.equal(case.label, was) for case, was in zip(cases, before, strict=True))


def test_a_few_cases_are_too_few_to_tell():
    plan, cases, truths = drawn_by_hand(radii=(4.0, 8.0))
    assert not Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths), Progress())


def test_confirmed_voxels_never_move():
    plan, cases, truths = drawn_by_hand()
    for case, truth in zip(cases, truths, strict=True):
        case.trusted = (case.label != truth) & (torch.arange(truth.shape[0]) < truth.shape[0] // 2)[:, None, None]
    before = [case.label.clone() for case in cases]
    Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths), Progress())
    for case, was in zip(cases, before, strict=True):
        assert torch.equal(case.label[case.trusted], was[case.trusted])
        assert not torch.equal(case.label, was)


def test_what_was_held_against_a_label_speaks_for_the_new_one():
    plan, cases, truths = drawn_by_hand()
    for case in cases:
        case.disagreement[:] = 0.75
        case.disagreement[::2] = START
    before = [case.label.clone() for case in cases]
    Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths), Progress())
    for case, was in zip(cases, before, strict=True):
        moved = case.label != was
        expected = torch.where(moved, 0.25, 0.75).half()
        expected[::2] = START
        assert torch.equal(case.disagreement, expected)


def test_every_outline_is_drawn_from_the_one_the_training_began_with():
    plan, cases, truths = drawn_by_hand()
    outlines = Outlines(cases, plan, Ranks(), ON)
    outlines.draw_anew(0.4, Knowing(truths), Progress())
    once = [case.label.clone() for case in cases]
    outlines.draw_anew(0.6, Knowing(truths), Progress())
    assert all(torch.equal(case.label, was) for case, was in zip(cases, once, strict=True))


def test_each_time_comes_once():
    plan, cases, truths = drawn_by_hand()
    outlines = Outlines(cases, plan, Ranks(), ON)
    seen = []
    for share in np.linspace(0.0, 1.0, 41):
        if outlines.due(share):
            outlines.draw_anew(share, Knowing(truths), Progress())
            seen.append(share)
    assert seen == pytest.approx(TIMES, abs=0.026)


def test_a_case_smaller_than_a_patch_learns_the_new_outline_too():
    plan, cases, truths = drawn_by_hand()
    plan = plan.model_copy(update={"patch_size": (32, 32, 16)})
    sampler = PatchSampler(cases, plan)
    Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths), Progress())
    for padded, case in zip(sampler.cases, cases, strict=True):
        assert int((padded.label == 1).sum()) == int((case.label == 1).sum())
        assert case.begun is not None


def test_a_model_remembers_both_outlines_and_a_fine_tune_goes_on_with_the_new_one(tmp_path):
    plan, cases, truths = drawn_by_hand()
    save_labels(tmp_path, labels_of(cases, Ranks()))
    for case in cases:
        case.disagreement[:] = 0.75
    Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths), Progress())
    kept = {f"disagreement/{c.name}": c.disagreement for c in cases} | {
        f"learned/{c.name}": c.label.to(torch.uint8) for c in cases
    }
    write_atomically(tmp_path / CHECKPOINT_FILE, save(kept))
    remembered = load_remembered(tmp_path)
    _, again, _ = drawn_by_hand()
    for case, later in zip(cases, again, strict=True):
        known, as_drawn = remembered[case.name], later.label.clone()
        moved = case.label != case.begun
        # of the label in the file: what is held against it; of a corrected one: nothing
        assert torch.equal(known.about(later.label), torch.full_like(case.disagreement, 0.75))
        later.label[moved] = case.label[moved]
        assert torch.equal(known.about(later.label)[moved], case.disagreement[moved])
        later.label = as_drawn.clone()
        later.trusted[:, : later.label.shape[1] // 2] = True
        known.go_on(later)
        assert torch.equal(later.label, torch.where(later.trusted, as_drawn, case.label))
        assert torch.equal(later.begun, as_drawn)
        assert torch.equal(labels_of([later], Ranks())[later.name], as_drawn.to(torch.uint8))


def test_outlines_of_another_grid_are_refused_in_a_sentence(tmp_path):
    _, cases, _ = drawn_by_hand(radii=(4.0,))
    save_labels(tmp_path, labels_of(cases, Ranks()))
    kept = {"disagreement/0": cases[0].disagreement, "learned/0": torch.zeros((3, 3, 3), dtype=torch.uint8)}
    write_atomically(tmp_path / CHECKPOINT_FILE, save(kept))
    with pytest.raises(EngineError, match="does not fit together"):
        load_remembered(tmp_path)


def overlooked(empty=3, labelled=6):
    """Cases with one ball each, of which some labels have nothing."""
    plan, cases, truths = drawn_by_hand(radii=(6.0,) * (empty + labelled))
    for case, truth in zip(cases, truths, strict=True):
        case.label = truth.clone()
    for case in cases[:empty]:
        case.label[:] = 0
    return plan, cases, truths


def test_an_object_that_labels_left_out_is_learned():
    plan, cases, truths = overlooked()
    outlines = Outlines(cases, plan, Ranks(), ON)
    assert outlines.due(0.4)
    assert outlines.draw_anew(0.4, Knowing(truths + truths[:3]), Progress())
    for case, truth in zip(cases, truths, strict=True):
        assert torch.equal(case.label, truth)
    assert [classes_added(case) for case in cases] == [{1}] * 3 + [set()] * 6
    assert not any(outline_moved(case) for case in cases)
    assert all(not case.begun.any() for case in cases[:3])


def test_once_believed_the_network_is_believed_to_the_end():
    """What it learned since it would find anyway; the object is drawn as it sees it then."""
    plan, cases, truths = overlooked()
    outlines = Outlines(cases, plan, Ranks(), ON)
    smaller = [truth * (torch.arange(truth.shape[2]) < truth.shape[2] // 2) for truth in truths[:3]]
    outlines.draw_anew(0.4, Knowing(truths + smaller), Progress())
    again = Outlines(cases, plan, Ranks(), ON)
    again.state = outlines.state
    assert again.due(0.55)
    again.draw_anew(0.55, Knowing(truths[:3]), Progress())
    assert all(torch.equal(case.label, truth) for case, truth in zip(cases, truths, strict=True))


def test_labels_that_are_meant_to_be_empty_stay_empty():
    plan, cases, truths = overlooked()
    nothing = [torch.zeros_like(truth) for truth in truths[:2]]
    outlines = Outlines(cases, plan, Ranks(), ON)
    assert not outlines.draw_anew(0.4, Knowing(nothing + truths[2:]), Progress())
    assert not any(case.label.any() for case in cases[:3])
    assert outlines.due(0.55)  # a better network may find more


def test_where_nothing_is_confirmed_to_be_there_nothing_is_added():
    plan, cases, truths = overlooked()
    cases[0].trusted[:] = True
    Outlines(cases, plan, Ranks(), ON).draw_anew(0.4, Knowing(truths + truths[:3]), Progress())
    assert not cases[0].label.any()
    assert cases[1].label.any()


def test_both_are_done_together():
    """Wrong outlines, and a case without any."""
    radii = (4.0, 8.0, 4.5, 7.5, 4.0, 8.0, 6.0)
    plan, cases, truths = drawn_by_hand(radii=radii)
    cases[-1].label[:] = 0
    outlines = Outlines(cases, plan, Ranks(), ON)
    outlines.draw_anew(0.4, Knowing(truths), Progress())
    assert outlines.image_trust == 1.0
    assert [classes_added(case) for case in cases] == [set()] * 6 + [{1}]
    assert [outline_moved(case) for case in cases] == [True] * 6 + [False]
    assert all(mean_dice(case.label, truth) > 0.9 for case, truth in zip(cases, truths, strict=True))


def test_either_can_be_switched_off():
    plan, cases, truths = overlooked()
    off = Outlines(cases, plan, Ranks(), DaleSettings(third_opinion=True, left_out=False))
    assert not off.draw_anew(0.4, Knowing(truths), Progress())
    assert not off.due(0.55)
    assert not any(case.label.any() for case in cases[:3])
    plan, cases, truths = drawn_by_hand()
    assert not Outlines(cases, plan, Ranks(), DaleSettings()).due(0.4)
