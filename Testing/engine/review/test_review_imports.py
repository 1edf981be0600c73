"""The Slicer side imports the review without the training libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import DALESegmentLib.engine.review as review


def test_review_brings_no_torch():
    folder = Path(review.__file__).parent
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    assert len(modules) >= 4
    names = ", ".join(f"{review.__name__}.{module}" for module in modules)
    program = f"import sys, {names}; print([m for m in ('torch', 'monai', 'pydantic') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert answer.stdout.strip() == "[]"
