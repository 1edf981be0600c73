"""Labels refined in a training: what moves, what never does, and what is kept of it."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.run_folder import CHECKPOINT_FOLDER
from DALESegmentLib.engine.commands.training_run import resume_labels
from DALESegmentLib.engine.core.distributed import Ranks
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.correctors.annotator_bias import AnnotatorBias, Bias
from DALESegmentLib.engine.dale.correctors.base import Predictions
from DALESegmentLib.engine.dale.label_memory import LabelMemory, label_correctors
from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.dale.loss import DaleLoss
from DALESegmentLib.engine.metrics.segmentation import mean_dice
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from DALESegmentLib.engine.training.callbacks import DEFAULT, LabelRefinement
from DALESegmentLib.engine.training.checkpoint import Checkpoint, load_labels
from DALESegmentLib.engine.training.sampling import PatchSampler
from Testing.phantoms import ball_case

ON = DaleConfig(image_evidence=True)
CPU = torch.device("cpu")


class Knowing(Predictions):
    """A network that has found these outlines, by case."""

    def __init__(self, cases, truths):
        self.truths = {case.name: truth.numpy() for case, truth in zip(cases, truths, strict=True)}
        self.asked = []

    def classes(self, case):
        self.asked.append(case.name)
        return self.truths[case.name]


def relabel(case, label):
    case.labels = LabelState(label, case.labels.reviewed)


def misdrawn(radii=(4.0, 8.0, 4.5, 7.5, 4.0, 8.0)):
    """Cases with balls of 6 mm that were drawn with these radii instead."""
    cases = [ball_case(str(n), size=(28, 28, 14), seed=n) for n in range(len(radii))]
    plan = make_plan([CaseFingerprint.of(case) for case in cases])
    prepared = [prepare_case(case, plan) for case in cases]
    truths = [case.labels.given.clone() for case in prepared]
    for case, truth, radius in zip(prepared, truths, radii, strict=True):
        middle = truth.nonzero().double().mean(0)
        at = torch.stack(torch.meshgrid(*(torch.arange(n) for n in truth.shape), indexing="ij"), -1).double()
        relabel(case, (((at - middle) * torch.tensor(case.spacing)).norm(dim=-1) < radius).to(truth.dtype))
    return plan, prepared, truths


def memory_of(cases):
    return LabelMemory({case.name: case for case in cases})


def correctors_of(cases, plan, config=ON):
    return label_correctors(memory_of(cases), plan.classes, config, plan.slice_axis if plan.dims == 2 else None)


def refine(cases, plan, truths, config=ON, correctors=None):
    correctors = correctors_of(cases, plan, config) if correctors is None else correctors
    return memory_of(cases).refine(correctors, Knowing(cases, truths))


def test_wrong_outlines_move_to_where_image_and_network_have_them():
    plan, cases, truths = misdrawn()
    before = [case.labels.target().clone() for case in cases]
    correctors = correctors_of(cases, plan)
    assert refine(cases, plan, truths, correctors=correctors) > 0
    assert correctors[0].image_trust == 1.0
    for case, truth, was in zip(cases, truths, before, strict=True):
        assert mean_dice(was, truth) < 0.8 < 0.9 < mean_dice(case.labels.target(), truth)
        assert torch.equal(case.labels.initial(), was)
        assert torch.equal(case.labels.given, was)


def test_good_outlines_stay_to_the_voxel():
    plan, cases, truths = misdrawn()
    scattered = [case.labels.target().clone() for case in cases]
    for case, truth in zip(cases, truths, strict=True):
        relabel(case, truth.clone())
    correctors = correctors_of(cases, plan)
    assert refine(cases, plan, scattered, correctors=correctors) == 0
    assert correctors[0].image_trust == 0.0
    assert not any(corrector.is_active for corrector in correctors)
    assert all(torch.equal(case.labels.target(), truth) for case, truth in zip(cases, truths, strict=True))


def test_images_that_would_move_all_outlines_one_way_are_not_trusted():
    """They show another edge than the annotators mean."""
    plan, cases, truths = misdrawn(radii=(4.0, 4.5, 4.0, 4.5, 5.0, 4.0))
    assert refine(cases, plan, truths) == 0
    assert all(not case.labels.proposals for case in cases)


def test_a_few_cases_are_too_few_to_tell():
    plan, cases, truths = misdrawn(radii=(4.0, 8.0))
    assert refine(cases, plan, truths) == 0


def test_reviewed_voxels_never_move():
    plan, cases, truths = misdrawn()
    for case, truth in zip(cases, truths, strict=True):
        half = (torch.arange(truth.shape[0]) < truth.shape[0] // 2)[:, None, None]
        case.labels.reviewed[:] = (case.labels.given != truth) & half
    before = [case.labels.target().clone() for case in cases]
    refine(cases, plan, truths)
    for case, was in zip(cases, before, strict=True):
        now, reviewed = case.labels.target(), case.labels.reviewed
        assert torch.equal(now[reviewed], was[reviewed])
        assert not torch.equal(now, was)


def test_what_was_held_against_a_label_speaks_for_the_new_one():
    plan, cases, truths = misdrawn()
    for case in cases:
        case.labels.record(..., torch.full(case.labels.shape, 0.75))
        case.labels.seen[::2] = False
    before = [case.labels.target().clone() for case in cases]
    refine(cases, plan, truths)
    for case, was in zip(cases, before, strict=True):
        moved = (case.labels.target() != was) & case.labels.seen
        assert moved.any()
        assert torch.equal(case.labels.disagreement, torch.where(moved, 0.25, 0.75).half())


def test_every_outline_is_refined_from_the_one_the_training_began_with():
    plan, cases, truths = misdrawn()
    correctors = correctors_of(cases, plan)
    refine(cases, plan, truths, correctors=correctors)
    once = [case.labels.target().clone() for case in cases]
    assert refine(cases, plan, truths, correctors=correctors) == 0
    assert all(torch.equal(case.labels.target(), was) for case, was in zip(cases, once, strict=True))


class Recording:
    name = "recording"
    is_active = True

    def __init__(self):
        self.fits = 0

    def fit(self, cases, predictions):
        self.fits += 1

    def propose(self, case, predictions):
        return None


def test_each_time_comes_once_and_a_resumed_training_knows_which_have_passed():
    corrector, seen = Recording(), []
    refinement = LabelRefinement()
    trainer = types.SimpleNamespace(
        loss=DaleLoss(2),
        correctors=[corrector],
        sampler=types.SimpleNamespace(memory=LabelMemory()),
        ranks=Ranks(),
        predictor=None,
        progress=Progress(),
        share=0.0,
    )
    for share in np.linspace(0.0, 1.0, 41).tolist():
        trainer.share, before = share, corrector.fits
        refinement.on_epoch_start(trainer)
        seen += [share] * (corrector.fits - before)
        state = json.loads(json.dumps(refinement.state_dict()))
        refinement = LabelRefinement()
        refinement.load_state_dict(state)
    assert seen == pytest.approx(DEFAULT.refinement_times, abs=0.026)
    trainer.share, corrector.is_active = 1.0, False
    LabelRefinement().on_epoch_start(trainer)
    assert corrector.fits == len(DEFAULT.refinement_times)


def test_cases_that_are_not_reached_in_time_stay_as_they_are():
    plan, cases, truths = misdrawn()
    correctors = correctors_of(cases, plan)
    correctors[0].image_trust = 1.0
    memory_of(cases).refine(correctors, Knowing(cases, truths), seconds=0.0)
    assert [bool(case.labels.proposals) for case in cases] == [True] + [False] * 5


def test_the_network_is_run_once_over_each_case(monkeypatch):
    from DALESegmentLib.engine.training.callbacks import NetworkPredictions

    plan, cases, truths = misdrawn()
    asked = []

    class Predictor:
        def __init__(self):
            self.plan = plan

        def prepared_classes(self, image, progress):
            asked.append(image)
            return next(t for c, t in zip(cases, truths, strict=True) if c.image is image)

    memory_of(cases).refine(correctors_of(cases, plan), NetworkPredictions(Predictor(), Progress()))
    assert len(asked) == len(cases)
    assert all(case.labels.proposals for case in cases)


def test_a_case_smaller_than_a_patch_learns_the_new_outline_too():
    plan, cases, truths = misdrawn()
    plan = plan.model_copy(update={"patch_size": (32, 32, 16), "batch_size": 6})
    sampler = PatchSampler(cases, plan)
    refine(cases, plan, truths)
    sampler.seed(0, 0)
    batch = sampler.draw(CPU)
    for label, patch in zip(batch.target, batch.where, strict=True):
        assert int((label == 1).sum()) == int((cases[patch.number].labels.target() == 1).sum())


def saved(folder, cases):
    checkpoint = Checkpoint(folder)
    checkpoint.begin(cases)
    checkpoint.save(cases, None, {})
    return load_labels(folder)


def test_a_model_knows_both_outlines_and_a_fine_tune_goes_on_with_the_new_one(tmp_path):
    plan, cases, truths = misdrawn()
    for case in cases:
        case.labels.record(..., torch.full(case.labels.shape, 0.75))
    refine(cases, plan, truths)
    labels = saved(tmp_path, cases)
    _, again, _ = misdrawn()
    for case, later in zip(cases, again, strict=True):
        known, as_drawn, target = labels[case.name], later.labels.given.clone(), case.labels.target()
        # of the label in the file: its disagreement; of the refined one: as little
        assert torch.equal(known.disagreement_of(as_drawn).values, torch.full(as_drawn.shape, 0.75).half())
        assert torch.equal(known.disagreement_of(target).values, case.labels.disagreement)
        later.labels.reviewed[:, : as_drawn.shape[1] // 2] = True
        resume_labels(later.labels, known)
        assert torch.equal(later.labels.target(), torch.where(later.labels.reviewed, as_drawn, target))
        assert torch.equal(later.labels.initial(), as_drawn)


def test_what_a_label_was_before_its_review_is_known_through_several_runs(tmp_path):
    _, (case,), (truth,) = misdrawn(radii=(4.0,))
    first = case.labels.given.clone()
    for name in "abc":
        labels = saved(tmp_path / name, [case])
        case.labels = LabelState(truth.clone(), torch.ones(truth.shape, dtype=torch.bool))
        case.labels.restore_given(labels[case.name].given)
        assert torch.equal(case.labels.given, first)
        assert torch.equal(case.labels.target(), truth)


def test_files_that_do_not_fit_together_are_refused_in_a_sentence(tmp_path):
    _, (case,), _ = misdrawn(radii=(4.0,))
    saved(tmp_path / "a", [case])
    case.labels = LabelState(torch.zeros((3, 3, 3), dtype=torch.int16))
    saved(tmp_path / "b", [case])
    name = f"{CHECKPOINT_FOLDER}/case0-given.safetensors"
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(EngineError, match="does not fit together"):
        load_labels(tmp_path / "a")[case.name]


def overlooked(empty=3, labelled=6):
    """Cases with one ball each, of which some labels have nothing."""
    plan, cases, truths = misdrawn(radii=(6.0,) * (empty + labelled))
    for n, (case, truth) in enumerate(zip(cases, truths, strict=True)):
        relabel(case, torch.zeros_like(truth) if n < empty else truth.clone())
    return plan, cases, truths


def test_an_object_that_labels_lack_is_learned():
    plan, cases, truths = overlooked()
    assert refine(cases, plan, truths) > 0
    for case, truth in zip(cases, truths, strict=True):
        assert torch.equal(case.labels.target(), truth)
    sources = [case.labels.source_counts() for case in cases]
    assert [counts["missed_objects"] > 0 for counts in sources] == [True] * 3 + [False] * 6
    assert not any(counts["image_evidence"] for counts in sources)
    assert all(not case.labels.initial().any() for case in cases[:3])


def test_once_believed_the_network_is_believed_to_the_end():
    """What it learned since it would find anyway; the object is drawn as it sees it then."""
    plan, cases, truths = overlooked()
    larger = [torch.maximum(truth, truth.roll(1, 0)) for truth in truths[:3]]
    correctors = correctors_of(cases, plan)
    refine(cases, plan, truths, correctors=correctors)
    resumed = correctors_of(cases, plan)
    for old, new in zip(correctors, resumed, strict=True):
        new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    knowing = Knowing(cases, larger + truths[3:])
    memory_of(cases).refine(resumed, knowing)
    assert set(knowing.asked) == {"0", "1", "2"}, "the others are not looked at again"
    for case, found in zip(cases[:3], larger, strict=True):
        assert torch.equal(case.labels.target(), found)


def test_labels_that_are_meant_to_be_empty_stay_empty():
    plan, cases, truths = overlooked()
    nothing = [torch.zeros_like(truth) for truth in truths[:2]]
    correctors = correctors_of(cases, plan)
    assert refine(cases, plan, nothing + truths[2:], correctors=correctors) == 0
    assert not any(case.labels.target().any() for case in cases[:3])
    assert any(corrector.is_active for corrector in correctors)  # a better network may find more


def test_where_nothing_is_confirmed_to_be_there_nothing_is_added():
    plan, cases, truths = overlooked()
    cases[0].labels.reviewed[:] = True
    refine(cases, plan, truths)
    assert not cases[0].labels.target().any()
    assert cases[1].labels.target().any()


def test_both_are_done_together():
    """Wrong outlines, and a case without any."""
    plan, cases, truths = misdrawn(radii=(4.0, 8.0, 4.5, 7.5, 4.0, 8.0, 6.0))
    relabel(cases[-1], torch.zeros_like(truths[-1]))
    refine(cases, plan, truths)
    sources = [case.labels.source_counts() for case in cases]
    assert [counts["image_evidence"] > 0 for counts in sources] == [True] * 6 + [False]
    assert [counts["missed_objects"] > 0 for counts in sources] == [False] * 6 + [True]
    assert all(mean_dice(case.labels.target(), truth) > 0.9 for case, truth in zip(cases, truths, strict=True))


def test_an_added_object_leaves_what_a_refined_outline_has_taken():
    """Of two classes: the second is missing where the first one's outline grows to."""
    state = LabelState(torch.tensor([1, 0, 0, 0], dtype=torch.int16).reshape(4, 1, 1))
    case = types.SimpleNamespace(name="case", labels=state, spacing=(1.0,) * 3, image=torch.zeros((1, 4, 1, 1)))
    state.set_proposal("image_evidence", np.array([-2, 1, -2, -2], np.int16).reshape(4, 1, 1))
    (missed,) = label_correctors(memory_of([case]), 3, DaleConfig())
    missed.min_sizes[2] = 1.0
    network = torch.tensor([1, 2, 2, 2]).reshape(4, 1, 1)
    state.set_proposal("missed_objects", missed.propose(case, Knowing([case], [network])))
    assert state.target().flatten().tolist() == [1, 1, 2, 2]


def test_refinement_builds_on_a_label_whose_bias_is_undone():
    plan, cases, truths = misdrawn()
    given = [case.labels.given.clone() for case in cases]
    corrector = AnnotatorBias()
    corrector.bias = Bias(1.5, "mm", 20, 20)
    for case in cases:
        case.labels.set_proposal("annotator_bias", corrector.propose(case))
    began = [case.labels.initial().clone() for case in cases]
    assert not all(torch.equal(a, b) for a, b in zip(began, given, strict=True))
    refine(cases, plan, truths)
    for case, was, first in zip(cases, began, given, strict=True):
        assert torch.equal(case.labels.initial(), was)
        assert torch.equal(case.labels.given, first)


def test_either_can_be_switched_off():
    plan, cases, truths = overlooked()
    config = DaleConfig(image_evidence=True, missed_objects=False)
    assert refine(cases, plan, truths, config) == 0
    assert not any(case.labels.target().any() for case in cases[:3])
    plan, cases, truths = misdrawn()
    assert correctors_of(cases, plan, DaleConfig()) == []
