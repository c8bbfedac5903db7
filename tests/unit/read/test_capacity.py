"""A container is not given more processes than it has memory for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flightlog_read.capacity import processes

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def allowed(cgroups: Path) -> int:
    return processes(8, each_bytes=256 * MIB, own_bytes=512 * MIB, cgroups=cgroups)


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("memory.max", f"{1024 * MIB}\n", 2),
        ("memory.max", f"{256 * MIB}\n", 1),
        ("memory.max", "max\n", 8),
        ("memory/memory.limit_in_bytes", f"{2048 * MIB}\n", 6),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", 8),
    ],
)
def test_memory_limits_them(tmp_path: Path, name: str, limit: str, expected: int) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(limit)
    assert allowed(tmp_path) == expected


def test_without_limits_there_are_as_many_as_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed(tmp_path) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert allowed(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert allowed(tmp_path) == 2
