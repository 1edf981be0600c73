"""A short one, for real: every step through the engine process, and everything it promises to write."""

from __future__ import annotations

import json

import pytest

from DALESegmentLib.demo.__main__ import run
from DALESegmentLib.demo.demonstration import Effort
from DALESegmentLib.demo.output_folder import RECORD, output_folder
from DALESegmentLib.engine.bundle.run_folder import find_bundle
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.review.decisions import read_regions_json

EFFORT = Effort(epochs=4, steps=6, tune_epochs=1, tune_steps=4)
PNG = b"\x89PNG"


@pytest.mark.slow
def test_a_short_demonstration(rater_folder, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the report is drawn with matplotlib")
    out = tmp_path / "out"
    with output_folder(out):
        run(out, rater_folder, None, 0, EFFORT)
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    told = capsys.readouterr().out

    assert {*found["data"]["train"], *found["data"]["test"]} == {s.name for s in find_cases(out / "data")}
    assert found["steps"] == {"plain": 24, "dale": 24, "tuned": 4}
    for name in ("plain", "dale", "tuned"):
        assert f"{found['held_out'][name]['dice']:.3f}" in told
        assert find_bundle(out / "models" / name)
        for split in ("train", "test"):
            for case in found["data"][split]:
                assert (out / "segmentations" / name / case / "segmentation.nii.gz").is_file()
    assert found["review"]["regions"] == min(5, len(read_regions_json(out / "review" / "regions.json")))
    listed = json.loads((out / "review" / "regions.json").read_text(encoding="utf-8"))
    sentences = [*(weak["sentence"] for weak in listed["too_weak"]), listed["expected_real"]["sentence"]]
    assert found["review"]["notes"] == [sentence for sentence in sentences if sentence]
    assert found["review"]["notes"]
    assert found["fine_tune"]["confirmed_voxels"] >= found["review"]["voxels"]
    assert (out / "report.png").read_bytes().startswith(PNG)
    assert "nothing was spoiled" in (out / "results.md").read_text(encoding="utf-8")
    assert (out / "scene.mrb").exists() or "scene.mrb was left out" in told or "no scene" in told
    written = set(json.loads((out / RECORD).read_text()))
    assert {"results.json", "report.png", "review/regions.csv"} <= written
