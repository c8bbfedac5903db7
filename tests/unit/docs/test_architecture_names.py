"""What the documentation names is there: files, folders, and functions in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FOLDERS = "deploy|docs|examples|libs|protos|services|tests|tools"
_PLACE = re.compile(rf"(?<![\w/.-])((?:{_FOLDERS})/[\w./-]*[\w/])(?:::([\w.]+))?")
_LINK = re.compile(r"\]\(([^)#:]+)\)")
MADE_BY_THE_READER = {"deploy/k8s/secrets.env"}


def places() -> Iterator[tuple[str, str, str]]:
    """Page, path and (or nothing) name in it, wherever a page names one."""
    for page in PAGES:
        text = page.read_text()
        for path, name in sorted({(found[1], found[2] or "") for found in _PLACE.finditer(text)}):
            if path not in MADE_BY_THE_READER:
                yield page.name, path, name


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in sorted(set(_LINK.findall(page.read_text()))):
            yield page, target


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions and classes of a module, with those inside classes as `Class.method`."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.")

    return frozenset(walk(ast.parse(path.read_text()).body, ""))


@pytest.mark.parametrize(("page", "path", "name"), [*places()])
def test_named_place_exists(page: str, path: str, name: str) -> None:
    target = ROOT / path
    assert target.exists(), f"{page} names {path}"
    if name:
        assert name in names_in(target), f"{page} names {path}::{name}"


@pytest.mark.parametrize(("page", "target"), [*links()], ids=lambda value: getattr(value, "name", value))
def test_link_leads_somewhere(page: Path, target: str) -> None:
    assert (page.parent / target).exists()


def test_architecture_names_functions() -> None:
    named = [name for page, _, name in places() if page == "architecture.md" and name]
    assert len(named) > 40
