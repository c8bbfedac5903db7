"""The lock files hold all of pyproject's dependencies, each with hashes, and name no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["embedded"]
DEVELOPMENT = PROJECT["dependency-groups"]["dev"]


def name_of(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return re.sub(r"[._]+", "-", match.group()).lower()


def locked(file: str) -> dict[str, str]:
    """The entry of each package: pin and hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / file).read_text().strip())
    return {name_of(entry): entry for entry in entries}


@pytest.mark.parametrize(
    ("file", "requirements"), [("requirements.lock", RUN), ("requirements-dev.lock", RUN + DEVELOPMENT)]
)
def test_lock_pins_every_dependency_with_hashes(file: str, requirements: list[str]) -> None:
    entries = locked(file)
    assert {name_of(requirement) for requirement in requirements} <= entries.keys()
    for entry in entries.values():
        assert re.match(r"\S+==\S+", entry), entry
        assert "--hash=sha256:" in entry
    assert "://" not in (ROOT / file).read_text()


def test_both_locks_pin_the_same_versions() -> None:
    run, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: development[name].split()[0] for name in run} == {name: run[name].split()[0] for name in run}
