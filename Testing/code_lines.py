"""How many lines of code a file has: those that are not empty, a comment or of a docstring."""

from __future__ import annotations

import ast

from Testing.structure import REPOSITORY


def code_lines(path: str) -> int:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(n not in documented and bool(line.strip()) and not line.strip().startswith("#") for n, line in lines)
