"""`pyflyte backfill`, unmodified: it registers a workflow with a launch-plan node for each tick of a range."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.flytekit.test_pyflyte_commands import execution_name

Pyflyte = Callable[..., subprocess.CompletedProcess[str]]
POLL = timedelta(milliseconds=100)
DAYS = [datetime(2024, 5, day, 3, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.fixture(scope="module")
def registered(pyflyte: Pyflyte) -> str:
    """The version that the launch plans with schedules are registered as."""
    pyflyte("register", "--version", "backfilled-1", "--image", "localhost/flytekit:1", "scheduled.py")
    return "backfilled-1"


@pytest.mark.parametrize("order", ["--serial", "--parallel"])
def test_a_range_is_run_tick_by_tick(pyflyte: Pyflyte, remote: Any, registered: str, order: str) -> None:
    printed = pyflyte(
        "backfill", "--project", "flytesnacks", "--domain", "development", "--from-date", "2024-05-01",
        "--to-date", "2024-05-04", order, "--version", f"backfill{order}", "scheduled.daily", registered,
    )  # fmt: skip
    execution = remote.fetch_execution(name=execution_name(printed.stdout))
    done = remote.wait(execution, timeout=timedelta(seconds=120), poll_interval=POLL, sync_nodes=True)
    assert done.is_successful
    children = [node.workflow_executions[0] for name, node in sorted(done.node_executions.items()) if name[0] == "n"]
    assert [child.inputs["kickoff"] for child in children] == DAYS
    assert all(child.is_successful for child in children)
    began = [child.closure.started_at for child in children]
    ended = [child.closure.started_at + child.closure.duration for child in children]
    if order == "--serial":
        assert all(end <= start for end, start in zip(ended, began[1:], strict=False))
