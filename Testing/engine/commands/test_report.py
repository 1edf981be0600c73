"""The report of a folder: complete, escaped, without scripts, and true wherever the folder is moved to."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from benchmarks.reliability.small_cases import region, voxels
from DALESegmentLib.engine.bundle.lineage import LearnedCase, lineage_of, write_lineage
from DALESegmentLib.engine.commands import report, verify
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.review.audit import Place, write_audit
from DALESegmentLib.engine.review.decisions import write_regions_json
from DALESegmentLib.engine.review.log import open_log
from DALESegmentLib.engine.review.readers import Reader, reader_log
from Testing.phantoms import ball_case

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
ANNA = Reader(f"Anna {HOSTILE}", f"radiologist {HOSTILE}", f"1.2 {HOSTILE}")


class Page(HTMLParser):
    """tags and attributes in their order, and what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def folder(tmp_path) -> Path:
    """A review with hostile names wherever somebody can type one, an audit, and a model."""
    root = tmp_path / "study"
    review = root / "review"
    rows = [replace(region(n), rank=n, case=f"case0 {HOSTILE}", class_name=f"lesion {HOSTILE}") for n in (1, 2, 3)]
    write_regions_json(rows, review / "regions.json", made_by={"program": "DALESegment 9", "weights": "abc"})
    (review / "review.html").write_text("<p>pictures</p>")
    with open_log(reader_log(review, ANNA.name)) as log:
        log.decide(rows[0], "confirmed", ANNA, voxels(1), f"clear {HOSTILE}")
        log.decide(rows[0], "corrected", ANNA, reason="second look")
        log.undo(log.decide(rows[1], "unsure", ANNA))
        log.sign_off(rows[0].case, 4, ANNA, f"done {HOSTILE}", for_all=True)
    places = [Place(n, "case0", 1, (0.0, 0.0, 0.0), (n, 0, 0), 500.0, "wrong" if n < 3 else "right") for n in range(20)]
    write_audit(places, review / "audit.csv")
    bundle = root / "run" / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "configs" / "metadata.json").write_text("{}")
    plan = make_plan([CaseFingerprint.of(ball_case())])
    learned = [LearnedCase(voxels(1).image, "training", reviewed=7, corrected=2)]
    write_lineage(bundle, lineage_of(learned), plan, [f"Mean Dice 0.9 {HOSTILE}"])
    return root


def made(folder: Path, **more: object) -> tuple[Page, dict]:
    told = report.run({"folder": str(folder), **more}, Progress())
    page = Path(told["html"]).read_text(encoding="utf-8")
    return Page(page), json.loads(Path(told["json"]).read_text(encoding="utf-8"))


def test_it_says_who_decided_what_when_and_why(folder):
    page, told = made(folder)
    first, second, third, signed = told["history"]
    assert [e["verdict"] for e in told["history"][:3]] == ["confirmed", "corrected", "unsure"]
    assert [e["state"] for e in told["history"]] == ["replaced later", "", "taken back", ""]
    assert (first["who"], first["role"], first["instruction"]) == (ANNA.name, ANNA.role, ANNA.instruction)
    assert (first["rank"], third["rank"], second["reason"]) == (1, 2, "second look")
    assert signed["verdict"] == "signed off: 4 (acceptable), locked for all readers"
    (case,) = told["cases"]
    assert (case["rows"], case["decided"]) == (3, {ANNA.name: 1})
    assert told["reviews"] == [{"folder": "review", "rows": 3, "program": "DALESegment 9", "weights": "abc"}]
    for words in ("second look", "taken back", "replaced later", "DALESegment 9", "Mean Dice 0.9", ANNA.name):
        assert words in page.words


def test_it_has_the_errors_left_with_their_interval(folder):
    page, told = made(folder)
    (audit,) = told["audits"]
    assert (audit["places"], audit["wrong"], audit["audited_mm3"]) == (20, 3, 500.0)
    assert audit["wrong_mm3"] == pytest.approx(75.0)
    # Clopper and Pearson's interval of 3 in 20, from their published tables
    assert [audit["low_mm3"], audit["high_mm3"]] == pytest.approx([500 * 0.0321, 500 * 0.3789], rel=1e-3)
    assert "3 of 20 places were wrong" in page.words


