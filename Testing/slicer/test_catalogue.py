"""What the catalogue of extensions asks of the repository: docs/ExtensionsIndex/README.md answers it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
from write_cmake_lists import REPOSITORY, wanted_scripts

ENTRY = REPOSITORY / "docs" / "ExtensionsIndex" / "DALESegment.json"
ANSWERS = (REPOSITORY / "docs" / "ExtensionsIndex" / "README.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MODULE = REPOSITORY / "DALESegment" / "DALESegment.py"
SHIPPED = [MODULE, *(REPOSITORY / name for name in wanted_scripts())]
TYPES = {"build_dependencies": list, "tier": int} | dict.fromkeys(
    ("$schema", "build_subdirectory", "category", "scm_revision", "scm_url", "scm_type", "dicom_support_rule"), str
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DECLARED = (ast.Import, ast.ImportFrom, *FUNCTIONS, ast.ClassDef, ast.Assign, ast.AugAssign, ast.AnnAssign)
NETWORK = {"urllib.request", "requests", "http", "http.client", "ftplib", "smtplib", "httpx", "aiohttp", "websockets"}


def test_the_entry_fits_schema_1_0_2():
    data = ENTRY.read_bytes()
    assert b"\r" not in data
    entry = json.loads(data)
    assert entry["$schema"].removesuffix("#").endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json")
    assert entry.keys() <= TYPES.keys()
    assert all(isinstance(value, TYPES[key]) for key, value in entry.items())


def test_the_tier_is_the_one_that_the_answers_give_reasons_for():
    tier = json.loads(ENTRY.read_bytes())["tier"]
    assert f"**tier {tier}**" in ANSWERS
    if tier >= 3:
        assert "not yet" not in ANSWERS.split("## The tier")[1]


def test_every_question_of_the_index_is_answered():
    assert re.findall(r"^(\d+)\. \*\*.+\?\*\*", ANSWERS, re.M) == [str(n) for n in range(1, 12)]


def test_the_readme_has_what_the_questions_ask_for():
    assert "**Modules.**" in README
    assert "*DALESegment*, under" in README
    assert "## How to cite" in README
    assert re.search(r"!\[[^\]]+\]\(docs/images/report\.png\)", README)
    tutorial = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert "Sample Data" in tutorial
    description = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert len(re.search(r'EXTENSION_DESCRIPTION "([^"]+)"', description)[1].split()) > 10


def at_file_scope(file: Path) -> list[ast.stmt]:
    """What does something when the file is imported; a docstring does nothing, nor does what only types see."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    acts = [n for n in body if not isinstance(n, DECLARED)]
    acts = [n for n in acts if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return [n for n in acts if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]


def test_the_module_runs_nothing_when_it_is_imported():
    assert not [ast.unparse(statement) for statement in at_file_scope(MODULE)]


def test_the_files_that_do_are_named():
    library = [f for f in SHIPPED if f != MODULE]
    acting = {f.relative_to(REPOSITORY / "DALESegmentLib").as_posix() for f in library if at_file_scope(f)}
    answer = ANSWERS.split("8. **")[1].split("9. **")[0]
    assert acting == set(re.findall(r"`((?:engine|mrml|server|ui)/[\w/]+\.py)`", answer))


def test_nothing_that_is_shipped_opens_a_connection_of_its_own():
    """What is installed comes through Slicer's own installer. One file asks the server that a user names."""
    for file in SHIPPED:
        if file.name == "http_client.py":
            continue
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        taken = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        taken |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
        assert not taken & NETWORK, file


def test_pytorch_is_left_to_its_extension():
    users = [f for f in SHIPPED if "pip_install" in f.read_text(encoding="utf-8")]
    assert [f.name for f in users] == ["dependencies.py"]
    requirements = (REPOSITORY / "Resources" / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search(r"^torch", requirements, re.M)


def test_the_repository_is_far_below_the_limit():
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, encoding="utf-8")
    if listed.returncode:
        pytest.skip("no checkout of git")
    files = [REPOSITORY / name for name in listed.stdout.splitlines()]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 50e6
