"""Imports point one way: ui -> mrml -> engine."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LIBRARY = REPOSITORY / "DALESegmentLib"

FORBIDDEN = {
    "engine": {"slicer", "vtk", "vtkmodules", "qt", "ctk", "DALESegmentLib.mrml", "DALESegmentLib.ui"},
    "mrml": {"qt", "ctk", "torch", "monai", "DALESegmentLib.ui"},
    "ui": {"torch", "monai"},
}
# Layers of the engine that read, write and judge without a network; torch takes seconds to import.
WITHOUT_TORCH = ("engine/cases", "engine/geometry", "engine/review")
AT_FILE_SCOPE = {"DALESegmentLib", "SimpleITK", "ctk", "numpy", "qt", "slicer", "vtk"} | set(sys.stdlib_module_names)


def imports(file: Path, *, file_scope_only: bool = False) -> set[str]:
    """Full names of the modules a file imports, relative ones resolved."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = file.relative_to(REPOSITORY).parent.parts
    nodes = tree.body if file_scope_only else ast.walk(tree)
    if file_scope_only:
        nodes = [n for top in tree.body for n in ([top] if not isinstance(top, ast.Try) else ast.walk(top))]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (LIBRARY / folder).rglob("*.py"))


@pytest.mark.parametrize("layer", sorted(FORBIDDEN))
def test_a_layer_imports_nothing_above_it(layer):
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files(layer)
        for name in sorted(imports(file))
        if any(is_within(name, package) for package in FORBIDDEN[layer])
    ]
    assert not wrong, "\n".join(wrong)


def test_reading_and_reviewing_need_no_torch():
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files(*WITHOUT_TORCH)
        for name in sorted(imports(file))
        if any(is_within(name, package) for package in ("torch", "monai"))
    ]
    assert not wrong, "\n".join(wrong)


def test_what_slicer_loads_imports_only_what_slicer_has():
    """At file scope; anything else would keep the module from loading before its packages are installed."""
    module = REPOSITORY / "DALESegment" / "DALESegment.py"
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in [module, *files("ui", "mrml")]
        for name in sorted(imports(file, file_scope_only=True))
        if name.split(".")[0] not in AT_FILE_SCOPE
    ]
    assert not wrong, "\n".join(wrong)


def test_the_scene_layer_runs_without_torch():
    """Every module of the scene layer, imported in a process of its own."""
    pytest.importorskip("slicer", reason="the scene layer needs slicer-core")
    names = [".".join(f.relative_to(REPOSITORY).with_suffix("").parts) for f in files("mrml", *WITHOUT_TORCH)]
    names = [name.removesuffix(".__init__") for name in names]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "heavy = {'torch', 'monai', 'PySide6', 'qt', 'ctk'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
