"""The notebook runs as it stands, and what it finds is what was spoiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.structure import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "find_label_errors.ipynb"


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_is_short_and_kept_without_what_it_printed():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert sum(bool(line.strip()) for source in code_of(NOTEBOOK) for line in source.splitlines()) <= 60


@pytest.mark.slow
def test_the_notebook_finds_what_it_spoiled(capsys):
    pytest.importorskip("nilearn", reason="the image comes with nilearn")
    matplotlib = pytest.importorskip("matplotlib", reason="the notebook draws with matplotlib")
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    for source in code_of(NOTEBOOK):
        exec(source, names)
    labels, truth, issues = names["labels"], names["truth"], names["issues"]
    wrong = labels != truth
    found = np.zeros(wrong.shape, bool)
    for issue in issues:
        found[issue.slices] |= issue.mask
    near = names["image"] > 0  # nobody would look outside the brain
    chance = wrong[near].mean()
    assert 0.001 < chance < 0.01
    assert wrong[found].mean() > 50 * chance
    assert (found & wrong).sum() > 0.6 * wrong.sum()
    assert wrong[issues[0].slices][issues[0].mask].mean() > 0.8
    assert "within 3 mm of an outline" in capsys.readouterr().out
    assert len(names["figure"].axes) == len(issues)
    names["plt"].close(names["figure"])
