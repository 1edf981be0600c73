"""Why a voxel was learned as it was: from a corrector that moved a label to the file beside the confidence map."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage
from typer.testing import CliRunner

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.cli.app import app
from DALESegmentLib.engine.commands import confidence, finetune, refresh, review, train
from DALESegmentLib.engine.commands.label_source import native_source
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.dale.label_state import IGNORED, NO_PROPOSAL, LabelState
from DALESegmentLib.engine.dale.quality import Recalibration
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.orientation import canonical_affine
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.planning.preprocessing import prepare_label
from DALESegmentLib.engine.training.checkpoint import load_labels
from DALESegmentLib.engine.training.validation import save_recalibration
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow

CASES = 17
ALONE = f"case{CASES - 1:02}"
SHORT = {"epochs": 1, "steps_per_epoch": 1, "device": "cpu"}
OBLIQUE = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
NUMBERS = {"given": 0, "reviewed": 1, "corrected": 2, "annotator_bias": 3, "image_evidence": 4, "missed_objects": 5}


def write_cases(folder: Path, *, corrected: bool) -> None:
    """All drawn too large; corrected from the middle slice on, except for the last case, which has thicker slices and
    lies obliquely."""
    for n in range(CASES):
        case = ball_case(f"case{n:02}", seed=n, spacing=(1.0, 1.0, 3.0 if n == CASES - 1 else 2.0))
        truth = np.asarray(case.label)
        geometry = replace(case.geometry, direction=OBLIQUE) if n == CASES - 1 else case.geometry
        label = ndimage.binary_dilation(truth, iterations=2).astype(np.uint8)
        trusted = np.zeros(truth.shape, np.uint8)
        if corrected and n < CASES - 1:
            trusted[truth.shape[0] // 2 :] = 1
            label = np.where(trusted, truth, label)
            write_image(folder / case.name / "trusted.nii.gz", trusted, geometry)
        write_image(folder / case.name / "image.nii.gz", case.image, geometry)
        write_image(folder / case.name / "label.nii.gz", label, geometry)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """drawn, corrected: cases; run: a training on the first; tuned: a fine-tune on the second that found the bias."""
    root = tmp_path_factory.mktemp("source")
    write_cases(root / "drawn", corrected=False)
    write_cases(root / "corrected", corrected=True)
    train.run(asked(root, "drawn", "run", **SHORT, validation=0), Progress())
    result = finetune.run(asked(root, "corrected", "tuned", model=str(root / "run"), **SHORT), Progress())
    assert "drawn too large" in result["bias"]
    return root


def asked(root: Path, cases: str, out: str, **more) -> dict:
    return {"cases": {"folder": str(root / cases)}, "out": str(root / out), "device": "cpu", **more}


@pytest.fixture(scope="module")
def items(root) -> dict[str, dict]:
    found = confidence.run(asked(root, "corrected", "maps", model=str(root / "tuned")), Progress())["items"]
    return {item["name"]: item for item in found}


def nearest(root: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(*grid) each, of the tuned model: given and learned classes and the bias' proposal, looked up voxel by voxel
    through world coordinates."""
    image, label = (root / "corrected" / name / f"{part}.nii.gz" for part in ("image", "label"))
    case = read_case(_source(name, image, label))
    state = load_labels(root / "tuned")[name]
    _, plan = load_bundle(root / "tuned" / "bundle", torch.device("cpu"))
    affine = np.asarray(prepare_label(case, plan)[1], np.float64)
    back = np.linalg.inv(affine) @ case.geometry.ijk_to_ras()
    k, j, i = np.indices(case.geometry.array_shape)
    at = np.tensordot(back, np.stack([i, j, k, np.ones_like(i)]), 1)[:3]
    index = tuple(np.clip(np.round(a).astype(int), 0, n - 1) for a, n in zip(at, state.shape, strict=True))
    return tuple(values.numpy()[index] for values in (state.given, state.target(), state.proposals["annotator_bias"]))


def _source(name: str, image: Path, label: Path) -> CaseSource:
    return CaseSource(name, images=(image,), label=label)


def test_the_right_numbers_lie_on_the_right_voxels_of_an_oblique_anisotropic_grid(root, items):
    given, learned, proposed = nearest(root, ALONE)
    moved = given != learned
    assert moved.sum() > 50
    assert np.array_equal(moved, (proposed >= 0) & (proposed != given))
    found, geometry = read_label(Path(items[ALONE]["label_source"]))
    image, grid = read_label(root / "corrected" / ALONE / "label.nii.gz")
    assert geometry.difference(grid) is None
    assert found.shape == image.shape
    assert sitk.ReadImage(items[ALONE]["label_source"]).GetPixelID() == sitk.sitkUInt8
    # two voxels of the prepared grid can be equally near
    assert (found != np.where(moved, NUMBERS["annotator_bias"], 0)).mean() < 0.002
    assert items[ALONE]["learned_otherwise"] == {"annotator_bias": int((found == 3).sum())}
    assert np.all(image[found == 3] == 1)  # the bias takes from labels that were drawn too large


