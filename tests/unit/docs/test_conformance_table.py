"""The table of tests/conformance/README.md names for every behaviour the tests that are there, or says why none is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CONFORMANCE = Path(__file__).parents[2] / "conformance"
ROW = re.compile(r"^\| (\d+) \| .+? \| (.+) \|$", re.MULTILINE)


def table() -> dict[int, str]:
    """What the last column says, by number."""
    return {int(number): where for number, where in ROW.findall((CONFORMANCE / "README.md").read_text())}


def with_tests() -> dict[int, set[str]]:
    """Files with a test of a row, by number."""
    found: dict[int, set[str]] = {}
    for path in CONFORMANCE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "rows":
                for number in node.args:
                    assert isinstance(number, ast.Constant)
                    found.setdefault(number.value, set()).add(path.name)  # type: ignore[arg-type]
    return found


def test_every_behaviour_has_its_tests_or_a_reason() -> None:
    rows, tests = table(), with_tests()
    assert sorted(rows) == list(range(1, 97))
    assert set(tests) <= set(rows)
    for number, where in rows.items():
        if where.startswith("not here: "):
            assert number not in tests, f"{number} is here after all"
            for path in re.findall(r"`(tests/[^`]+)`", where):
                assert (CONFORMANCE.parents[1] / path).exists(), path
        else:
            assert set(re.findall(r"`([^`]+)`", where)) == tests.get(number, set()), number
