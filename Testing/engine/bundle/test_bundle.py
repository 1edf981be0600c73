"""The finished model is a MONAI bundle: MONAI loads and runs it, to the same answer as ours; ours executes nothing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle, save_bundle
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, Plan, make_plan
from Testing.phantoms import ball_case

CPU = torch.device("cpu")


def picture_case() -> Case:
    geometry = Geometry((40, 36), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    image = np.random.default_rng(0).integers(0, 255, (3, 36, 40)).astype(np.float32)
    label = np.zeros((36, 40), np.uint8)
    label[8:20, 10:30] = 1
    return Case("picture", image, geometry, label=label, class_names={1: "lesion"})


def a_bundle(folder: Path, case: Case, **changes) -> tuple[Path, torch.nn.Module, Plan]:
    """An untrained network is as good as a trained one here: its answer is as particular as its random weights."""
    plan = make_plan([CaseFingerprint.of(case)], **changes.pop("planning", {})).model_copy(update=changes)
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments).eval()
    return save_bundle(folder, network, plan, {}), network, plan


KINDS = {
    "resampled volume": lambda folder: a_bundle(folder, ball_case(), spacing=(1.2, 1.0, 1.5)),
    "slice by slice": lambda folder: a_bundle(folder, ball_case(), planning={"dims": 2, "normalise": "slice"}),
    "values with a gap": lambda folder: a_bundle(folder, ball_case(), class_values=[0, 9]),
    "colour picture": lambda folder: a_bundle(folder, picture_case()),
    "picture, values of two bytes": lambda folder: a_bundle(folder, picture_case(), class_values=[0, 40_000]),
    "picture, values of four bytes": lambda folder: a_bundle(folder, picture_case(), class_values=[0, 1_000_000]),
}


COMMAND_LINE = """
import json, os, runpy, sys
sys.argv = ["monai.bundle", "run", "--config_file", "configs/inference.json", "--device", "cpu"]
for bundle in json.loads(sys.stdin.read()):
    os.chdir(bundle)
    runpy.run_module("monai.bundle", run_name="__main__")
"""


def a_case_of(kind: str) -> Case:
    return picture_case() if "picture" in kind else ball_case()


@pytest.fixture(scope="module")
def run_by_monai(tmp_path_factory) -> dict[str, tuple[Path, torch.nn.Module, Plan]]:
    """A bundle of each kind, run by MONAI's command line on the image in its folder `input`, all in one process."""
    pytest.importorskip("ignite", reason="running a bundle needs pytorch-ignite")
    made = {kind: make(tmp_path_factory.mktemp("bundle")) for kind, make in KINDS.items()}
    for kind, (bundle, _, _) in made.items():
        case = a_case_of(kind)
        flat = case.geometry.dims == 2
        image = case.image.astype(np.uint8) if flat else case.image
        write_image(bundle / "input" / f"scan{'.png' if flat else '.nii.gz'}", image, case.geometry)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # with ignite
    folders = json.dumps([str(bundle) for bundle, _, _ in made.values()])
    done = subprocess.run(
        [sys.executable, "-c", COMMAND_LINE], input=folders, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_monai_runs_the_bundle_to_the_same_segmentation(kind, run_by_monai):
    bundle, network, plan = run_by_monai[kind]
    case = a_case_of(kind)
    written = next((bundle / "output").glob("scan*"))
    ours = Predictor(network, plan, CPU)
    expected = ours.segmentation(ours.probabilities(case, Progress()))
    assert len(np.unique(expected)) > 1
    if case.geometry.dims == 2:
        from PIL import Image

        theirs = np.asarray(Image.open(written))
    else:
        theirs, geometry = read_label(written)
        assert geometry.difference(case.geometry) is None
    # where two classes are equally likely to the last bit, rounding decides
    assert (theirs != expected).mean() < 0.001


def test_monai_loads_the_network(tmp_path):
    bundle, network, _ = a_bundle(tmp_path, ball_case())
    from monai.bundle import load

    loaded = load(name=bundle.name, bundle_dir=str(bundle.parent), workflow_type="inference", device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))


def test_the_metadata_is_as_monai_wants_it(tmp_path):
    bundle, _, _ = a_bundle(tmp_path, ball_case())
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    for key in ("version", "monai_version", "pytorch_version", "numpy_version", "network_data_format", "task"):
        assert metadata[key]
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "ball"}


def test_what_is_saved_is_what_is_loaded(tmp_path):
    bundle, network, plan = a_bundle(tmp_path, ball_case())
    loaded, loaded_plan = load_bundle(bundle, CPU)
    assert loaded_plan == plan
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(tmp_path):
    bundle, _, _ = a_bundle(tmp_path, ball_case())
    mark = tmp_path / "executed"
    (bundle / "models" / "model.pt").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(EngineError, match="not plain weights"):
        load_bundle(bundle, CPU)
    assert not mark.exists()
    torch.save({"weight": Bomb(mark)}, bundle / "models" / "model.pt")
    with pytest.raises(EngineError, match="not plain weights"):
        load_bundle(bundle, CPU)
    assert not mark.exists()


def test_a_configuration_that_would_execute_is_never_evaluated(tmp_path):
    bundle, _, _ = a_bundle(tmp_path, ball_case())
    mark = tmp_path / "executed"
    (bundle / "configs" / "inference.json").write_text(json.dumps({"network": f"$open({str(mark)!r}, 'w')"}))
    load_bundle(bundle, CPU)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    metadata["dalesegment"]["plan"]["network"] = "torch.hub.load"
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(EngineError, match="not known"):
        load_bundle(bundle, CPU)
    assert not mark.exists()


@pytest.mark.parametrize("missing", ["configs/metadata.json", "models/model.pt"])
def test_half_a_bundle_is_refused(missing, tmp_path):
    bundle, _, _ = a_bundle(tmp_path, ball_case())
    (bundle / missing).unlink()
    with pytest.raises(EngineError):
        load_bundle(bundle, CPU)


def test_a_foreign_bundle_is_refused(tmp_path):
    bundle, _, _ = a_bundle(tmp_path, ball_case())
    (bundle / "configs" / "metadata.json").write_text('{"version": "1.0"}')
    with pytest.raises(EngineError, match="not a model made by DALESegment"):
        load_bundle(bundle, CPU)
    shutil.rmtree(bundle)
    with pytest.raises(EngineError, match="no finished model"):
        load_bundle(tmp_path, CPU)
