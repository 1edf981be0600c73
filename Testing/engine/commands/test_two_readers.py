"""Two readers go through the review of real images, each for themselves, and a third decides where they disagree; with
the real command line."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DALESegmentLib.engine.commands import agreement, decisions, review, sign_off, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.review.decisions import read_regions_json
from DALESegmentLib.engine.review.log import read_log
from DALESegmentLib.engine.review.readers import reader_log

pytestmark = pytest.mark.slow

DALESEGMENT = (sys.executable, "-m", "DALESegmentLib.engine")
CASES = ("001", "004", "006", "014", "015", "017")
ANNA = ("--reader", "Anna <b>Å</b>", "--role", "radiologist", "--instruction", "1.2")
BEN = ("--reader", "Ben", "--role", "resident", "--instruction", "1.2")


def run(*arguments: object, fails: bool = False) -> str:
    """What it printed; the sentence on standard error where it has to fail."""
    command = [*DALESEGMENT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if not fails:
        return done.stdout
    assert done.stderr.count("Error:") == 1
    return " ".join(done.stderr.split())


@dataclass
class Readings:
    cases: Path
    results: Path

    def decide(self, reader: tuple[str, ...], **more: object) -> dict[str, Any]:
        """In this process, as the command line hands it on."""
        signed = {name.removeprefix("--"): word for name, word in zip(reader[::2], reader[1::2], strict=True)}
        cases = {"cases": {"folder": str(self.cases)}} if more.pop("data", True) else {}
        return decisions.run({"results": str(self.results), **signed, **cases, **more}, Progress())

    @property
    def ranks_elsewhere(self) -> list[int]:
        """Of two rows about other cases than that of the first."""
        first, *rest = read_regions_json(self.results / "regions.json")
        return [row.rank for row in rest if row.case != first.case][:2]

    def log(self, name: str) -> Path:
        return reader_log(self.results, name)


@pytest.fixture(scope="module")
def reviewed(data_folder, tmp_path_factory) -> Readings:
    """Six hippocampi, three labels of which lack a half; a model of a short training, and its review list."""
    root = tmp_path_factory.mktemp("readings")
    for n, name in enumerate(CASES):
        source = data_folder / "msd_hippocampus" / f"hippocampus_{name}"
        if not source.is_dir():
            pytest.skip("msd_hippocampus is not among the real images")
        folder = root / "cases" / f"hippocampus_{name}"
        folder.mkdir(parents=True)
        shutil.copy(source / "image.nii.gz", folder)
        label, geometry = read_label(source / "label.nii.gz")
        label = (label > 0).astype(np.uint8)
        if n in (1, 3, 5):
            label[int(np.argwhere(label)[:, 0].mean()) :] = 0
        write_image(folder / "label.nii.gz", label, geometry)
    cases = {"folder": str(root / "cases")}
    short = {"epochs": 5, "steps_per_epoch": 30, "device": "cpu", "seed": 1}
    train.run({"cases": cases, "out": str(root / "run"), **short}, Progress())
    asked = {"model": str(root / "run"), "cases": cases, "out": str(root / "review"), "device": "cpu", "audit": 10}
    assert len(review.run(asked, Progress())["regions"]) >= 6
    return Readings(root / "cases", root / "review")


@pytest.fixture(scope="module")
def read(reviewed) -> Readings:
    """Both readers have been through: Anna corrects the first row, Ben leaves it; they agree about two more."""
    rows = read_regions_json(reviewed.results / "regions.json")
    corrected = reviewed.cases.parent / "anna"
    label, geometry = read_label(reviewed.cases / rows[0].case / "label.nii.gz")
    regions, _ = read_label(reviewed.results / rows[0].case / "regions.nii.gz")
    label[np.isin(regions, [piece.region_id for piece in rows[0].leaves])] = rows[0].suggested_value
    write_image(corrected / f"{rows[0].case}.nii.gz", label, geometry)
    line = ("decisions", reviewed.results, *ANNA, "--data", reviewed.cases, "--corrected", corrected, "--json")
    told = json.loads(run(*line))
    assert (told["rows"][0]["state"], told["written"] >= 1) == ("corrected", True)
    reviewed.decide(BEN, rank=1, verdict="confirmed", reason="a fold, not the hippocampus")
    table = "rank,verdict,reason\n{},confirmed,\n{},unsure,blurred\n1,,\n".format(*reviewed.ranks_elsewhere)
    (reviewed.cases.parent / "both.csv").write_text(table)
    for reader in (ANNA[:2], BEN[:2]):
        reviewed.decide(reader, verdicts=str(reviewed.cases.parent / "both.csv"))
    return reviewed


def test_each_decision_is_signed_and_nobody_sees_another_ones(read):
    for signed, state in ((ANNA, "corrected"), (BEN, "confirmed")):
        told = read.decide(signed[:2], data=False)
        assert told["written"] == 0
        assert told["rows"][0]["state"] == state
        assert told["rows"][0]["who"] == f"{signed[1]} ({signed[3]}, instruction 1.2)"
        assert [told["rows"][rank - 1]["state"] for rank in read.ranks_elsewhere] == ["confirmed", "unsure"]
        other = BEN[1] if signed is ANNA else ANNA[1]
        pieces = [d for d in read_log(read.log(signed[1])).standing.values() if d.verdict == "confirmed"]
        rows = read_regions_json(read.results / "regions.json")
        confirmed = [row for row, told_row in zip(rows, told["rows"], strict=True) if told_row["state"] == "confirmed"]
        assert len(pieces) == sum(len(row.leaves) for row in confirmed)
        assert other not in json.dumps(told, ensure_ascii=False)
        assert {d.annotator for d in read_log(read.log(signed[1])).standing.values()} == {signed[1]}
    assert "a fold" not in run("decisions", read.results, *ANNA[:2])


def test_a_decision_about_a_row_is_taken_back_with_all_its_pieces(read):
    rows = read_regions_json(read.results / "regions.json")
    row = max(rows, key=lambda row: len(row.leaves))
    dora = ("--reader", "Dora", "--role", "radiologist", "--instruction", "1.2")
    told = read.decide(dora, data=False, rank=row.rank, verdict="unsure")
    assert told["written"] == 1
    assert len(read_log(read.log("Dora")).standing) == len(row.leaves) > 1
    number = told["rows"][row.rank - 1]["number"]
    assert read.decide(dora[:2], data=False, undo=number)["open"] == len(rows)
    assert read_log(read.log("Dora")).standing == {}
    for file in read.log("Dora").parent.glob(f"{read.log('Dora').name}*"):
        file.unlink()


def test_a_corrected_label_is_what_the_reader_drew(read):
    rows = read_regions_json(read.results / "regions.json")
    drawn, _ = read_label(read.cases.parent / "anna" / f"{rows[0].case}.nii.gz")
    trusted, label = np.zeros(drawn.shape, bool), np.zeros(drawn.shape, np.int32)
    for decision in read_log(read.log(ANNA[1])).standing.values():
        if decision.case == rows[0].case and decision.verdict == "corrected":
            decision.voxels.put(trusted, label)
    assert np.array_equal(label[trusted], drawn[trusted])
    given, _ = read_label(read.cases / rows[0].case / "label.nii.gz")
    assert trusted[drawn != given].all()


def test_agreement_and_a_list_for_a_third_reader(read, tmp_path):
    out = tmp_path / "agreement"
    text = run("agreement", read.results, "--reader", ANNA[1], "--reader", "Ben", "--data", read.cases, "-o", out)
    told = json.loads((out / "agreement.json").read_text(encoding="utf-8"))
    by_rank = {item["rank"]: item for item in told["regions"]}
    second, third = read.ranks_elsewhere
    assert {1, second, third} <= set(by_rank)
    assert "verdicts differ" in by_rank[1]["why"]
    assert by_rank[1]["dice"] < 1
    assert by_rank[second]["dice"] == by_rank[third]["dice"] == 1
    assert by_rank[second]["distance"] == 0
    equal = [item["verdict_1"] == item["verdict_2"] for item in told["regions"]]
    assert told["same_verdict"]["value"] == pytest.approx(np.mean(equal))
    assert told["same_verdict"]["low"] <= told["same_verdict"]["value"] <= told["same_verdict"]["high"]
    assert "Cohen's kappa of the verdicts" in text
    with (out / "adjudication.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert listed[0]["reason_2"] == "a fold, not the hippocampus"
    for row in listed:
        row |= {"verdict": "accepted", "reason": "seen on the next slice"}
    with (out / "adjudication.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, listed[0])
        writer.writeheader()
        writer.writerows(listed)
    carla = ("--reader", "Carla", "--role", "adjudicator", "--instruction", "1.2")
    decided = read.decide(carla, verdicts=str(out / "adjudication.csv"))
    assert decided["rows"][0]["state"] == "accepted"
    for asked, sentence in (
        ({}, "between two readers, and 3 decided here"),
        ({"readers": ("Ben", "Eve")}, "Eve decided nothing in this folder"),
        ({"readers": (ANNA[1], "Ben"), "out": str(out)}, r"holds adjudication\.csv already"),
    ):
        with pytest.raises(EngineError, match=sentence):
            agreement.run({"results": str(read.results), **asked}, Progress())


def test_a_signed_off_case_is_locked_until_it_is_reopened_with_a_reason(read):
    rows = read_regions_json(read.results / "regions.json")
    row = [row for row in rows if row.case != rows[0].case][2]
    signing = ("sign-off", row.case, "--results", read.results, *BEN[:2])
    assert "4 (acceptable), signed off by Ben (resident" in run(*signing, "--score", 4)
    deciding = {"rank": row.rank, "verdict": "confirmed"}
    before = read.log("Ben").read_bytes()
    said = run("decisions", read.results, "--rank", row.rank, "--verdict", "confirmed", *BEN[:2], fails=True)
    assert f"{row.case} was signed off by Ben" in said
    assert f"reopen it with dalesegment sign-off {row.case} --results ... --reader Ben --reopen" in said
    assert read.log("Ben").read_bytes() == before
    read.decide(ANNA[:2], **deciding)  # who reads for herself

    def sign(**more: object) -> None:
        sign_off.run({"results": str(read.results), "case": row.case, "reader": "Ben", **more}, Progress())

    with pytest.raises(EngineError, match="Say with --reason why"):
        sign(reopen=True)
    run(*signing, "--reopen", "--reason", "the tail was missed")
    read.decide(BEN[:2], **deciding)
    with pytest.raises(EngineError, match="had the verdict 4 before"):
        sign(score=2)
    sign(score=2, reason="the tail is missing", for_all=True)
    with pytest.raises(EngineError, match="locked for all readers"):
        read.decide(ANNA[:2], **deciding, reason="another look")


def test_a_monitor_reads_what_happened(read, tmp_path):
    """The whole folder, with the model, moved elsewhere after the report was made."""
    root = tmp_path / "moved"
    for name in ("review", "run"):
        shutil.copytree(read.cases.parent / name, root / name)
    run("report", root)
    told = json.loads((root / "report.json").read_text(encoding="utf-8"))
    assert {"Ben", ANNA[1]} <= {reader["name"] for reader in told["readers"]}
    assert all(log["holds"] for log in told["logs"])
    (model,) = told["models"]
    assert model["weights"] == told["reviews"][0]["weights"]
    assert model["reviewed_here"]
    assert "10 of the 10 places of the audit have no verdict yet" in told["audits"][0]["sentences"][0]
    elsewhere = root.rename(tmp_path / "elsewhere")
    assert run("verify", elsewhere, "--against", elsewhere / "report.json").count(" holds: ") == len(told["logs"])
    page = (elsewhere / "report.html").read_text(encoding="utf-8")
    assert "a fold, not the hippocampus" in page
    assert "Anna &lt;b&gt;Å&lt;/b&gt;" in page
    assert str(tmp_path) not in page + json.dumps(told)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"reader": "Dora", "rank": 1, "verdict": "confirmed"}, "Say as what Dora reads"),
        ({"rank": 1}, "Give --rank and --verdict together"),
        ({"rank": 999, "verdict": "unsure"}, "The list has no row 999"),
        ({"rank": 1, "verdict": "unsure"}, "Row 1 was corrected before; say with --reason why"),
        ({"corrected": "x"}, "name the cases by --data"),
        ({"corrected": "x", "cases": True}, "x is not there"),
        ({"verdicts": "none.csv"}, "none.csv is not there"),
        ({"undo": 4000}, "Decision 4000 is not there"),
    ],
)
def test_mistakes_are_said_in_a_sentence_and_nothing_is_written(read, asked, sentence):
    before = {path: path.read_bytes() for path in (read.results / "reviews").glob("*.log")}
    if "cases" in asked:
        asked = {**asked, "cases": {"folder": str(read.cases)}}
    with pytest.raises(EngineError, match=sentence):
        decisions.run({"results": str(read.results), "reader": ANNA[1], **asked}, Progress())
    after = {path: path.read_bytes() for path in (read.results / "reviews").glob("*.log")}
    assert {path: content for path, content in after.items() if path in before} == before


def test_folders_that_are_no_review_are_refused(read, tmp_path):
    assert "holds no review list" in run("decisions", tmp_path, *ANNA, fails=True)
    said = run("sign-off", "nobody", "--results", read.results, *ANNA, "--score", 3, fails=True)
    assert "has no case nobody" in said
    asked = {"results": str(read.results), "case": "hippocampus_001", "reader": ANNA[1]}
    with pytest.raises(EngineError, match="Give the case a verdict with --score: 1 unusable"):
        sign_off.run(asked, Progress())


def test_a_decision_vouches_for_no_other_label_than_the_reviewed_one(reviewed, tmp_path):
    other = tmp_path / "cases"
    shutil.copytree(reviewed.cases, other)
    first = read_regions_json(reviewed.results / "regions.json")[0]
    path = other / first.case / "label.nii.gz"
    label, geometry = read_label(path)
    write_image(path, np.zeros_like(label), geometry)
    with pytest.raises(EngineError, match=f"The label of {first.case} is not the one that was reviewed"):
        Readings(other, reviewed.results).decide(("--reader", "Cleo", *ANNA[2:]), rank=first.rank, verdict="confirmed")
    assert not reviewed.log("Cleo").exists()