def test_a_corrected_case_says_what_was_reviewed_and_what_corrected(root, items):
    found, _ = read_label(Path(items["case00"]["label_source"]))
    trusted, _ = read_label(root / "corrected" / "case00" / "trusted.nii.gz")
    drawn, _ = read_label(root / "drawn" / "case00" / "label.nii.gz")
    now, _ = read_label(root / "corrected" / "case00" / "label.nii.gz")
    corrected = (trusted > 0) & (drawn != now)
    assert np.array_equal(found == NUMBERS["corrected"], corrected)
    assert np.array_equal(found == NUMBERS["reviewed"], (trusted > 0) & ~corrected)
    assert items["case00"]["learned_otherwise"]["corrected"] == corrected.sum()
    assert "reviewed" not in items["case00"]["learned_otherwise"]


def test_the_numbers_are_named_beside_the_file(items):
    beside = json.loads(Path(items["case00"]["label_source"]).with_name("label_source.json").read_text())
    assert beside["source_names"] == {"0": "given", "1": "reviewed", "2": "corrected", "3": "annotator_bias"}
    assert beside["learned_otherwise"] == items["case00"]["learned_otherwise"]
    assert beside["source_names"] == items["case00"]["source_names"]


def test_the_review_list_says_of_each_region_why(root):
    """A network of two steps doubts too little to list anything, were it not for what review has found out."""
    shutil.copytree(root / "tuned", root / "judged")
    save_recalibration(root / "judged", Recalibration((90.0,) * 9 + (0.0, 0.0)))
    result = review.run(asked(root, "corrected", "review", model=str(root / "judged")), Progress())
    said = [r for r in result["regions"] if r["label_source"] == "annotator_bias"]
    assert said
    table = Path(result["csv"]).read_text(encoding="utf-8").splitlines()
    rows = {row["rank"]: row for row in csv.DictReader(table)}
    for region in said:
        item = next(i for i in result["items"] if i["name"] == region["case"])
        places, _ = read_label(Path(item["regions_map"]))
        found, _ = read_label(Path(item["label_source"]))
        inside = np.isin(places, [piece["region_id"] for piece in region["pieces"] or [region]])
        assert region["learned_voxels"] == (inside & (found == NUMBERS["annotator_bias"])).sum()
        assert (region["learned_value"], region["learned_class"]) == (0, "background")
        assert rows[str(region["rank"])]["label_source"] == "annotator_bias"
        assert rows[str(region["rank"])]["learned_voxels"] == str(region["learned_voxels"])


def test_the_command_says_how_many_and_from_what(root, items):
    counts: dict[str, int] = {}
    for item in items.values():
        for name, count in item["learned_otherwise"].items():
            counts[name] = counts.get(name, 0) + count
    line = [
        "confidence",
        "--model",
        str(root / "tuned"),
        "--data",
        str(root / "corrected"),
        "--device",
        "cpu",
        "--overwrite",
    ]
    said = CliRunner().invoke(app, [*line, "--out", str(root / "line")])
    assert said.exit_code == 0, said.output
    text = " ".join(said.output.split())
    both = f"corrected {counts['corrected']:,}", f"annotator bias {counts['annotator_bias']:,}"
    assert f"{sum(counts.values()):,} voxels learned otherwise than given: " in text
    assert all(part in text for part in both)


