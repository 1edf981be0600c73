"""Keep a sample of what this version writes, for its successors' tests to open:

    python -m Testing.kept.keep_sample

once, when a version is released. The folder is called after the version and is never changed afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from DALESegmentLib.engine import __version__
from DALESegmentLib.engine.bundle.run_folder import CHECKPOINT_FILE, CHECKPOINT_FOLDER
from DALESegmentLib.engine.commands import review, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.review.log import open_log
from Testing.phantoms import ball_case

KEPT = Path(__file__).parent


def main() -> None:
    target = KEPT / __version__
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # no path of this machine is to be kept
        for n in range(2):
            save_array_case(ball_case(f"case{n}", size=(16, 16, 8), seed=n), f"cases/case{n}")
        cases, short = {"folder": "cases"}, {"epochs": 1, "steps_per_epoch": 10, "device": "cpu"}
        train.run({"cases": cases, "out": "run", "dims": 2, **short}, Progress())
        review.run({"cases": cases, "model": "run", "out": "review", "device": "cpu"}, Progress())
        _decide()
        _drop_training()
        shutil.copytree(folder, target)
    print(f"Kept in {target.relative_to(KEPT.parents[1])}")


def _drop_training() -> None:
    """What a resume takes is large, and only for who resumes with the version that wrote it."""
    manifest = json.loads(Path("run", CHECKPOINT_FILE).read_text(encoding="utf-8"))
    Path("run", CHECKPOINT_FOLDER, manifest["training"]).unlink()


def _decide() -> None:
    centre, ras = (8, 8, 4), (0.0, 0.0, 0.0)
    region = Region(1, "case0", 1, 1, "ball", "extra", 0, 8, 8.0, 0.1, 0.0, 5.0, ras, centre, centre, centre)
    with open_log("review.log") as log:
        log.undo(log.decide(region, "confirmed", "reader"))
        log.decide(region, "unsure", "reader")


if __name__ == "__main__":
    main()
