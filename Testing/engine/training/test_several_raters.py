"""Several raters' labels of one image: which of them a patch is learned with, and where what was learned goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DALESegmentLib.engine.commands.prepared_cases import prepare_all
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.config import DaleConfig
from DALESegmentLib.engine.dale.correctors.base import PredictedBy
from DALESegmentLib.engine.dale.correctors.missed_objects import MissedObjects
from DALESegmentLib.engine.dale.label_memory import label_correctors
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.metrics.rater_agreement import consensus_label
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import CaseCache
from DALESegmentLib.engine.training.rater_labels import note_other_raters, with_consensus, without_names
from DALESegmentLib.engine.training.sampling import PatchSampler

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(data_folder, tmp_path_factory):
    """Two nodules with all four raters, one with two of them, on one plan."""
    sources = find_cases(data_folder / "lidc_4rater", rater="all", limit=3, rater_seed=1)
    sources = sources[:8] + [s for s in sources[8:] if s.rater in ("rater2", "rater4")]
    plan = make_plan([CaseFingerprint.of(read_case(s)) for s in sources], dims=2, normalise="slice")
    plan = plan.model_copy(update={"batch_size": 4})
    cases = prepare_all(sources, plan, CaseCache(tmp_path_factory.mktemp("cache")), Progress())
    return sources, plan, cases


def test_each_case_has_the_label_of_its_own_rater_and_one_image(prepared):
    sources, _, cases = prepared
    assert [c.name for c in cases] == [f"{c.of_case}@{c.rater}" for c in cases]
    assert [c.rater for c in cases] == [f"rater{n}" for n in (1, 2, 3, 4, 1, 2, 3, 4, 2, 4)]
    for source, case in zip(sources, cases, strict=True):
        on_disk = sitk.GetArrayFromImage(sitk.ReadImage(str(source.label)))
        assert int((case.labels.given > 0).sum()) == int((on_disk > 0).sum())
    assert len({c.image.data_ptr() for c in cases}) == 3
    assert len({c.labels.disagreement.data_ptr() for c in cases}) == 10
    assert len({c.patient for c in cases}) == 3


def test_what_is_learned_goes_to_the_rater_whose_label_was_drawn(prepared):
    _, plan, cases = prepared
    cases = [replace(case, labels=case.labels.unlearned()) for case in cases]
    sampler = PatchSampler(cases, plan)
    sampler.seed(0, 0)
    drawn = Counter()
    for _ in range(30):
        batch = sampler.draw(CPU)
        for n, patch in enumerate(batch.where):
            own = cases[patch.number].labels
            part = patch.coverage(own.shape)
            label = patch.oriented(part.padded(own.given[part.where], -1))
            assert torch.equal(label.clamp_min(0).long(), batch.target[n])
            drawn[cases[patch.number].name] += 1
        before = [case.labels.version for case in cases]
        batch.record(torch.full(batch.target.shape, 0.25))
        wrote = {n for n, case in enumerate(cases) if case.labels.version != before[n]}
        assert wrote == {patch.number for patch in batch.where}
    images = Counter(name.split("@")[0] for name in drawn.elements())
    assert len(drawn) == 10
    assert set(images.values()) == {40}, "an image with two raters is drawn as often as one with four"


def test_without_several_raters_batches_are_what_they_were(prepared):
    _, plan, cases = prepared
    alone = [replace(case, of_case="", rater="") for case in cases[::4]]
    one = [replace(case, of_case=str(n)) for n, case in enumerate(alone)]
    samplers = [PatchSampler(each, plan) for each in (alone, one)]
    for sampler in samplers:
        sampler.seed(5, 1)
    for _ in range(3):
        a, b = (sampler.draw(CPU) for sampler in samplers)
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.target, b.target)


def test_validation_cases_hold_the_consensus_once(prepared):
    _, _, cases = prepared
    found = with_consensus(cases)
    assert [case.name for case in found] == list(dict.fromkeys(case.of_case for case in cases))
    given = [case.labels.given.numpy() for case in cases[:4]]
    np.testing.assert_array_equal(found[0].labels.given, consensus_label(given, cases[0].spacing))
    assert found[0].image.data_ptr() == cases[0].image.data_ptr()


def with_an_empty_label(cases):
    """The first rater of the first image drew nothing."""
    first = cases[0].labels.unlearned()
    first.given = torch.zeros_like(first.given)
    others = [replace(case, labels=case.labels.unlearned()) for case in cases[1:]]
    return [replace(cases[0], labels=first), *others]


def test_an_empty_label_beside_others_is_disagreement_and_nothing_missed(prepared):
    _, plan, cases = prepared
    cases = with_an_empty_label(cases)
    note_other_raters(cases)
    assert all(case.labels.drawn_by_others == {1} for case in cases)
    sampler = PatchSampler(cases, plan)
    patch = sampler.windows_of(0)[0]
    assert sampler.take([patch], CPU).unlabelled.tolist() == [False]
    assert not [c for c in label_correctors(sampler.memory, 2, DaleConfig()) if isinstance(c, MissedObjects)]
    corrector = MissedObjects([1])
    corrector.min_sizes = {1: 1.0}
    inside = torch.ones(cases[0].labels.shape)
    everywhere = PredictedBy(lambda name: torch.stack([1 - inside, inside]))
    assert corrector.propose(cases[0], everywhere) is None


def test_a_label_that_is_empty_for_all_raters_may_still_have_been_missed(prepared):
    _, plan, cases = prepared
    cases = [replace(case, labels=case.labels.unlearned()) for case in cases]
    for case in cases[:4]:
        case.labels.given = torch.zeros_like(case.labels.given)
    note_other_raters(cases)
    assert cases[0].labels.drawn_by_others == frozenset()
    sampler = PatchSampler(cases, plan)
    assert sampler.take([sampler.windows_of(0)[0]], CPU).unlabelled.tolist() == [True]
    assert [c for c in label_correctors(sampler.memory, 2, DaleConfig()) if isinstance(c, MissedObjects)]


def test_a_bundle_names_no_person():
    rows = [{"rater": "anna"}, {"rater": "rater2"}, {"rater": "r1_Ben"}]
    assert [row["rater"] for row in without_names(rows)] == ["rater 1", "rater2", "rater 3"]
    assert rows[0]["rater"] == "anna"