def test_nothing_is_written_where_nothing_moved_and_what_was_there_goes(root):
    out = root / "unmoved"
    confidence.run(asked(root, "corrected", "unmoved", model=str(root / "tuned")), Progress())
    assert list(out.rglob("label_source.*"))
    again = asked(root, "drawn", "unmoved", model=str(root / "run"))
    result = confidence.run({**again, "overwrite": True}, Progress())
    assert {(item["label_source"], len(item["learned_otherwise"])) for item in result["items"]} == {(None, 0)}
    assert not list(out.rglob("label_source.*"))
    line = ["confidence", "--model", str(root / "run"), "--data", str(root / "drawn"), "--device", "cpu", "--overwrite"]
    said = CliRunner().invoke(app, [*line, "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "learned otherwise" not in said.output


def test_a_file_of_the_users_own_of_that_name_is_left_alone(root, tmp_path):
    mine = tmp_path / "out" / ALONE / "label_source.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    cases = {"folder": str(root / "drawn")}
    confidence.run(
        {"cases": cases, "out": str(tmp_path / "out"), "model": str(root / "run"), "device": "cpu", "overwrite": True},
        Progress(),
    )
    assert mine.read_text() == "mine"


def test_a_bundle_without_its_run_folder_says_nothing(root, tmp_path):
    shutil.copytree(root / "tuned" / "bundle", tmp_path / "carried" / "bundle")
    for kind in (confidence, review):
        more = {"model": str(tmp_path / "carried" / "bundle"), "out": str(tmp_path / kind.__name__)}
        result = kind.run({**asked(root, "corrected", ""), **more}, Progress())
        assert all(item["label_source"] is None for item in result["items"])
        assert {region["label_source"] for region in result.get("regions", [])} <= {""}


def test_a_case_that_was_not_trained_on_has_none(root, tmp_path):
    shutil.copytree(root / "drawn" / ALONE, tmp_path / "cases" / "another")
    result = confidence.run(
        {"cases": {"folder": str(tmp_path / "cases")}, "out": str(tmp_path / "out"), "model": str(root / "tuned")},
        Progress(),
    )
    assert result["items"][0]["label_source"] is None


def test_arrays_of_the_scene_get_an_array_and_a_refresh_renews_it(root, tmp_path):
    case = read_case(_source(ALONE, *(root / "corrected" / ALONE / f"{p}.nii.gz" for p in ("image", "label"))))
    save_array_case(case, tmp_path / ALONE)
    cases = {"items": [{"name": ALONE, "arrays": str(tmp_path / ALONE)}]}
    shared = {"cases": cases, "device": "cpu", "model": str(root / "tuned")}
    item = confidence.run({**shared, "out": str(tmp_path / "out")}, Progress())["items"][0]
    found = np.load(item["label_source"])
    assert (found.dtype, found.shape) == (np.uint8, case.geometry.array_shape)
    assert item["learned_otherwise"] == {"annotator_bias": int((found == 3).sum())}

    moved = found == 3
    case.trusted = moved.copy()  # the reader confirms what was given there
    save_array_case(case, tmp_path / ALONE)
    renewed = refresh.run({**shared, "out": str(tmp_path / "again"), "seconds": 0.1}, Progress())["items"][0]
    assert "annotator_bias" not in renewed["learned_otherwise"]


def test_a_picture_gets_a_picture(tmp_path):
    """Discs in pictures, all too large, all but one corrected."""
    geometry = Geometry((48, 40), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    for n in range(CASES):
        rng = np.random.default_rng(n)
        j, i = np.indices(geometry.array_shape)
        truth = np.hypot(j - 20, i - 24) < rng.uniform(8, 10)
        image = (100.0 * truth + rng.normal(100, 5, truth.shape)).clip(0, 255).astype(np.uint8)
        large = ndimage.binary_dilation(truth, iterations=3)
        for part, label in (("drawn", large), ("corrected", truth if n < CASES - 1 else large)):
            folder = tmp_path / part / f"case{n:02}"
            write_image(folder / "image.png", image[None], geometry)
            write_image(folder / "label.png", label.astype(np.uint8), geometry)
        if n < CASES - 1:
            write_image(tmp_path / "corrected" / f"case{n:02}" / "trusted.png", np.ones_like(image), geometry)
    train.run(asked(tmp_path, "drawn", "run", **SHORT, validation=0), Progress())
    tuned = finetune.run(asked(tmp_path, "corrected", "tuned", model=str(tmp_path / "run"), **SHORT), Progress())
    assert tuned["bias"]
    found = confidence.run(asked(tmp_path, "corrected", "maps", model=str(tmp_path / "tuned")), Progress())["items"]
    item = next(item for item in found if item["name"] == ALONE)
    assert item["label_source"].endswith("label_source.png")
    source, _ = read_label(Path(item["label_source"]))
    state = load_labels(tmp_path / "tuned")[ALONE]
    learned, drawn = state.target()[..., 0].numpy().T, state.given[..., 0].numpy().T
    assert item["learned_otherwise"] == {"annotator_bias": int((learned != drawn).sum())}
    assert np.array_equal(source == 3, learned != drawn)


def test_a_proposal_to_learn_nothing_is_described_as_none():
    geometry = Geometry((4, 3, 2), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    state = LabelState(torch.ones((4, 3, 2), dtype=torch.int16))
    affine = torch.from_numpy(canonical_affine(geometry))
    assert native_source(state, affine, geometry) is None
    same = torch.full((4, 3, 2), NO_PROPOSAL, dtype=torch.int16)
    same[0, 0, 0] = 1  # what was given is proposed: nothing is learned otherwise
    state.set_proposal("annotator_bias", same)
    assert native_source(state, affine, geometry) is None
    same[0, 0, :] = IGNORED
    state.set_proposal("image_evidence", same)
    source = native_source(state, affine, geometry)
    assert source.counts() == {"image_evidence": 2}
    where = Region(1, "a", 1, 1, "ball", "extra", 0, 24, 1.0, 0.1, 0.1, 1.0, (0,) * 3, (0,) * 3, (0,) * 3, (3, 2, 1))
    described = source.described(where, np.ones(geometry.array_shape, np.int32), None, {})
    assert (described.label_source, described.learned_voxels, described.learned_value) == ("image_evidence", 2, None)
    other = np.ones(geometry.array_shape, np.int32)
    other[source.changed] = 0
    assert source.described(where, other, None, {}).label_source == "given"
