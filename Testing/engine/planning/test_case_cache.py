"""Cases whose voxels lie in files are trained on as those in memory are, and leave nothing behind."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.planning import preprocessing as case_cache
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import CaseCache, prepare_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


def voxels(case) -> dict:
    return {"image": case.image, **case.labels.state_dict()}


@pytest.fixture
def full_memory(monkeypatch):
    """So little that every case goes to files."""
    monkeypatch.setattr(case_cache, "KEPT_FREE", 1e6)


def prepared():
    case = ball_case(size=(20, 18, 6))
    return prepare_case(case, make_plan([CaseFingerprint.of(case)]))


def test_where_memory_is_free_nothing_is_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(case_cache, "KEPT_FREE", 0.0)
    case = prepared()
    assert CaseCache(tmp_path).keep(case) is case


def test_voxels_are_the_same_can_be_written_and_leave_no_file(tmp_path, full_memory):
    case = prepared()
    kept = CaseCache(tmp_path).keep(case)
    for name, here in voxels(case).items():
        there = voxels(kept)[name]
        assert torch.equal(there, here)
        assert there.dtype == here.dtype
        assert there.data_ptr() != here.data_ptr()
    kept.labels.record((slice(3, 4), slice(4, 5), slice(5, 6)), torch.full((1, 1, 1), 0.25))
    assert kept.labels.disagreement[3, 4, 5] == 0.25
    kept.labels.set_proposal("image_evidence", torch.ones(kept.labels.shape))
    assert kept.labels.target().all()
    if sys.platform != "win32":
        assert list(tmp_path.iterdir()) == []
        assert _mapped(tmp_path) == len(voxels(case)) + 1  # and the proposal
        del kept, there
        gc.collect()
        assert _mapped(tmp_path) == 0


def test_voxels_lie_in_a_file_with_a_name_where_the_system_has_no_others(tmp_path, full_memory, monkeypatch):
    """As on Windows, where `tempfile.TemporaryFile` is `NamedTemporaryFile`, and wraps the file."""
    monkeypatch.setattr(case_cache.tempfile, "TemporaryFile", tempfile.NamedTemporaryFile)
    case = prepared()
    kept = CaseCache(tmp_path).keep(case)
    assert kept is not case
    assert all(
        torch.equal(there, here) for there, here in zip(voxels(kept).values(), voxels(case).values(), strict=True)
    )
    kept.labels.record((slice(3, 4), slice(4, 5), slice(5, 6)), torch.full((1, 1, 1), 0.25))
    assert kept.labels.disagreement[3, 4, 5] == 0.25
    assert list(tmp_path.iterdir()) == []


def _mapped(folder: Path) -> int:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells what is mapped")
    return sum(str(folder) in line for line in maps.read_text(encoding="utf-8").splitlines())


def test_without_room_for_files_they_stay_in_memory(tmp_path, full_memory):
    case = prepared()
    assert CaseCache(tmp_path / "gone").keep(case) is case


def test_a_training_and_a_fine_tune_learn_the_same(tmp_path, monkeypatch):
    for n in range(2):
        save_array_case(ball_case(f"case{n}", seed=n), tmp_path / "cases" / f"case{n}")
    shared = {"cases": {"folder": str(tmp_path / "cases")}, "device": "cpu", "epochs": 2, "steps_per_epoch": 2}
    weights = []
    for share in (0.0, 1e6):
        monkeypatch.setattr(case_cache, "KEPT_FREE", share)
        out = tmp_path / str(share)
        train.run({**shared, "out": str(out / "run")}, Progress())
        finetune.run({**shared, "model": str(out / "run"), "out": str(out / "tuned")}, Progress())
        weights.append([load_file(path) for path in sorted(out.rglob("*.safetensors"))])
    in_memory, in_files = weights
    assert len(in_memory) >= 9  # of both two cases twice, and of the training what a resume takes
    for here, there in zip(in_memory, in_files, strict=True):
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)
