"""The checkpoint of a run: only what changed is written, and it is whole whenever the process is killed."""

from __future__ import annotations

import types

import pytest
import torch
from safetensors.torch import load_file, save_file

from DALESegmentLib.engine.bundle.run_folder import CHECKPOINT_FILE, CHECKPOINT_FOLDER
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.dale.label_state import LabelState
from DALESegmentLib.engine.training import checkpoint as module
from DALESegmentLib.engine.training.checkpoint import Checkpoint, load_labels

SHAPE = (4, 3, 2)
TRAINING = {"network/weight": torch.arange(3.0)}


def some_cases():
    labels = [LabelState(torch.full(SHAPE, n, dtype=torch.int16)) for n in range(3)]
    return [types.SimpleNamespace(name=name, labels=state) for name, state in zip("abc", labels, strict=True)]


def recorded(case, value):
    case.labels.record((slice(0, 2),), torch.full((2, *SHAPE[1:]), value))


def files(folder):
    return {path.name for path in (folder / CHECKPOINT_FOLDER).iterdir()}


def seen_values(folder):
    return [float(labels.disagreement[0, 0, 0]) for labels in load_labels(folder).values()]


def loaded(folder, cases):
    tensors = {}
    return Checkpoint(folder).load(cases, tensors.update), tensors


def begun(folder):
    cases, checkpoint = some_cases(), Checkpoint(folder)
    checkpoint.begin(cases)
    checkpoint.save(cases, TRAINING, {"history": [1]})
    return cases, checkpoint


def test_only_the_cases_that_changed_are_written_again(tmp_path):
    cases, checkpoint = begun(tmp_path)
    given = {f"case{n}-given.safetensors" for n in range(3)}
    assert files(tmp_path) == given | {"training-1.safetensors"} | {f"case{n}-1.safetensors" for n in range(3)}
    recorded(cases[1], 0.25)
    checkpoint.save(cases, TRAINING, {"history": [1, 2]})
    learned = {"case0-1.safetensors", "case1-2.safetensors", "case2-1.safetensors"}
    assert files(tmp_path) == given | {"training-2.safetensors"} | learned
    assert seen_values(tmp_path) == [0.5, 0.25, 0.5]


def test_what_was_saved_comes_back_and_goes_on(tmp_path):
    cases, checkpoint = begun(tmp_path)
    recorded(cases[0], 0.75)
    cases[2].labels.set_proposal("image_evidence", torch.ones(SHAPE, dtype=torch.int16))
    checkpoint.save(cases, TRAINING, {"history": [1, 2]})
    fresh, again = some_cases(), Checkpoint(tmp_path)
    tensors = {}
    assert again.load(fresh, tensors.update) == {"history": [1, 2]}
    assert torch.equal(tensors["network/weight"], TRAINING["network/weight"])
    for case, other in zip(cases, fresh, strict=True):
        assert torch.equal(case.labels.target(), other.labels.target())
        assert torch.equal(case.labels.disagreement, other.labels.disagreement)
        assert torch.equal(case.labels.seen, other.labels.seen)
    recorded(fresh[1], 0.25)
    again.save(fresh, TRAINING, {"history": [1, 2, 3]})
    assert seen_values(tmp_path) == [0.75, 0.25, 0.5]
    assert "case0-2.safetensors" in files(tmp_path), "what did not change since is not written again"


class Killed(BaseException):
    """The end of the process, without a word."""


@pytest.mark.parametrize("write", range(1, 7))
def test_a_kill_at_any_write_leaves_the_checkpoint_before_or_after(write, tmp_path, monkeypatch):
    """Four files, the manifest, and the removal of what only the old one names."""
    cases, checkpoint = begun(tmp_path)
    for case in cases:
        recorded(case, 0.25)
    left = [write]

    def dying(original):
        def call(*arguments):
            left[0] -= 1
            if not left[0]:
                raise Killed
            return original(*arguments)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", dying(module._write))
        patched.setattr(module, "write_json", dying(module.write_json))
        patched.setattr(Checkpoint, "_clean", dying(Checkpoint._clean))
        with pytest.raises(Killed):
            checkpoint.save(cases, {"network/weight": torch.zeros(3)}, {"history": [1, 2]})
    progress, tensors = loaded(tmp_path, some_cases())
    after = len(progress["history"]) == 2
    assert after is (write == 6)
    assert bool(tensors["network/weight"].any()) is not after
    assert seen_values(tmp_path) == [0.25 if after else 0.5] * 3
    # and the next save clears away what was left
    again, fresh = Checkpoint(tmp_path), some_cases()
    again.load(fresh, lambda tensors: None)
    again.save(fresh, TRAINING, progress)
    assert len(files(tmp_path)) == 7


def test_a_fine_tune_keeps_the_labels_alone_and_is_not_resumed(tmp_path):
    cases, checkpoint = some_cases(), Checkpoint(tmp_path)
    checkpoint.begin(cases)
    checkpoint.save(cases, None, {})
    assert not any(name.startswith("training") for name in files(tmp_path))
    assert len(load_labels(tmp_path)) == 3
    with pytest.raises(EngineError, match="holds a fine-tune") as caught:
        loaded(tmp_path, some_cases())
    assert caught.value.code == "nothing-to-resume"


def test_a_folder_without_a_checkpoint_is_a_model_on_its_own(tmp_path):
    assert len(load_labels(tmp_path)) == 0
    assert not Checkpoint(tmp_path).exists()


def test_what_an_earlier_version_wrote_is_refused_in_a_sentence(tmp_path):
    save_file({"disagreement/a": torch.zeros(SHAPE)}, tmp_path / "checkpoint.safetensors")
    for asked in (lambda: load_labels(tmp_path), lambda: Checkpoint(tmp_path).exists()):
        with pytest.raises(EngineError, match="one of an earlier version") as caught:
            asked()
        assert caught.value.code == "checkpoint-unusable"


def test_other_cases_are_refused(tmp_path):
    begun(tmp_path)
    others = some_cases()
    others[1].name = "x"
    with pytest.raises(EngineError, match="does not fit these cases"):
        loaded(tmp_path, others)
    smaller = some_cases()
    smaller[1].labels = LabelState(torch.zeros((2, 2, 2), dtype=torch.int16))
    with pytest.raises(EngineError, match="does not fit these cases"):
        loaded(tmp_path, smaller)


def test_labels_are_read_where_they_are_asked_for(tmp_path):
    begun(tmp_path)
    found = load_labels(tmp_path)
    (tmp_path / CHECKPOINT_FOLDER / "case1-1.safetensors").unlink()
    assert list(found) == ["a", "b", "c"]
    assert found["a"].target().eq(0).all()
    with pytest.raises(EngineError, match="What is kept of b is damaged"):
        found["b"]
    (tmp_path / CHECKPOINT_FILE).write_text("[]")
    with pytest.raises(EngineError, match="damaged"):
        load_labels(tmp_path)
    assert load_file(tmp_path / CHECKPOINT_FOLDER / "case2-given.safetensors")["given"].eq(2).all()
