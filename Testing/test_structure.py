"""The graph of imports, of a small library written for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from Testing.structure import REPOSITORY, Structure, cycles, numbers

FILES = {
    "__init__": '"""Nothing but this."""\n',
    "engine/__init__": '"""The version."""\n\n__version__ = "1"\n',
    "engine/__main__": "from .cli.app import main\n",
    "engine/core/__init__": "",
    "engine/core/errors": "class EngineError(Exception):\n    pass\n",
    "engine/core/atomic": "from . import errors\n",
    "engine/dale/__init__": '"""Here something is defined."""\n\nLIMIT = 1\n',
    "engine/dale/loss": "from ..core.errors import EngineError\nfrom . import LIMIT\n",
    "engine/dale/alone": (
        "import typing\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from .loss import Loss\n"
        "if typing.TYPE_CHECKING:\n    import lib.engine.dale.loss\nelse:\n    import lib.engine.core.atomic\n"
    ),
    "engine/cli/__init__": "",
    "engine/cli/app": (
        "def main():\n    from lib.engine.dale import loss\n\n    class Inner:\n        import lib.engine.cli.more\n"
    ),
    "engine/cli/more": "try:\n    from .app import main\nexcept ImportError:\n    pass\n",
    "ui/__init__": "",
    "ui/panel": "from ..engine import dale\nfrom ..engine.core import atomic as a, errors\nimport numpy.linalg\n",
}


@pytest.fixture
def small(tmp_path: Path) -> Structure:
    for name, text in FILES.items():
        file = tmp_path / "lib" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Structure(tmp_path, "lib")


def imported(structure: Structure, module: str) -> set[str]:
    return {name.removeprefix("lib.") for name in structure.graph.successors(f"lib.{module}")}


def test_a_package_counts_where_it_holds_more_than_its_docstring(small):
    packages = {"lib.engine", "lib.engine.dale"}
    assert {module for module in small.modules if module.count(".") < 2 and "panel" not in module} == {"lib.engine"}
    assert packages <= set(small.modules)
    assert not {"lib", "lib.ui", "lib.engine.core", "lib.engine.cli"} & set(small.modules)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("engine.core.errors", set()),
        ("engine.core.atomic", {"engine.core.errors"}),
        ("engine.dale.loss", {"engine.core.errors", "engine.dale"}),
        ("engine.dale.alone", {"engine.core.atomic"}),
        ("engine.cli.app", {"engine.dale.loss", "engine.cli.more"}),
        ("engine.cli.more", {"engine.cli.app"}),
        ("ui.panel", {"engine.dale", "engine.core.atomic", "engine.core.errors"}),
        ("engine.__main__", {"engine.cli.app"}),
    ],
)
def test_what_a_module_imports(small, module, expected):
    assert imported(small, module) == expected


def test_cycles_between_files_and_between_packages(small):
    assert cycles(small.graph) == [["lib.engine.cli.app", "lib.engine.cli.more"]]
    assert cycles(small.packages) == []
    (small.root / "lib/engine/core/late.py").write_text("def f():\n    from ..dale import loss\n", encoding="utf-8")
    assert cycles(Structure(small.root, "lib").packages) == [["engine.core", "engine.dale"]]


def test_the_numbers_of_the_engine(small):
    found = numbers(small)
    assert found.modules == 9
    # Imported once: __init__ of dale is by loss and panel, loss by app, more by app, app by more and __main__.
    assert {m for m in small.within("engine") if len(small.importers(m)) == 1} == {
        "lib.engine.dale.loss",
        "lib.engine.cli.more",
    }
    assert found.single_importer == 2
    assert found.longest == (9, "lib.engine.dale.alone")


@pytest.mark.slow
def test_the_command_prints_the_numbers():
    done = subprocess.run(
        [sys.executable, "-m", "Testing.structure"], capture_output=True, encoding="utf-8", cwd=REPOSITORY, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for words in ("engine modules: ", "with exactly one importer: ", "median ", "package cycles: ", "file cycles: "):
        assert words in done.stdout
