"""A container is not given more processes than it has processors and memory for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flightlog_read.capacity import processes

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def allowed(groups: Path) -> int:
    return processes(8, each_bytes=256 * MIB, own_bytes=512 * MIB, groups=groups)


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


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_quota_of_processors_limits_them(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert allowed(tmp_path) == expected


def test_without_limits_there_are_as_many_as_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed(tmp_path) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert allowed(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert allowed(tmp_path) == 2
