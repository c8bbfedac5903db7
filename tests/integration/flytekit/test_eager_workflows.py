"""Eager workflows: tasks that are clients of the API they were started by.

flytekit looks every two seconds, so they take their time; all of them are started before the first is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flytekit.models.core.execution import NodeExecutionPhase
from flytekit.models.core.execution import WorkflowExecutionPhase as Phase
from flytekit.models.filters import ValueIn

from tests.integration.executions import ended


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eager")


@pytest.fixture(scope="module")
def started(
    remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any], folder: Path
) -> dict[str, Any]:
    """All executions of this module, by name."""
    module = workflow_module("eagerly")
    inputs: dict[str, dict[str, Any]] = {
        "everything": {"x": 1},
        "forgiving": {"x": 1},
        "waiting": {"path": str(folder / "never")},
    }
    runs = {name: remote.execute(register(getattr(module, name)), inputs=given) for name, given in inputs.items()}
    # As `pyflyte register` has it: a workflow around it, with a failure node that cleans up.
    around = register(module.failing_beside.get_as_workflow())
    return runs | {"failing_beside": remote.execute(around, inputs={"path": str(folder / "never either")})}


def finish(remote: Any, execution: Any) -> Any:
    return ended(remote, execution, seconds=150)


def until(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(f"after {seconds} s not so: {what}")


def called_by(remote: Any, execution: Any, key: str = "eager-exec") -> list[Any]:
    """The executions that an eager workflow asked for, by the labels that flytekit gives them."""
    filters = [ValueIn("execution_tag.key", [key]), ValueIn("execution_tag.value", [execution.id.name])]
    found, _ = remote.client.list_executions_paginated("flytesnacks", "development", limit=100, filters=filters)
    return found


def test_calls_become_executions_and_their_results_come_back(remote: Any, started: dict[str, Any]) -> None:
    done = finish(remote, started["everything"])
    assert done.is_successful, done.error
    assert done.outputs["o0"] == [2, 11, 4, 5]
    calls = called_by(remote, done)
    assert [call.closure.phase for call in calls] == [Phase.SUCCEEDED] * 4
    names = sorted(call.spec.launch_plan.name for call in calls)
    assert names == ["eagerly.increment", "eagerly.increment", "eagerly.inner", "eagerly.twice"]
    # What the inner one called knows the outermost too.
    assert len(called_by(remote, done, "eager-root-exec")) == 5


def test_deck_lists_the_calls(remote: Any, started: dict[str, Any]) -> None:
    done = finish(remote, started["everything"])
    (node,) = [node for name, node in done.node_executions.items() if name not in ("start-node", "end-node")]
    assert node.closure.deck_uri.endswith("/deck.html")


def test_error_of_a_call_may_be_caught(remote: Any, started: dict[str, Any]) -> None:
    done = finish(remote, started["forgiving"])
    assert done.is_successful, done.error
    assert done.outputs["o0"].startswith("caught: Error executing eagerly.refuse")
    assert "USER:RuntimeError" in done.outputs["o0"]


def test_failure_ends_what_still_runs_for_it(remote: Any, started: dict[str, Any]) -> None:
    done = finish(remote, started["failing_beside"])
    assert done.closure.phase == Phase.FAILED
    assert "Error executing eagerly.refuse" in done.error.message
    assert done.node_executions["efn"].closure.phase == NodeExecutionPhase.SUCCEEDED
    calls = {call.spec.launch_plan.name: call for call in called_by(remote, done)}
    assert calls["eagerly.refuse"].closure.phase == Phase.FAILED
    ended = until(
        lambda: (call := remote.fetch_execution(name=calls["eagerly.wait"].id.name)).is_done and call,
        "the other call is ended",
    )
    assert ended.closure.phase == Phase.ABORTED
    assert ended.closure.abort_metadata.cause == f"clean up by parent eager execution {done.id.name}"


def test_abort_ends_an_eager_workflow(remote: Any, started: dict[str, Any], folder: Path) -> None:
    waiting = started["waiting"]
    until(lambda: called_by(remote, waiting), "it has called something")
    remote.terminate(waiting, "enough of it")
    assert finish(remote, waiting).closure.phase == Phase.ABORTED
    # flytekit leaves running what it called; the test does not.
    (call,) = called_by(remote, waiting)
    (folder / "never").touch()
    assert finish(remote, remote.fetch_execution(name=call.id.name)).is_done
