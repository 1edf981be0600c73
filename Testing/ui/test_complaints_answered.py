"""What the documents promise is there: the tests they name, the pictures they show, the catalogue entry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/tutorial.md")


def test_every_test_that_answers_a_complaint_exists():
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs/complaints.md").read_text(encoding="utf-8")))
    sources = [file.read_text(encoding="utf-8") for file in (REPOSITORY / "Testing").rglob("test_*.py")]
    written = {name for text in sources for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 15
    assert not named - written


def test_all_fourteen_complaints_are_answered():
    text = (REPOSITORY / "docs/complaints.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == [str(n) for n in range(1, 15)]


def test_each_answer_names_a_test_or_says_why_not():
    text = (REPOSITORY / "docs/complaints.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \|.*\|([^|]+)\|$", text, re.MULTILINE)
    assert len(rows) == 14
    for held in rows:
        assert "`test_" in held or "not held by a test here: " in held, held


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_picture_is_there(document):
    file = REPOSITORY / document
    text = file.read_text(encoding="utf-8")
    shown = re.findall(r'!\[[^\]]*\]\(([^)]+)\)|<img src="([^"]+)"', text)
    assert shown
    for first, second in shown:
        assert (file.parent / (first or second)).is_file(), first or second


def test_the_tutorial_names_controls_that_exist():
    """Bold text in the tutorial is the text of a control."""
    tutorial = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8")
    panel = (REPOSITORY / "Resources/UI/DALESegment.ui").read_text(encoding="utf-8")
    controls = set(re.findall(r"<string>([^<]+)</string>", panel))
    keys = {"E", "D", "N", "A", "S", "O", "]"}
    others = {"DALESegment practice case"}  # a button of the Sample Data module
    bold = set(re.findall(r"\*\*([^*]+)\*\*", tutorial)) - keys - others
    assert len(bold) > 10
    assert not bold - controls


def test_the_keys_of_the_tutorial_are_the_keys(desktop):
    from DALESegmentLib.ui.review_keys import KEYS

    tutorial = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8")
    tables = [part.split("\n\n")[0] for part in tutorial.split("| key | does |")[1:]]
    rows = re.findall(r"^\| ([^|-]+) \|", "\n".join(tables), re.MULTILINE)
    assert {key for row in rows for key in row.split(", ")} == {key for key, _text in KEYS.values()}


def test_the_catalogue_entry_agrees_with_the_extension():
    entry = json.loads((REPOSITORY / "docs/ExtensionsIndex/DALESegment.json").read_text(encoding="utf-8"))
    cmake = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    said = dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]*)"\)', cmake))
    assert re.search(r"^project\((\w+)\)", cmake, re.MULTILINE)[1] == "DALESegment"
    assert entry["category"] == said["CATEGORY"]
    assert entry["build_dependencies"] == said["DEPENDS"].split()
    assert entry["scm_url"].removesuffix(".git") == said["HOMEPAGE"]
    known = {"build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type", "scm_url"}
    assert set(entry) <= known | {"$schema", "tier"}
    for url in (said["ICONURL"], said["SCREENSHOTURLS"]):
        path = url.split("/main/")[1]
        assert (REPOSITORY / path).is_file(), path
