"""max_parallelism over a tree of executions, through unmodified flytekit: counted from the facts on the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from flytekit.core.options import Options

from tests.integration.executions import ended

CHILDREN, TASKS = 4, 12


@pytest.fixture(scope="module")
def run(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Callable[..., Any]:
    """Registers `parallel.twelve`, runs it and waits for its end."""
    registered = register(workflow_module("parallel").twelve)

    def execute(**options: Any) -> Any:
        execution = remote.execute(registered, inputs={}, options=Options(**options))
        return ended(remote, execution, nodes=False)

    return execute


def facts_of(stack: Any, name: str) -> list[tuple[datetime, str, dict[str, Any]]]:
    """What is on the log of an execution: when, which fact, and what it says."""
    found: list[tuple[datetime, str, dict[str, Any]]] = []
    for line in stack.cli("events", f"flytesnacks/development/{name}", "--json").stdout.splitlines():
        envelope = json.loads(line)
        at = datetime.fromisoformat(envelope["occurred_at"])
        found.extend((at, fact["fact"], fact) for fact in envelope["facts"])
    return found


def test_a_number_that_was_asked_for_bounds_all_executions_below_together(stack: Any, run: Callable[..., Any]) -> None:
    root = run(max_parallelism=2).id.name
    history = facts_of(stack, root)
    children = [fact["execution_id"]["name"] for _, kind, fact in history if kind == "ChildExecutionRequested"]
    assert len(children) == CHILDREN
    moments: list[tuple[datetime, int]] = []
    for child in children:
        for at, kind, _ in facts_of(stack, child):
            # Attempts run from their order to their end, whatever of that is the task's own time.
            moments += [(at, 1)] * (kind == "AttemptScheduled") + [(at, -1)] * (kind == "AttemptSucceeded")
    assert len(moments) == 2 * TASKS
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    assert most == 2
    assert [kind for _, kind, _ in history].count("SlotGranted") == TASKS
    # Why a node is still queued is told by the history of its execution.
    assert f"place in {root}" in stack.cli("events", f"flytesnacks/development/{children[0]}").stdout


def test_relaunching_asks_for_no_number_that_nobody_asked_for(
    stack: Any, remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]
) -> None:
    """The spec that is relaunched has the server's own number in it, as in Flyte."""
    registered = register(workflow_module("parallel").three)
    given = {}
    for asked in (None, 25):
        first = remote.execute(registered, inputs={"number": 1}, options=Options(max_parallelism=asked))
        again = remote.client.relaunch_execution(first.id).name
        created = facts_of(stack, again)[0][2]
        assert created["spec"]["max_parallelism"] == created["config"]["max_parallelism"] == 25
        given[asked] = created["config"].get("parallelism_root", {}).get("name") == again
    assert given == {None: False, 25: True}
