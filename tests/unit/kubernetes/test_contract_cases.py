"""Every case of the Kubernetes contract (k8s-contract §9, T1 to T120) is named by a test that shows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[2]
CASES = range(1, 121)
_IN_NAME = re.compile(r"(?<=_)t(\d+)(?=_)")
_IN_TEXT = re.compile(r"\bT(\d+)\b")
_OF_CASE = re.compile(r"T(\d+)\b")


def named(source: str) -> Iterator[int]:
    """Cases that tests name: in their own names, in what is said of them, or as the name of a parameter."""
    tree = ast.parse(source)
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        texts: list[str] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            texts = [*_IN_NAME.findall(node.name), *_IN_TEXT.findall(ast.get_docstring(node) or "")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said:
            texts = [found[1]] if (found := _OF_CASE.match(node.value)) else []
        yield from map(int, texts)


def test_every_case_is_named_by_a_test() -> None:
    folders = [TESTS / "kubernetes", TESTS / "unit" / "kubernetes", TESTS / "integration" / "connectors"]
    found = {case for folder in folders for path in folder.rglob("test_*.py") for case in named(path.read_text())}
    assert [f"T{case}" for case in CASES if case not in found] == []


def test_a_range_or_a_comment_names_no_case() -> None:
    source = (
        '''"""T1 to T3."""\n# T4\nasync def test_t5_and_t6_are():\n    """T7, and T8."""\nx = "T9 and T10", "a T11"\n'''
    )
    assert sorted(named(source)) == [5, 6, 7, 8, 9]
