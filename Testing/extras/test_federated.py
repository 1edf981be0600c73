"""Two sites train together in NVFlare's own simulator; what leaves them is recorded."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("nvflare", reason="nvflare is not installed; `make test-extras` installs it")

from benchmarks.federated import cases_of, compare, small_plan
from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.core.device import choose_device
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.federated.recipe import job_files, make_recipe
from DALESegmentLib.federated.site_training import Rounds, Site, SiteTraining, find_site_cases, read_plan
from Testing.phantoms import ball_case

from .federated_recorder import ResultRecorder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROUNDS = Rounds(rounds=3, epochs=1, steps=30, seed=0)
POINTS = 1.0
NUMBERS = {("meta", "NUM_STEPS_CURRENT_ROUND"), ("meta", "initial_metrics", "validation_dice"), ("kind",)}
"""What may leave beside the weights; the rest are NVFlare's own headers."""
HEADERS = {"__content_type__", "start_round", "current_round", "total_rounds"}


def write_case(folder: Path, seed: int, *, value: int = 1) -> Path:
    folder.mkdir(parents=True)
    case = ball_case(folder.name, seed=seed)
    for name, array in (("image", case.image[0]), ("label", (value * case.label).astype(np.uint8))):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(case.geometry.spacing)
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("cases")
    return [write_case(root / f"Patientname{n:02}", n) for n in range(14)]


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory) -> tuple[Path, dict]:
    work = tmp_path_factory.mktemp("federated")
    (work / "sent").mkdir()
    found = compare(
        [folders[:5], folders[5:10]],
        folders[10:],
        ROUNDS,
        work / "both",
        validation=0.2,
        change=lambda recipe: recipe.add_client_output_filter(ResultRecorder(str(work / "sent")), tasks=["train"]),
    )
    print(found)
    return work, found


def test_only_weights_and_three_numbers_leave_a_site(trained):
    work, _ = trained
    network, _ = load_bundle(work / "both" / "together" / "run", choose_device("cpu"))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    sent = sorted((work / "sent").iterdir())
    assert len(sent) == 2 * ROUNDS.rounds
    assert {path.name[:6] for path in sent} == {"site-1", "site-2"}
    for path in sent:
        seen, numbers = {}, {}
        for keys, value in pickle.loads(path.read_bytes()):
            if keys[:2] == ("DXO", "data"):
                seen[keys[2]] = value.shape
            elif keys[0] == "DXO":
                numbers[keys[1:]] = value
            else:
                assert keys[0] == "__headers__"
                assert keys[1] in HEADERS, keys
        assert seen == shapes
        assert set(numbers) == NUMBERS
        assert numbers[("meta", "NUM_STEPS_CURRENT_ROUND")] == 4
        assert 0 <= numbers[("meta", "initial_metrics", "validation_dice")] <= 1


def test_the_server_keeps_no_case(trained):
    server = trained[0] / "both" / "together" / "nvflare" / "dalesegment" / "server"
    files = [path for path in server.rglob("*") if path.is_file()]
    assert any(path.name == "FL_global_model.pt" for path in files)
    assert not [path for path in files if b"Patientname" in path.read_bytes()]
    assert not [path for path in files if path.suffix in {".gz", ".nii", ".npy", ".npz", ".safetensors"}]


def test_what_was_learned_of_the_labels_stays_at_the_site(trained):
    for name in ("kept-1", "kept-2"):
        kept = trained[0] / "both" / name
        assert len(json.loads((kept / "checkpoint.json").read_text(encoding="utf-8"))["cases"]) == 4
        assert len(list((kept / "checkpoint").glob("case*-given.safetensors"))) == 4


def test_two_sites_learn_what_one_place_learns(trained):
    dice = trained[1]["dice"]
    assert dice["in_one_place"] > 0.8
    assert dice["together"] > dice["in_one_place"] - POINTS / 100, dice


def test_a_training_goes_on_in_the_sites_folder(folders, tmp_path):
    site = Site(plan=tmp_path / "plan.json", cases=cases_of(folders[:2]), folder=tmp_path / "run", device="cpu")
    plan, rounds = small_plan(folders[:2], site.plan), Rounds(rounds=2, steps=2)
    first = SiteTraining(rounds, site, first=True)
    sent = first.train_round(first.trainer.network.state_dict())
    first.close()
    seen = [case.labels.seen.clone() for case in first.trainer.cases]
    with pytest.raises(EngineError) as refused:
        SiteTraining(rounds, site, first=True)
    assert refused.value.code == "run-exists"
    again = SiteTraining(rounds, site, first=False)
    assert all(bool((case.labels.seen == then).all()) for case, then in zip(again.trainer.cases, seen, strict=True))
    again.train_round(sent.weights)
    again.close()
    assert len(again.trainer.history) == 2
    assert plan.trained_on is None


def test_a_site_with_other_classes_or_images_is_refused(folders, tmp_path):
    small_plan(folders[:2], tmp_path / "plan.json")
    plan = read_plan(tmp_path / "plan.json")
    other = write_case(tmp_path / "other", 0, value=3)
    with pytest.raises(EngineError, match="the sites agreed on") as refused:
        find_site_cases(plan, cases_of([other]), Progress())
    assert refused.value.code == "other-classes"
    two = plan.model_copy(update={"channels": 2})
    with pytest.raises(EngineError, match="agreed on volumes with 2"):
        find_site_cases(two, cases_of(folders[:1]), Progress())


def test_a_job_names_no_path_of_the_machine_that_made_it(folders, tmp_path):
    small_plan(folders[:2], tmp_path / "plan.json")
    with job_files() as scratch:
        make_recipe(tmp_path / "plan.json", ROUNDS, 2, scratch).export(str(tmp_path / "job"))
    configs = list((tmp_path / "job").rglob("*.json"))
    assert len(configs) >= 3
    for path in configs:
        text = path.read_text(encoding="utf-8")
        assert str(scratch) not in text
        assert str(Path(__file__).parents[2]) not in text
    assert list((tmp_path / "job").rglob("site_training.py"))
    assert list((tmp_path / "job").rglob("first_weights.pt"))
