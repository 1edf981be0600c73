"""Text files are the same on every system: UTF-8 whatever its own encoding is, and lines that end in a line feed.

ruff's PLW1514 finds what is opened through a name it can follow to `open` or `Path`; here every call counts.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SHIPPED = [*sorted((REPOSITORY / "DALESegmentLib").rglob("*.py")), REPOSITORY / "DALESegment" / "DALESegment.py"]
READ, WRITE = {"read_text"}, {"write_text"}


def calls(tree: ast.AST) -> Iterator[tuple[str, str, ast.Call]]:
    """(name, mode, call) of whatever opens a file; mode "r" or "w" for text, "b" for bytes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in READ | WRITE:
            yield name, "r" if name in READ else "w", node
        elif name in ("open", "fdopen", "TemporaryFile", "NamedTemporaryFile"):
            mode = opened_for(node, name)
            if mode is not None:
                yield name, mode, node


def opened_for(call: ast.Call, name: str) -> str | None:
    """None for other functions of that name, such as a panel that is opened."""
    modes = [k.value for k in call.keywords if k.arg == "mode"]
    bare = isinstance(call.func, ast.Name)
    place = 1 if bare or name == "fdopen" else 0  # open(path, mode), path.open(mode)
    modes += [a for a in call.args[place : place + 1] if isinstance(a, (ast.Constant, ast.IfExp))]
    if not modes:
        if name in ("TemporaryFile", "NamedTemporaryFile"):
            return "b"
        return "r" if bare or (not call.args and any(k.arg in ("encoding", "newline") for k in call.keywords)) else None
    texts = [n.value for n in ast.walk(modes[0]) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    if not texts or any(set(text) - set("rwxabt+") for text in texts):
        return None
    return "b" if all("b" in text for text in texts) else "w" if set("wxa+") & set("".join(texts)) else "r"


def keywords(call: ast.Call) -> set[str]:
    return {keyword.arg or "" for keyword in call.keywords}


def without(files: list[Path], wanted: str, modes: str) -> list[str]:
    return [
        f"{file.relative_to(REPOSITORY)}:{call.lineno} {name}"
        for file in files
        for name, mode, call in calls(ast.parse(file.read_text(encoding="utf-8")))
        if mode in modes and wanted not in keywords(call)
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("p.read_text()", ["r"]),
        ("open(p)", ["r"]),
        ("open(p, 'rb')", ["b"]),
        ("p.open('w')", ["w"]),
        ("p.open('wb' if a else 'r+b')", ["b"]),
        ("p.open(newline='')", ["r"]),
        ("panel.open(region)", []),
        ("workflow.open(None)", []),
        ("tempfile.TemporaryFile(dir=d)", ["b"]),
        ("tempfile.NamedTemporaryFile('w')", ["w"]),
    ],
)
def test_what_opens_a_file_is_known(line, found):
    assert [mode for _, mode, _ in calls(ast.parse(line))] == found


def test_every_text_file_of_the_library_has_an_encoding():
    wrong = without(SHIPPED, "encoding", "rw")
    assert not wrong, "\n".join(wrong)


def test_every_text_file_that_the_library_writes_has_line_ends_of_its_own():
    wrong = without(SHIPPED, "newline", "w")
    assert not wrong, "\n".join(wrong)


def test_a_checkout_on_windows_has_the_same_bytes():
    """What is compared byte by byte, such as a review log with its checksums, is not converted."""
    names = ["Testing/kept/0.1.0/review.log", "docs/ExtensionsIndex/DALESegment.json", "DALESegmentLib/__init__.py"]
    asked = ["git", "check-attr", "eol", "--", *names]
    try:
        done = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no checkout of git: {error}")
    assert all(line.endswith("eol: lf") for line in done.stdout.splitlines())
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=REPOSITORY, capture_output=True, encoding="utf-8")
    assert not [line for line in listed.stdout.splitlines() if line.startswith(("i/crlf", "i/mixed"))]


def test_no_two_files_are_one_where_capitals_are_not_told_apart():
    done = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, encoding="utf-8")
    if done.returncode:
        pytest.skip("no checkout of git")
    paths = {str(parent) for name in done.stdout.splitlines() for parent in (Path(name), *Path(name).parents)}
    folded = [path.casefold() for path in paths]
    assert len(set(folded)) == len(folded)


def test_no_file_has_a_name_or_a_path_that_windows_lacks():
    """With the 260 characters of a path there is room for a folder of the user's own."""
    from DALESegmentLib.engine.core.files import is_windows_name

    done = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, encoding="utf-8")
    if done.returncode:
        pytest.skip("no checkout of git")
    names = done.stdout.splitlines()
    assert all(is_windows_name(part) for name in names for part in name.split("/"))
    assert max(map(len, names)) < 120
