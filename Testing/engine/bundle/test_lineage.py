"""A model's lineage and its card: what it learned from, by hashes alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.bundle.bundle import load_plan
from DALESegmentLib.engine.bundle.lineage import LINEAGE, LearnedCase, lineage_of, model_card, read_lineage
from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from Testing.phantoms import ball_case

SHORT = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}


def image_hash(n: int) -> str:
    return hashlib.blake2b(ball_case(seed=n).image[0].tobytes(), digest_size=16).hexdigest()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """A training on six cases, and a fine-tune of it on one of them, of which a part is confirmed."""
    root = tmp_path_factory.mktemp("ward-of-doe")
    items = []
    for n in range(6):
        case = ball_case(f"doe-john-{n}", seed=n)
        save_array_case(case, root / case.name)
        items.append({"name": case.name, "arrays": str(root / case.name)})
    train.run({"cases": {"items": items}, "out": str(root / "first"), **SHORT}, Progress())
    learned = json.loads((root / "first" / "run.json").read_text())["training"][0]
    trusted = np.zeros(ball_case().geometry.array_shape, bool)
    trusted[4:7] = True
    np.save(root / learned / "trusted.npy", trusted)
    one = {"items": [{"name": learned, "arrays": str(root / learned)}]}
    asked = {"cases": one, "model": str(root / "first"), "out": str(root / "second"), **SHORT}
    finetune.run(asked, Progress())
    return root / "first", root / "second"


@pytest.mark.slow
def test_a_model_knows_its_cases_by_the_hashes_of_their_images(runs):
    told = read_lineage(runs[0] / "bundle")
    record = json.loads((runs[0] / "run.json").read_text())
    for use in ("training", "validation"):
        expected = {image_hash(int(name[-1])) for name in record[use]}
        assert {case["image"] for case in told["cases"] if case["use"] == use} == expected
    assert {case["label"] for case in told["cases"]} == {one["label"] for one in record["inputs"].values()}
    assert told["parents"] == []
    assert told["decisions"] == {"cases": 0, "reviewed_voxels": 0, "corrected_voxels": 0}


@pytest.mark.slow
def test_a_fine_tuned_model_knows_its_parent_and_what_readers_confirmed(runs):
    first, second = (run / "bundle" for run in runs)
    told, before = read_lineage(second), read_lineage(first)
    (parent,) = told["parents"]
    weights = (first / "models" / "model.pt").read_bytes()
    assert parent["weights"] == hashlib.blake2b(weights, digest_size=8).hexdigest()
    assert (parent["made"], parent["program"]) == (before["made"], before["program"])
    assert told["earlier_images"] == sorted(c["image"] for c in before["cases"] if c["use"] == "training")
    (own,) = [case for case in told["cases"] if case["use"] == "training"]
    assert own["reviewed_voxels"] == told["decisions"]["reviewed_voxels"] > 0
    assert sum(case["use"] == "replay" for case in told["cases"]) == 4


@pytest.mark.slow
def test_the_card_says_it_in_words_and_names_nobody(runs):
    for run in runs:
        bundle = run / "bundle"
        card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
        told = (bundle / LINEAGE).read_text(encoding="utf-8")
        for text in (card, told):
            assert "doe" not in text
            assert str(run.parent) not in text
        assert "It segments ball in volumes of 1 channel" in card
        for title in ("What it is for", "What it learned from", "How good it was found to be", "Limits"):
            assert f"\n## {title}\n" in card
    assert "Mean Dice 0." in (runs[0] / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "No validation case was among those it was given" in card
    assert f"fine-tuned from model {read_lineage(runs[1] / 'bundle')['parents'][0]['weights']}" in card
    assert "accepted in place of the model it was fine-tuned from" in card
    assert "confirmed voxels" in card
    assert load_plan(runs[1] / "bundle").class_names == {1: "ball"}


def test_what_a_card_says_of_classes_is_text():
    plan = make_plan([CaseFingerprint.of(ball_case())])
    plan = plan.model_copy(update={"class_names": {1: "<script>alert(1)</script>[x](y)"}})
    card = model_card(lineage_of([LearnedCase("a", "training")]), plan, [])
    assert "<script>" not in card
    assert "\\[x\\]" in card
    assert "It was not validated" in card


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": "other"}', '{"format": "dalesegment-lineage", "version": 1}']
)
def test_a_damaged_lineage_is_refused_in_a_sentence(content, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / LINEAGE).write_text(content)
    with pytest.raises(EngineError, match=r"lineage\.json"):
        read_lineage(tmp_path)
    (tmp_path / LINEAGE).unlink()
    assert read_lineage(tmp_path) == {}
