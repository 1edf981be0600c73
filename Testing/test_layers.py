"""Imports point one way: ui -> mrml -> engine, and in the engine from each package to those before it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from Testing.structure import REPOSITORY, cycles, files, imports, library, numbers

LAYERS = (
    ("engine",),  # the version alone
    ("engine.core",),
    ("engine.geometry",),
    ("engine.dale",),
    ("engine.io",),
    ("engine.metrics", "engine.review"),
    ("engine.planning",),  # a trainer and a predictor both need the plan,
    ("engine.bundle",),  # and a bundle: predictors read one, trainers write one
    ("engine.inference",),
    ("engine.training",),  # validates with a predictor
    ("engine.commands",),
    ("engine.rpc",),
    ("server",),
    ("engine.cli",),
    ("engine.__main__",),
    ("federated",),  # a program on the engine's commands; nothing of Slicer
    ("mrml",),
    ("ui",),
    ("public",),
    ("demo",),
)
"""A package imports those before it; in one line they may import each other as long as there is no cycle."""
PACKAGES = tuple(package for layer in LAYERS for package in layer)
HELD = PACKAGES
"""The packages that are held to it. PACKAGES, once the engine is divided like that; then the numbers hold as well."""
WHOLE = pytest.mark.skipif(HELD != PACKAGES, reason="the engine is not divided into these packages yet")

FORBIDDEN = {
    "engine": {"slicer", "vtk", "vtkmodules", "qt", "ctk", "DALESegmentLib.mrml", "DALESegmentLib.ui"},
    "mrml": {"qt", "ctk", "torch", "monai", "DALESegmentLib.ui"},
    "ui": {"torch", "monai"},
    "federated": {"slicer", "vtk", "qt", "ctk", "DALESegmentLib.mrml", "DALESegmentLib.ui"},
    "server": {"torch", "monai", "slicer", "vtk", "qt", "ctk", "DALESegmentLib.mrml", "DALESegmentLib.ui"},
}
# Layers of the engine that read, write and judge without a network; torch takes seconds to import.
WITHOUT_TORCH = ("engine/geometry", "engine/io", "engine/review")
AT_FILE_SCOPE = {"DALESegmentLib", "SimpleITK", "ctk", "numpy", "qt", "slicer", "vtk"} | set(sys.stdlib_module_names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("layer", sorted(FORBIDDEN))
def test_a_layer_imports_nothing_above_it(layer):
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files(layer)
        for name in sorted(imports(file))
        if any(is_within(name, package) for package in FORBIDDEN[layer])
    ]
    assert not wrong, "\n".join(wrong)


def rank(package: str) -> int:
    """Where a package stands; what has no place yet is one of the engine's and stands before all others."""
    places = [n for n, layer in enumerate(LAYERS) if package in layer]
    return places[0] if places else 0


@pytest.mark.parametrize("package", HELD)
def test_a_package_imports_only_packages_before_it(package):
    structure = library()
    assert structure.within(package), f"there is no package {package}"
    above = [other for other in structure.packages.successors(package) if rank(other) > rank(package)]
    wrong = [
        f"{module} imports {other}"
        for module in structure.within(package)
        for other in sorted(structure.graph.successors(module))
        if structure.package(other) in above
    ]
    assert not above, "\n".join(wrong or above)


def test_the_public_package_imports_only_dale_and_the_version():
    found = {name for file in files("public") for name in imports(file) if is_within(name, "DALESegmentLib")}
    assert "DALESegmentLib.engine.dale" in found
    others = {name for name in found if not is_within(name, "DALESegmentLib.engine.dale")}
    assert others <= {"DALESegmentLib.engine", "DALESegmentLib.engine.__version__"}


def test_no_held_package_is_in_a_cycle():
    assert not [cycle for cycle in cycles(library().packages) if set(cycle) & set(HELD)]


def test_no_files_import_each_other():
    assert not cycles(library().graph)


@WHOLE
def test_every_package_has_its_place():
    assert set(filter(None, library().packages)) <= set(PACKAGES)


@WHOLE
def test_the_engine_is_of_few_modules_of_a_readable_size():
    found = numbers(library())
    assert found.modules <= 205
    assert found.single_share <= 0.23
    assert 100 <= found.median_lines <= 175
    assert found.longest[0] <= 350, found.longest[1]


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


@pytest.mark.slow
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


def test_no_test_imports_another():
    """What several tests share lies in a module of its own, such as Testing/phantoms.py."""
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in sorted((REPOSITORY / "Testing").rglob("*.py"))
        for name in sorted(imports(file))
        if any(part == "conftest" or part.startswith("test_") for part in name.split(".")[:-1])
        or name.split(".")[-1] == "conftest"
    ]
    assert not wrong, "\n".join(wrong)
