"""What a trained model finds, in every format that can be asked for."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from DALESegmentLib.engine.commands import confidence, export, inspect, predict, report, review, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case_files import read_label_on
from DALESegmentLib.engine.io.images import read_image, read_label, write_image
from DALESegmentLib.engine.io.segmentations import read_segmentation
from DALESegmentLib.engine.review.decisions import read_regions_json, write_decisions_json
from DALESegmentLib.engine.review.log import open_log
from DALESegmentLib.engine.review.readers import Reader, reader_log
from Testing.phantoms import ball_case

sys.path.insert(0, str(Path(__file__).parents[1] / "io"))  # for source_series.py
from source_series import write_series

pytestmark = pytest.mark.slow
TILTED = 3
"""The number of a patient, which is one of the two that are predicted."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Oblique MR series of five patients, one with a bite in its label, one with slices that are shifted against each
    other, on which its label is drawn."""
    root = tmp_path_factory.mktemp("cases")
    for n in range(5):
        case = ball_case(f"p{n}", seed=n)
        turn = np.array([[np.cos(0.4), -np.sin(0.4), 0], [np.sin(0.4), np.cos(0.4), 0], [0, 0, 1.0]])
        if n == TILTED:
            turn[:, 2] = turn @ [0, np.sin(0.2), np.cos(0.2)]
        written = Geometry(case.geometry.size, (1.0, 1.0, 2.0), (3.0, 4.0, 5.0), tuple(turn.ravel()))
        write_series(root / case.name / "image", written, np.clip(case.image[0] + 300, 0, 4000).astype(int), "MR")
        label = case.label.copy()
        if n == TILTED:
            draw_on_slices(root / case.name, label.astype(np.uint8))
            continue
        if n == 0:
            label[:, :, int(np.argwhere(label).mean(0)[2]) :] = 0
        write_image(root / case.name / "label.nii.gz", label, read_image(root / case.name / "image")[1])
    (root / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 1}}')
    return root


def draw_on_slices(case: Path, label: np.ndarray) -> None:
    """As a segmentation in DICOM, a frame on each slice."""
    images = sorted(map(pydicom.dcmread, (case / "image").iterdir()), key=lambda image: image.InstanceNumber)
    lesion = pydicom.sr.codedict.codes.SCT.Lesion
    about = [highdicom.seg.SegmentDescription(1, "lesion", lesion, lesion, "MANUAL")]
    made = highdicom.seg.Segmentation(
        images, label, "BINARY", about, "1.2.3.77", 5, highdicom.UID(), 1, "x", "y", "1", "z"
    )
    made.save_as(case / "label.dcm")


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("runs") / "ball"
    asked = {"cases": {"folder": str(folder)}, "out": str(out), "epochs": 4, "steps_per_epoch": 12, "device": "cpu"}
    return train.run({**asked, "seed": 1}, Progress())["model"]


@pytest.fixture(scope="module")
def asked(folder, model) -> dict:
    return {"model": model, "cases": {"folder": str(folder), "limit": 2}, "device": "cpu"}


@pytest.fixture(scope="module")
def plain(asked, tmp_path_factory) -> dict[str, np.ndarray]:
    """The segmentations as they are written by default."""
    out = tmp_path_factory.mktemp("plain")
    items = predict.run({**asked, "out": str(out)}, Progress())["items"]
    assert all(item["segmentation"].endswith(".nrrd") for item in items)
    return {item["name"]: read_label(item["segmentation"])[0] for item in items}


@pytest.fixture(scope="module")
def reviewed(asked, folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reviewed")
    review.run({**asked, "cases": {"folder": str(folder)}, "out": str(out)}, Progress())
    return out


def dicom_array(path: str | Path, geometry: Geometry) -> np.ndarray:
    """What a DICOM segmentation or map holds, on (k, j, i) of a grid; slices that it leaves out are 0."""
    read = highdicom.imread(path)
    options: dict[str, bool] = {}
    if "SegmentSequence" in read:
        read = highdicom.seg.segread(path)
        options = {"rescale_fractional" if read.SegmentationType == "FRACTIONAL" else "combine_segments": True}
    volume = read.get_volume(allow_missing_positions=True, **options)
    axes = np.array(geometry.direction).reshape(3, 3) * geometry.spacing
    k, j, i = (index.ravel() for index in np.indices(geometry.array_shape))
    points = np.stack([i, j, k], -1) @ axes.T + geometry.origin - volume.affine[:3, 3]
    index = np.rint(np.linalg.solve(volume.affine[:3, :3], points.T)).astype(int)
    values, there = np.asarray(volume.array).reshape(volume.spatial_shape), np.zeros(k.shape, volume.dtype)
    inside = ((index >= 0) & (index < np.array(volume.spatial_shape)[:, None])).all(0)
    there[inside] = values[tuple(index[:, inside])]
    return there.reshape(geometry.array_shape)


@pytest.mark.parametrize(("form", "ending"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd"), ("seg.nrrd", ".seg.nrrd")])
def test_the_format_that_is_asked_for_holds_the_same_voxels(form, ending, asked, plain, folder, tmp_path):
    items = predict.run({**asked, "out": str(tmp_path), "format": form}, Progress())["items"]
    for item in items:
        path = Path(item["segmentation"])
        assert path.name == f"segmentation{ending}"
        if form == "seg.nrrd":
            read = read_segmentation(path)
            (segment,) = read.segments
            assert segment.name == "lesion"
            assert "SCT^52988006^Lesion" in segment.tags["TerminologyEntry"]
            array, geometry = read.mask(segment), read.geometry
        else:
            array, geometry = read_label(path)
        assert np.array_equal(array, plain[item["name"]])
        assert geometry.difference(read_image(folder / item["name"] / "image")[1]) is None


def test_dicom_from_predict_lies_on_the_series(asked, plain, folder, tmp_path):
    items = predict.run({**asked, "out": str(tmp_path), "format": "dicom", "probabilities": True}, Progress())["items"]
    for item in items:
        geometry = read_image(folder / item["name"] / "image")[1]
        assert np.array_equal(dicom_array(item["segmentation"], geometry), plain[item["name"]])
        read = pydicom.dcmread(item["segmentation"])
        source = pydicom.dcmread(next((folder / item["name"] / "image").iterdir()))
        assert read.StudyInstanceUID == source.StudyInstanceUID
        assert "ball" in read.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName
        share = dicom_array(item["probabilities"], geometry)
        inside = plain[item["name"]] > 0
        assert share[inside].min() > 0.49
        assert share[~inside].max() < 0.51


def test_a_tilted_series_goes_from_its_slices_to_dicom_and_back(asked, folder, tmp_path):
    """The label that was drawn on its slices is learned from, and what is found lies on the straightened grid."""
    items = predict.run({**asked, "out": str(tmp_path / "predicted"), "format": "dicom"}, Progress())["items"]
    (found,) = [item for item in items if item["name"] == f"p{TILTED}"]
    made = read_segmentation(found["segmentation"])
    drawn = folder / found["name"] / "label.dcm"
    geometry = read_image(folder / found["name"] / "image")[1]
    label, _ = read_label_on(drawn, geometry, "image", None)
    assert np.count_nonzero(label) == pydicom.dcmread(drawn).pixel_array.sum()
    again, _ = read_label_on(Path(found["segmentation"]), geometry, "image", None)
    assert np.array_equal(again > 0, dicom_array(found["segmentation"], geometry) > 0)
    assert 2 * np.count_nonzero((again > 0) & (label > 0)) > 0.7 * (np.count_nonzero(again) + np.count_nonzero(label))
    assert made.geometry.spacing == pytest.approx(geometry.spacing)
    rows = inspect.run({"cases": {"folder": str(folder)}}, Progress())["cases"]
    (told,) = [row["notes"] for row in rows if row["name"] == found["name"]]
    assert "tilted gantry (11.5 degrees)" in told[0]


def test_dicom_from_confidence_is_exact_as_a_map_and_close_as_a_fraction(asked, folder, tmp_path):
    by_default = confidence.run({**asked, "out": str(tmp_path / "plain")}, Progress())["items"]
    items = confidence.run({**asked, "out": str(tmp_path / "dicom"), "format": "dicom"}, Progress())["items"]
    for item, other in zip(items, by_default, strict=True):
        values, geometry = read_image(other["confidence"])
        path = Path(item["confidence"])
        assert np.array_equal(dicom_array(path, geometry), values[0])
        assert np.abs(dicom_array(path.with_name("confidence_fractional.dcm"), geometry) - values[0]).max() < 0.0021


def test_dicom_is_refused_before_the_work_where_the_case_is_none(asked, folder, tmp_path):
    image, geometry = read_image(folder / "p0" / "image")
    write_image(tmp_path / "cases" / "p9" / "image.nii.gz", image, geometry)
    wanted = {**asked, "cases": {"folder": str(tmp_path / "cases")}, "out": str(tmp_path / "out"), "format": "dicom"}
    with pytest.raises(EngineError, match=r"p9 was not read from DICOM.*--format nifti") as caught:
        predict.run(wanted, Progress())
    assert caught.value.code == "dicom-source"
    assert not list((tmp_path / "out").rglob("*.dcm"))


class Links(HTMLParser):
    """Of a page: where it leads, what it runs, its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.sources, self.targets, self.titles = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name == "src"]
        self.targets += [value for name, value in attributes if name == "href"]

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "h2" and data.strip():
            self.titles.append(data.strip())


