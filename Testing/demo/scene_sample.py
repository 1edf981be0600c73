"""The scene of a demonstration with one made-up case: `python -m Testing.demo.scene_sample FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from DALESegmentLib.demo.data import DemoData, lay_out
from DALESegmentLib.demo.demonstration import DemoResults, Effort
from DALESegmentLib.demo.progress_printer import ProgressPrinter
from DALESegmentLib.demo.scene import write_scene
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.io.images import write_image
from Testing.demo.demo_cases import GEOMETRY, ball

NAME = "case0"


def write_sample(out: Path) -> None:
    """What the steps before would have left under `out`, and the scene of it."""
    truth = ball()
    image = (100 * truth + np.random.default_rng(0).normal(0, 15, truth.shape)).astype(np.float32)
    data = DemoData(out / "data", ".nii.gz", (NAME,), (), {1: "ball"}, "as drawn", ())
    lay_out(data.folder, NAME, image[None], truth, truth, GEOMETRY)
    write_image(out / "review" / NAME / "confidence.nii.gz", np.where(truth, 0.3, 1.0).astype(np.float32), GEOMETRY)
    write_image(out / "review" / NAME / "regions.nii.gz", truth, GEOMETRY)
    write_image(out / "segmentations" / "dale" / NAME / "segmentation.nii.gz", truth, GEOMETRY)
    centre = (34, 31, 8)
    region = Region(
        1, NAME, 1, 1, "ball", "too large", 0, int(truth.sum()), 2.0 * truth.sum(), 0.3, 0.3, 60.5,
        GEOMETRY.index_to_ras(centre), centre, (25, 22, 4), (43, 40, 12),
    )  # fmt: skip
    history = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
    write_scene(data, DemoResults(Effort(), histories={"dale": history}, regions=[region]), out, ProgressPrinter({}))


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]))
