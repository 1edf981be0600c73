"""A fine-tune concludes from many corrections what bias the other labels have, undoes it, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from DALESegmentLib.engine.commands import finetune, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.training.checkpoint import load_labels
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

CASES = 17
SHORT = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}


def write_cases(folder: Path, *, corrected: bool) -> None:
    """All drawn too large; corrected from the middle slice on, except for the last case, where nobody has been."""
    for n in range(CASES):
        case = ball_case(f"case{n:02}", seed=n)
        truth = np.asarray(case.label)
        case.label = ndimage.binary_dilation(truth, iterations=2).astype(np.uint8)
        if corrected and n < CASES - 1:
            case.trusted = np.zeros(truth.shape, bool)
            case.trusted[truth.shape[0] // 2 :] = True
            case.label = np.where(case.trusted, truth, case.label)
        save_array_case(case, folder / case.name)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bias")
    write_cases(root / "drawn", corrected=False)
    write_cases(root / "corrected", corrected=True)
    train.run(
        {"cases": {"folder": str(root / "drawn")}, "out": str(root / "run"), "validation": 0, **SHORT}, Progress()
    )
    return root


def tuned(root: Path, name: str, model: str, **more) -> dict:
    asked = {"model": str(root / model), "cases": {"folder": str(root / "corrected")}, "out": str(root / name)}
    return finetune.run({**asked, **SHORT, **more}, Progress())


def size(root: Path, name: str, case: str) -> int:
    return int((load_labels(root / name)[case].initial() > 0).sum())


def test_the_bias_is_undone_in_what_nobody_corrected_and_said(a_run):
    result = tuned(a_run, "tuned", "run")
    assert "16 of 16 reviewed places were drawn too large" in result["bias"]
    alone = f"case{CASES - 1:02}"
    drawn, now = size(a_run, "run", alone), size(a_run, "tuned", alone)
    assert now < 0.8 * drawn
    # the next round starts from the label in the file, not from what was redrawn
    again = tuned(a_run, "again", "tuned")
    assert again["bias"] == result["bias"]
    assert size(a_run, "again", alone) == now


def test_it_is_left_alone_where_that_is_asked(a_run):
    assert tuned(a_run, "left", "run", bias_correction=False)["bias"] is None
    alone = f"case{CASES - 1:02}"
    assert size(a_run, "left", alone) == size(a_run, "run", alone)