def test_review_writes_a_page_with_a_picture_of_each_region(reviewed):
    text = (reviewed / "review.html").read_text(encoding="utf-8")
    page, rows = Links(text), read_regions_json(reviewed / "regions.json")
    assert page.titles[0].startswith("1. lesion: too small")
    assert "script" not in page.tags
    assert len(page.sources) == len(rows)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all((reviewed / target).is_file() for target in page.targets)
    assert (reviewed / rows[0].case / "overlays" / "rank-001.png").is_file()


def test_a_case_cannot_write_into_the_page(asked, folder, tmp_path):
    name = "<img src=x onerror=alert(1)>&'"
    shutil.copytree(folder / "p0", tmp_path / "cases" / name)
    (tmp_path / "cases" / "dataset.json").write_text('{"labels": {"<script>alert(2)</script>": 1}}')
    cases = {"folder": str(tmp_path / "cases")}
    result = review.run({**asked, "cases": cases, "out": str(tmp_path / "out")}, Progress())
    page = Links(Path(result["html"]).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert all(source.startswith("data:") for source in page.sources)
    assert all(
        (tmp_path / "out" / __import__("urllib.parse").parse.unquote(target)).is_file() for target in page.targets
    )


def test_dicom_from_review_has_segments_and_a_report_of_the_regions(asked, folder, reviewed, tmp_path):
    cases = {"folder": str(folder)}
    items = review.run({**asked, "cases": cases, "out": str(tmp_path), "format": "dicom"}, Progress())["items"]
    item = next(item for item in items if item["name"] == "p0")
    regions, geometry = read_label(reviewed / "p0" / "regions.nrrd")
    read = dicom_array(item["regions_map"], geometry)
    assert np.array_equal(read > 0, regions > 0)
    numbers = {int(value): number for number, value in enumerate(np.unique(regions[regions > 0]), 1)}
    assert all((read[regions == value] == number).all() for value, number in numbers.items())
    rows = [row for row in read_regions_json(reviewed / "regions.json") if row.case == "p0"]
    report = highdicom.sr.srread(item["report"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == sum(len(row.leaves) for row in rows)
    volumes = {int(next(iter(g.referenced_segment.referenced_segment_numbers))): g for g in groups}
    first = rows[0].leaves[0]
    measured = {m.name.meaning: m.value for m in volumes[numbers[first.region_id]].get_measurements()}
    assert measured["Volume"] == pytest.approx(2.0 * (regions == first.region_id).sum())


@pytest.mark.parametrize("kind", ["log", "slicer"])
def test_decisions_are_exported_with_who_made_them(kind, folder, model, reviewed, tmp_path):
    rows = [row for row in read_regions_json(reviewed / "regions.json") if row.case == "p0"]
    if kind == "log":
        decisions = tmp_path / "review.log"
        with open_log(decisions) as log:
            log.decide(rows[0], "corrected", "Dr. Reader")
    else:
        decisions = tmp_path / "review-p0.json"
        decided = {"state": "corrected", "who": "Dr. Reader", "when": "2026-05-01T09:30:00+00:00"}
        pieces = [{**piece.as_dict(), **decided} for piece in rows[0].pieces]
        write_decisions_json({"regions": [{**rows[0].as_dict(), **decided, "pieces": pieces}]}, decisions)
    asked = {"cases": {"folder": str(folder)}, "results": str(reviewed), "decisions": str(decisions), "model": model}
    items = export.run({**asked, "out": str(tmp_path / "out"), "format": "dicom"}, Progress())["items"]
    item = next(item for item in items if item["name"] == "p0")
    label, geometry = read_label(folder / "p0" / "label.nii.gz")
    assert np.array_equal(dicom_array(item["reviewed"], geometry), label)
    read = pydicom.dcmread(item["reviewed"])
    assert read.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert "reviewed by Dr. Reader" in read.SeriesDescription
    groups = highdicom.sr.srread(item["report"]).content.get_volumetric_roi_measurement_groups()
    verdicts = [
        {q.name.meaning: q.value.meaning for q in group.get_qualitative_evaluations()}["Verdict of the review"]
        for group in groups
    ]
    assert verdicts.count("Label corrected by hand") == len(rows[0].leaves)
    assert "Dr. Reader" in str(groups[0])
    assert [other["reviewer"] for other in items if other["name"] != "p0"] == [""] * 4


def test_a_report_has_a_dicom_one_of_each_reader(folder, reviewed, tmp_path):
    root = shutil.copytree(reviewed, tmp_path / "all" / "review").parent
    rows = [row for row in read_regions_json(reviewed / "regions.json") if row.case == "p0"]
    for name, verdict in (("Möller", "corrected"), ("Müller", "confirmed")):
        with open_log(reader_log(root / "review", name)) as log:
            log.decide(rows[0], verdict, Reader(name, "radiologist", "1.2"), reason="seen twice")
    items = report.run({"folder": str(root), "cases": {"folder": str(folder)}}, Progress())["items"]
    assert [(item["name"], item["reader"]) for item in items] == [("p0", "Möller"), ("p0", "Müller")]
    for item, words in zip(items, ("Label corrected by hand", "Label confirmed as it is"), strict=True):
        groups = highdicom.sr.srread(item["report"]).content.get_volumetric_roi_measurement_groups()
        told = str(groups[0])
        assert words in told
        whole = pydicom.dcmread(item["report"]).to_json()
        assert "Role: radiologist; Instruction: 1.2; Reason: seen twice" in whole
        assert item["reader"] in told
    shutil.copytree(root / "review", root / "again")
    twice = report.run({"folder": str(root), "cases": {"folder": str(folder)}, "overwrite": True}, Progress())["items"]
    assert len({item["report"] for item in twice}) == 4


def test_results_of_other_cases_are_no_results(folder, tmp_path):
    asked = {"cases": {"folder": str(folder)}, "results": str(tmp_path), "out": str(tmp_path / "out"), "format": "nrrd"}
    with pytest.raises(EngineError, match="holds no results of these cases"):
        export.run(asked, Progress())


@pytest.fixture(scope="module")
def bids(folder, tmp_path_factory) -> Path:
    """A BIDS data set of two sessions."""
    root = tmp_path_factory.mktemp("bids")
    for n, session in enumerate(("ses-1", "ses-2")):
        image, geometry = read_image(folder / f"p{n}" / "image")
        write_image(root / "sub-01" / session / "anat" / f"sub-01_{session}_T1w.nii.gz", image, geometry)
    (root / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.10.0"}')
    (root / "README").write_text("Two sessions.\n" * 20)
    return root


def test_bids_derivatives_are_found_beside_the_raw_data(bids, asked, tmp_path):
    images = sorted(bids.rglob("*.nii.gz"))
    out = bids / "derivatives" / "dalesegment"
    wanted = {**asked, "cases": {"folder": str(bids)}, "out": str(out), "format": "bids", "probabilities": True}
    found = predict.run(wanted, Progress())["items"]
    looked = inspect.run({"cases": {"folder": str(bids)}}, Progress())  # results are no labels
    assert [case["label"] for case in looked["cases"]] == [[], []]
    assert looked["left_over"] == []
    (out / "a case" / "overlays").mkdir(parents=True)  # as review writes them
    (out / "a case" / "overlays" / "rank-001.png").write_bytes(b"x")
    base = out / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_desc-dalesegment"
    assert found[0]["segmentation"] == f"{base}_dseg.nii.gz"
    assert read_label(f"{base}_dseg.nii.gz")[1].difference(read_image(images[0])[1]) is None
    with open(f"{base}_dseg.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["index"], row["name"]) for row in rows] == [("0", "background"), ("1", "lesion")]
    assert all(row["color"].startswith("#") and len(row["color"]) == 7 for row in rows)
    about = json.loads(Path(f"{base}_probseg.json").read_text(encoding="utf-8"))
    assert about["LabelMap"] == ["background", "lesion"]
    assert about["Sources"] == ["bids:raw:sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"]
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetLinks"] == {"raw": "../.."}
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "DALESegment"
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([program, "--json", str(out)], capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        pytest.skip("bids-validator-deno does not run here: " + done.stderr[-200:])
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_a_case_outside_bids_becomes_a_subject(asked, tmp_path):
    items = predict.run({**asked, "out": str(tmp_path), "format": "bids"}, Progress())["items"]
    names = {Path(item["segmentation"]).relative_to(tmp_path).as_posix() for item in items}
    assert names == {f"sub-{item['name']}/anat/sub-{item['name']}_desc-dalesegment_dseg.nii.gz" for item in items}


def test_cases_that_would_be_one_in_bids_are_refused_before_the_work(asked, folder, tmp_path):
    items = [{"name": name, "images": [str(folder / "p0" / "image")]} for name in ("a_1", "a-1")]
    with pytest.raises(EngineError, match="a_1 and a-1 would have the same name") as caught:
        predict.run({**asked, "cases": {"items": items}, "out": str(tmp_path), "format": "bids"}, Progress())
    assert caught.value.code == "bids-names"


def test_masks_of_pictures_have_a_visible_copy(tmp_path):
    from PIL import Image

    from DALESegmentLib.engine.commands.result_files import ResultFiles
    from DALESegmentLib.engine.io.case import CaseSource

    flat = Geometry((4, 3), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mask = np.array([[0, 1, 1, 0], [0, 2, 2, 0], [0, 0, 0, 0]], np.uint8)
    path = ResultFiles(tmp_path).write(CaseSource("x", (Path("x.png"),)), "segmentation", mask, flat, {1: "a", 2: "b"})
    assert np.array_equal(np.array(Image.open(path)), mask)
    shown = np.array(Image.open(tmp_path / "x" / "segmentation_visible.png"))
    assert shown.shape == (3, 4, 3)
    assert shown[0, 1].max() > 100
    assert shown[1, 1].max() > 100
    assert not np.array_equal(shown[0, 1], shown[1, 1])
    assert not shown[0, 0].any()
