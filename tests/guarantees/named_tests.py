"""Finds tests by the names that documents and tables give them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def tests_of(path: str) -> frozenset[str]:
    """The test functions of a file, those of classes as Class::test; none where there is no such file."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if _is_test(part)}
        elif _is_test(node):
            found.add(node.name)
    return frozenset(found)


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")


def missing(names: list[str]) -> list[str]:
    """Those of these `path::name` that are no test."""
    return [name for name in names if name.partition("::")[2] not in tests_of(name.partition("::")[0])]
