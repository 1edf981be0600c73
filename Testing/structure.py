"""How the modules of DALESegmentLib import each other, read from their text alone; nothing of them is imported.

`python -m Testing.structure` prints the numbers that tell how far the library is one of few, readable parts.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import median

import networkx as nx

REPOSITORY = Path(__file__).parents[1]
NAME = "DALESegmentLib"
LIBRARY = REPOSITORY / NAME


def files(*folders: str) -> list[Path]:
    """All Python files of these folders of the library."""
    return sorted(file for folder in folders for file in (LIBRARY / folder).rglob("*.py"))


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file: Path, *, root: Path = REPOSITORY, file_scope_only: bool = False, types: bool = True) -> set[str]:
    """Full names of the modules a file imports, and of what it takes from them; relative ones are resolved.

    file_scope_only: without what functions import when they are called. types: with `if TYPE_CHECKING`.
    """
    package = file.relative_to(root).parent.parts
    found: set[str] = set()
    for node in _statements(_tree(file), file_scope_only, types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def named(file: Path) -> set[str]:
    """Full names of parts of the library in a file's strings: what it imports by name, when it is needed."""
    texts = {n.value for n in ast.walk(_tree(file)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    names = {text.rstrip(".") for text in texts if text.startswith(f"{NAME}.")}
    return {name for name in names if all(part.isidentifier() for part in name.split("."))}


def _statements(tree: ast.AST, file_scope_only: bool, types: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if file_scope_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and not types and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from _statements(other, file_scope_only, types)
            continue
        yield node
        yield from _statements(node, file_scope_only, types)


@dataclass(frozen=True)
class Structure:
    """The modules under `root / name` and which of them imports which, at any place but under TYPE_CHECKING."""

    root: Path = REPOSITORY
    name: str = NAME

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Full name and file; an `__init__` that holds no more than its docstring is no module."""
        found = {}
        for file in sorted((self.root / self.name).rglob("*.py")):
            parts = file.relative_to(self.root).with_suffix("").parts
            if parts[-1] == "__init__":
                if len(_tree(file).body) <= 1:
                    continue
                parts = parts[:-1]
            found[".".join(parts)] = file
        return found

    @cached_property
    def graph(self) -> nx.DiGraph:
        """An arrow from each module to each that it imports."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.modules)
        for module, file in self.modules.items():
            taken = imports(file, root=self.root, types=False)
            # `from .package import name` takes the module of that name, where there is one, and not the package.
            taken -= {outer for outer in taken if any(n.startswith(outer + ".") and n in self.modules for n in taken)}
            graph.add_edges_from((module, other) for other in taken & set(self.modules) - {module})
        return graph

    def package(self, module: str) -> str:
        """ "engine.dale" for a module of the engine, "mrml" for one of the other layers; "" at the top.

        What `python -m` starts imports what lies above the package it is in, so it counts as a package of its own.
        """
        if module == f"{self.name}.engine.__main__":
            return "engine.__main__"
        file = self.modules.get(module)
        folder = file.parent if file else self.root.joinpath(*module.split("."))
        parts = folder.relative_to(self.root / self.name).parts
        return ".".join(parts[: 2 if parts[:1] == ("engine",) else 1])

    @cached_property
    def packages(self) -> nx.DiGraph:
        """An arrow from each package to each that one of its modules imports, or names in a string."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.package(module) for module in self.modules)
        for module, other in self.graph.edges:
            graph.add_edge(self.package(module), self.package(other))
        if self.name == NAME:
            for module, file in self.modules.items():
                for other in named(file):
                    if other in self.modules or (self.root.joinpath(*other.split("."))).is_dir():
                        graph.add_edge(self.package(module), self.package(other))
        graph.remove_edges_from(list(nx.selfloop_edges(graph)))
        return graph

    def importers(self, module: str) -> set[str]:
        return set(self.graph.predecessors(module))

    def within(self, package: str) -> list[str]:
        """The modules of a package and of those inside it."""
        return [m for m in self.modules if f"{self.package(m)}.".startswith(f"{package}.")]


def cycles(graph: nx.DiGraph) -> list[list[str]]:
    """Groups in which each reaches each other, the largest first."""
    groups = [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), group))


@dataclass(frozen=True)
class Numbers:
    """Of the engine: modules, share of those with one importer, lines of a module."""

    modules: int
    single_importer: int
    median_lines: float
    longest: tuple[int, str]

    @property
    def single_share(self) -> float:
        return self.single_importer / self.modules


def numbers(structure: Structure, package: str = "engine") -> Numbers:
    modules = structure.within(package)
    lines = {m: len(structure.modules[m].read_text(encoding="utf-8").splitlines()) for m in modules}
    once = [m for m in modules if len(structure.importers(m)) == 1]
    longest = max(modules, key=lines.__getitem__)
    return Numbers(len(modules), len(once), median(lines.values()), (lines[longest], longest))


@cache
def library() -> Structure:
    return Structure()


def _listed(title: str, groups: Iterable[Iterable[str]]) -> Iterator[str]:
    groups = list(groups)
    yield f"{title}: {len(groups)}"
    yield from (f"    {' '.join(group)}" for group in groups)


def report(structure: Structure) -> Iterator[str]:
    found = numbers(structure)
    yield f"engine modules: {found.modules}"
    yield f"with exactly one importer: {found.single_importer} ({found.single_share:.0%})"
    yield f"lines of a module: median {found.median_lines:g}, longest {found.longest[0]} ({found.longest[1]})"
    count = Counter(structure.package(m) for m in structure.modules)
    for package in sorted(filter(None, count)):
        taken = " ".join(sorted(filter(None, structure.packages.successors(package))))
        yield f"    {package}: {count[package]} modules, imports {taken or 'none'}"
    yield from _listed("package cycles", cycles(structure.packages))
    yield from _listed("file cycles", cycles(structure.graph))


if __name__ == "__main__":
    print("\n".join(report(library())))
