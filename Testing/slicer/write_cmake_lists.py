"""Bring the lists of shipped files in CMakeLists.txt up to the tree.

    python Testing/slicer/write_cmake_lists.py

Everything in DALESegmentLib (but its demo, federated/ and the public package) and in Resources (but the scripts that
draw them, and the screenshots, which the documents show) is shipped.
"""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LISTS = REPOSITORY / "CMakeLists.txt"
NOT_SHIPPED = ("DALESegmentLib/demo/", "DALESegmentLib/federated/", "DALESegmentLib/public/")


def wanted_scripts() -> list[str]:
    """Python files of the library, as CMake should list them."""
    library = REPOSITORY / "DALESegmentLib"
    files = (file.relative_to(REPOSITORY).as_posix() for file in library.rglob("*.py"))
    return sorted(file for file in files if not file.startswith(NOT_SHIPPED))


def wanted_resources() -> list[str]:
    """Everything in Resources and every file of the library that is not Python."""
    kept = [f for f in (REPOSITORY / "Resources").rglob("*") if f.is_file() and f.suffix != ".py"]
    kept = [f for f in kept if f.parent.name != "Screenshots"]
    kept += [f for f in (REPOSITORY / "DALESegmentLib").rglob("*") if f.is_file() and f.suffix != ".py"]
    names = (file.relative_to(REPOSITORY).as_posix() for file in kept if not _is_passing(file))
    return sorted(file for file in names if not file.startswith(NOT_SHIPPED))


def listed(variable: str, text: str) -> list[str]:
    """The entries of `set(<variable> …)`."""
    found = re.search(rf"set\({variable}\s(.*?)\)", text, re.DOTALL)
    return found[1].split() if found else []


def with_list(variable: str, entries: list[str], text: str) -> str:
    """The text with `set(<variable> …)` holding these entries, one a line."""
    body = "".join(f"  {entry}\n" for entry in entries)
    return re.sub(rf"set\({variable}\s.*?\)", lambda _: f"set({variable}\n{body}  )", text, flags=re.DOTALL)


def _is_passing(file: Path) -> bool:
    """Caches and other things that come and go."""
    parts = file.relative_to(REPOSITORY).parts
    return "__pycache__" in parts or any(part.startswith(".") for part in parts)


if __name__ == "__main__":
    content = LISTS.read_text(encoding="utf-8")
    content = with_list("LIBRARY_PYTHON_SCRIPTS", wanted_scripts(), content)
    content = with_list("LIBRARY_RESOURCES", wanted_resources(), content)
    LISTS.write_text(content, encoding="utf-8")
