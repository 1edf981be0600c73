"""A cell's key follows what the code does: what changes a result changes it, names and places do not."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from benchmarks import keys, noise, review_peers, trial, trial_set
from benchmarks.cell import ROOT, Cell
from benchmarks.data_set import DataSet
from benchmarks.keys import hashed, key_of
from benchmarks.methods import gce
from benchmarks.methods.registry import DECIDED, METHODS
from benchmarks.training import make_trainer
from benchmarks.trial import behaviour
from DALESegmentLib.engine.dale import candidates, issues, loss, paper_terms, quality
from DALESegmentLib.engine.dale.config import DaleConfig, LabelQualityConfig, ReviewListConfig
from DALESegmentLib.engine.dale.correctors import annotator_bias, image_evidence

pytestmark = pytest.mark.slow

PICTURES = DataSet(name="some", dims=2)
ALIKE = {"dale-joint": "dale-no-partition", "dale-no-bias-correction": "dale", "dale-no-agreement": "dale"}
"""Methods that train as another one does, where nothing is trusted."""


def cell(method: str, share: float = 0.0, kind: str = "biased", level: float = 0.3) -> Cell:
    return Cell(data=PICTURES, noise=kind, level=level, network="UNet", method=method, trusted=share, draw=0)


@lru_cache
def before(method: str, share: float = 0.0) -> dict[str, str]:
    """What a method does with the code as it is."""
    return behaviour(cell(method, share))


def test_the_key_follows_what_is_asked():
    one = cell("dale", kind="morph", level=0.4)
    changes = [
        {"draw": 1},
        {"length": 2},
        {"level": 0.3},
        {"method": "plain"},
        {"method": "dale-no-alignment"},
        {"trusted": 0.01},
    ]
    changes += [{"trusted": 0.05}, {"method": "dale-no-agreement"}, {"noise": "markov"}, {"network": "SegResNet"}]
    changes += [{"data": PICTURES.model_copy(update={"epochs": 7})}]
    found = [key_of(one), *(key_of(one.model_copy(update=change)) for change in changes)]
    assert len(set(found)) == len(found)
    plain_without_noise = one.model_copy(update={"method": "plain", "noise": "none", "level": 0.0})
    assert key_of(one.model_copy(update={"method": "clean"})) == key_of(plain_without_noise)


@pytest.mark.parametrize("method", trial.BEYOND_TRIALS)
def test_what_a_trial_cannot_tell_apart_has_a_key_of_its_own(method):
    one = cell(method)
    assert key_of(one) not in {key_of(cell(other)) for other in ("plain", "dale")}


def test_all_of_a_set_counts():
    changes = {"name": "x", "truth": "y", "raters": ("z",), "dims": 3, "volumes": True, "normalise": "ct"}
    changes |= dict.fromkeys(("crop", "largest", "shrink", "train", "test", "levels", "batch", "epochs"), 31)
    changes |= {"patient": "p", "slim": 0.25, "steps_per_epoch": 31}
    assert {*changes, "role"} == set(DataSet.model_fields)  # a role changes no figure
    found = [str(keys._data(PICTURES.model_copy(update={name: value}))) for name, value in changes.items()]
    assert len({str(keys._data(PICTURES)), *found}) == len(changes) + 1


def test_every_method_does_something_of_its_own():
    """A part that has nothing to do in the trial would have no say in the key."""
    training = {method: before(method)["training"] for method in METHODS if method != "clean"}
    own = [training[method] for method in training if method not in (*ALIKE, *DECIDED, *trial.BEYOND_TRIALS)]
    assert len(set(own)) == len(own)
    assert all(training[method] == training[other] for method, other in ALIKE.items())
    assert before("dale-no-agreement")["confidence"] != before("dale")["confidence"]
    assert len({before(method, 0.01)["training"] for method in ("plain", "dale", "dale-no-bias-correction")}) == 3


def test_slices_and_volumes_are_learned_too():
    kinds = [PICTURES, PICTURES.model_copy(update={"volumes": True})]
    kinds.append(DataSet(name="some", dims=3, volumes=True))
    found = [behaviour(cell("dale").model_copy(update={"data": data})) for data in kinds]
    assert [set(more) - set(found[0]) for more in found] == [set(), {"slices"}, {"volumes"}]
    assert all(more[name] == found[0][name] for more in found for name in ("training", "confidence", "scores"))


def trial_trainer(method: str, folder: Path, share: float = 0.0):
    trial_set.write_trial_set(folder, "pictures")
    kind, level = ("biased", trial.BIASED) if share else ("raters", None)
    made_up = trial_set.trial_set("pictures", None, share > 0)
    asked = cell(method, share).model_copy(update={"data": made_up, "noise": kind, "level": level})
    return make_trainer(asked, folder, "cpu")[0]


def test_in_the_trial_outlines_move_empty_labels_are_completed_and_trusted_places_show_a_bias(tmp_path):
    trainer = trial_trainer("dale-image-evidence", tmp_path)
    trainer.fit()
    labels = [case.labels for case in trainer.cases]
    drawn = [set(state.class_counts(state.initial)) - {0} for state in labels]
    assert any(drawn)
    assert not all(drawn)
    sources = [state.source_counts() for state in labels]
    assert any(counts["image_evidence"] for counts, classes in zip(sources, drawn, strict=True) if classes)
    assert any(counts["missed_objects"] for counts, classes in zip(sources, drawn, strict=True) if not classes)
    asked = trial_trainer("dale", tmp_path, trial.TRUSTED)
    assert all(case.labels.source_counts()["annotator_bias"] for case in asked.cases)


BARE, UNBIASED = ("dale", 0.0), ("dale-no-bias-correction", 0.01)
CHANGES = {
    # what is changed, a function or constant of a module or the default of a config, and to what: who notices and who
    # does not, by method and trusted share
    "loss": (loss, "SMOOTH", 1.0, [("plain", 0.0), ("dale", 0.0)], [("gce", 0.0)]),
    "warm-up": (DaleConfig, "warm_up_slope", -0.5, [("dale", 0.0)], [("plain", 0.0)]),
    "alternation": (DaleConfig, "max_class_scale", 1.01, [("dale", 0.0)], [("plain", 0.0)]),
    "alignment": (DaleConfig, "alignment_min_voxels", 10_000, [("dale", 0.0)], [("dale-no-alignment", 0.0)]),
    "partition": (loss, "threshold", lambda *_: 0.9, [("dale", 0.0)], [("dale-no-partition", 0.0)]),
    "times of refinement": (DaleConfig, "refinement_times", (0.9,), [("dale-image-evidence", 0.0)], [("plain", 0.0)]),
    "image evidence": (
        image_evidence,
        "preference_auc",
        lambda *_: 0.67,
        [("dale-image-evidence", 0.0)],
        [("dale", 0.0)],
    ),
    "annotator's bias": (
        annotator_bias,
        "bias_of",
        lambda *_: None,
        [("dale", 0.01)],
        [("dale", 0.0), ("dale-no-bias-correction", 0.01)],
    ),
    "trusted voxels": (DaleConfig, "max_reviewed_scale", 1.5, [("plain", 0.01)], [("plain", 0.0)]),
    "confidence": (
        LabelQualityConfig,
        "agreement_log_odds",
        3.0,
        [("plain", 0.0), ("gce", 0.0)],
        [("dale-no-agreement", 0.0)],
    ),
    "regions": (ReviewListConfig, "excess_doubt", 0.2, [("plain", 0.0), ("dale", 0.0)], [("gce", 0.0)]),
    "other review orders": (review_peers, "STRATIFIED", 0.0, [("plain", 0.0), ("dale", 0.0)], [("gce", 0.0)]),
    "gce": (gce, "SMOOTH", 1.0, [("gce", 0.0)], [("plain", 0.0)]),
}


def change_default(monkeypatch, config: type, name: str, value: object) -> None:
    """Of the configs made from now on, and of those that the modules hold."""
    make = config.__init__

    def made(self, *values, **given):
        make(self, *values, **{name: value, **given})

    monkeypatch.setattr(config, "__init__", made)
    for module in (candidates, issues, loss, paper_terms, quality):
        if isinstance(module.DEFAULT, config):
            monkeypatch.setitem(vars(module.DEFAULT), name, value)


@pytest.mark.parametrize("part", CHANGES)
def test_a_change_of_a_part_is_noticed_by_who_has_it_and_by_nobody_else(part, monkeypatch):
    owner, name, value, noticed, unmoved = CHANGES[part]
    was = {each: before(*each) for each in (*noticed, *unmoved)}
    if isinstance(owner, type):
        change_default(monkeypatch, owner, name, value)
    else:
        monkeypatch.setattr(owner, name, value)
    trial.forget()
    try:
        after = {each: behaviour(cell(*each)) for each in was}
    finally:
        trial.forget()
    assert [each for each in after if after[each] != was[each]] == noticed
    assert not any("failed" in what for what in after.values())


def test_noise_is_noticed_by_those_who_have_it(monkeypatch):
    kinds = ("biased", "missed", "raters")
    was = [hashed(cell("dale", kind=kind))["behaviour"]["noise"] for kind in kinds]
    monkeypatch.setitem(noise._ANNOTATORS, "biased", "shift")
    trial.forget_noise()
    now = [hashed(cell("dale", kind=kind))["behaviour"]["noise"] for kind in kinds]
    trial.forget_noise()
    assert [a == b for a, b in zip(was, now, strict=True)] == [False, True, True]


def test_a_trial_leaves_chance_and_threads_as_they_were():
    trial.forget()
    threads, chance = torch.get_num_threads(), torch.get_rng_state()
    behaviour(cell("gce"))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), chance)


def test_a_method_that_fails_in_its_trial_costs_the_others_nothing(monkeypatch):
    def failing(*_):
        raise ValueError("no luck")

    monkeypatch.setattr(gce, "generalised_cross_entropy", failing)
    trial.forget()
    assert behaviour(cell("gce"))["failed"] == "gce: ValueError: no luck"
    trial.forget()


KEYS = """
from benchmarks.cell import Cell
from benchmarks.data_set import DataSet
from benchmarks.keys import key_of

common = {"data": DataSet(name="some", dims=2), "noise": "biased", "level": 0.3, "network": "UNet"}
for method in ("dale", "dale-in-one-step"):
    print(key_of(Cell(**common, method=method, trusted=0.0, draw=0)))
"""


def test_renamed_and_moved_code_has_the_same_key_in_another_process(tmp_path):
    for package in ("benchmarks", "DALESegmentLib"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    moved = Path(inspect.getsourcefile(paper_terms)).relative_to(ROOT)
    (tmp_path / moved).rename((tmp_path / moved).with_name("moved_away.py"))
    names = {
        rf"\b{moved.stem}(?= import)": "moved_away",
        r"\bstep_weights\b": "weights_of_step",
        r"\bsteps_per_epoch\b": "steps_an_epoch",
        r"\blargest_fuzzy_share\b": "most_fuzzy",
        r"dale-no-alternation": "dale-in-one-step",
    }
    for path in tmp_path.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for old, new in names.items():
            text = re.sub(old, new, text)
        path.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", KEYS]
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [key_of(cell("dale")), key_of(cell("dale-no-alternation"))]