def test_it_has_the_models_and_what_they_learned_from(folder):
    page, told = made(folder)
    (model,) = told["models"]
    assert model["confirmed"] == "7 voxels of 1 cases, 2 of them corrected"
    assert "1 cases, 0 to validate on" in page.words
    with open_log(reader_log(folder / "review", "Ben")) as log:
        log.decide(region(9), "confirmed", "Ben", voxels(1))
    assert made(folder, overwrite=True)[1]["models"][0]["reviewed_here"] == ["case0"]


def test_of_a_model_without_a_lineage_nothing_is_claimed(folder):
    (folder / "run" / "bundle" / "docs" / "lineage.json").unlink()
    page, told = made(folder)
    assert "not known" in page.words
    for words in ("random weights", "0 cases"):
        assert words not in page.words
        assert words not in json.dumps(told["models"])


def test_a_decision_about_a_row_of_several_pieces_counts_once(folder):
    rows = json.loads((folder / "review" / "regions.json").read_text(encoding="utf-8"))
    pieces = [replace(region(n), rank=n, case="case1") for n in (7, 8)]
    row = replace(pieces[0], rank=1, pieces=tuple(pieces))
    write_regions_json([row], folder / "review" / "regions.json", made_by=rows["made_by"])
    with open_log(reader_log(folder / "review", "Ben")) as log:
        for piece in pieces:
            log.decide(piece, "confirmed", "Ben", voxels(1))
    _, told = made(folder)
    (ben,) = (reader for reader in told["readers"] if reader["name"] == "Ben")
    assert ben["decisions"] == 1


def test_nothing_that_somebody_typed_is_taken_for_html(folder):
    page, _ = made(folder)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "a"}
    assert set(page.tags) <= allowed | {"table", "thead", "tbody", "tr", "th", "td"}
    assert {name for name, _ in page.attributes} <= {
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "href",
    }
    assert HOSTILE in page.words
    policy = next(value for name, value in page.attributes if value.startswith("default-src"))
    assert "script" not in policy


def test_it_holds_where_the_folder_is_moved_to(folder, tmp_path):
    page, told = made(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    links = [unquote(value) for name, value in page.attributes if name == "href"]
    assert links == ["review/review.html"]
    assert all((moved / link).is_file() for link in links)
    assert str(tmp_path) not in (moved / "report.html").read_text(encoding="utf-8") + json.dumps(told)
    asked = {"folder": str(moved), "against": str(moved / "report.json")}
    assert verify.run(asked, Progress())["bad"] == 0
    log = next(moved.rglob("*.log"))
    log.unlink()
    log.with_name(log.name + ".count").unlink()
    (gone,) = verify.run(asked, Progress())["logs"]
    assert gone["sentence"].endswith("does not hold: it is gone.")


def test_what_is_damaged_is_said_and_stops_nothing(folder):
    log = next(folder.rglob("*.log"))
    log.write_bytes(log.read_bytes().replace(b"second look", b"third  look"))
    (folder / "run" / "bundle" / "docs" / "lineage.json").write_text("[")
    (folder / "review" / "agreement.json").write_text("{")
    (folder / "review" / "audit.csv").write_text("place\n1\n")
    page, told = made(folder)
    assert told["logs"][0]["holds"] is False
    assert re.search("line 3 is not as it was written", page.words)
    assert "lineage.json cannot be read" in page.words
    assert "measure the agreement again" in page.words
    assert "audit.csv is no list of places" in page.words


def test_an_earlier_report_is_replaced_only_where_that_is_asked_for(folder, tmp_path):
    made(folder)
    with pytest.raises(EngineError, match="study holds a report; choose another folder with --out"):
        made(folder)
    page, _ = made(folder, out=str(tmp_path / "other"))
    assert not [value for name, value in page.attributes if name == "href"]
    with pytest.raises(EngineError, match="none is not there"):
        made(tmp_path / "none")


def test_a_folder_without_records_gets_no_report(tmp_path):
    with pytest.raises(EngineError, match="holds no review, log or model"):
        made(tmp_path)
    assert not list(tmp_path.iterdir())
