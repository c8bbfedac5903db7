"""`flightlog why`: what a run waits for, and what made one fail, through real flytekit and the public API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flytekit import Annotations
from flytekit.core.options import Options

from flightlog_cli.stack_process import StackProcess
from tests.integration.executions import ended

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Run:
    """Register `explained.<name>` and execute it; waits for its end unless told otherwise."""
    module = workflow_module("explained")

    def execute(name: str, inputs: dict[str, Any], *, wait: bool = True, **options: Any) -> Any:
        execution = remote.execute(register(getattr(module, name)), inputs=inputs, **options)
        return ended(remote, execution) if wait else execution

    return execute


def told(finding: dict[str, Any], what: str) -> Iterator[dict[str, Any]]:
    """All findings of a kind, from the top."""
    if finding["what"] == what:
        yield finding
    for behind in finding.get("behind", ()):
        yield from told(behind, what)


def events_of(stack: StackProcess, name: str) -> list[dict[str, Any]]:
    """The envelopes of an execution."""
    return [json.loads(line) for line in stack.cli("events", name, "--json").stdout.splitlines()]


def test_a_failure_is_followed_down_to_its_cause(stack: StackProcess, run: Run) -> None:
    name = run("failing", {"x": 7}).id.name
    finding = stack.cli_json("why", name)
    assert (finding["name"], finding["phase"]) == (f"flytesnacks/development/{name}", "FAILED")
    assert [execution["phase"] for execution in told(finding, "execution")] == ["FAILED", "FAILED"]
    nodes = [node["name"] for node in told(finding, "node")]
    assert nodes[0] == "n0"
    assert nodes[1] == "n0", "that of the child execution"
    assert len(nodes) == 3, "and the one that the dynamic task asked for"
    *_, last = told(finding, "attempt")
    assert last["phase"] == "FAILED"
    assert last["why"].startswith("USER ")
    assert "ValueError: cannot have 7" in last["why"].replace("\n", " ")
    cause = next(told(last, "cause"))
    assert cause["name"] == "EXITED"
    assert cause["why"] == "exited with code 0", "flytekit writes the error into a file"
    *_, child = told(finding, "execution")
    events = {event["event_id"]: event for event in events_of(stack, child["name"])}
    ended = [fact["fact"] for fact in events[last["event_id"]]["facts"]]
    assert "AttemptFailed" in ended
    assert events[last["event_id"]]["causation_id"] == cause["event_id"], "the launcher's own event"
    assert "ExecutionFailed" in [fact["fact"] for fact in events[child["event_id"]]["facts"]]

    text = stack.cli("why", f"flytesnacks/development/{name}").stdout.splitlines()
    assert text[0].startswith(f"execution flytesnacks/development/{name} FAILED: USER ")
    assert any("└─ execution flytesnacks/development/" in line for line in text)


def test_the_elements_that_failed_are_named(stack: StackProcess, run: Run) -> None:
    name = run("mapping", {"xs": [-1, 5, -2]}).id.name
    finding = stack.cli_json("why", name)
    assert "cannot have 5" in finding["why"]
    (elements,) = told(finding, "elements")
    assert elements["name"] == "1"
    assert [cause["name"] for cause in told(elements, "cause")] == ["EXITED"]


def test_success_needs_no_reason(stack: StackProcess, run: Run) -> None:
    finding = stack.cli_json("why", run("mapping", {"xs": [-1]}).id.name)
    assert finding["phase"] == "SUCCEEDED"
    assert "behind" not in finding


def test_what_runs_says_what_it_waits_for(stack: StackProcess, run: Run, remote: Any) -> None:
    execution = run("waiting", {"x": 7}, wait=False)
    name = execution.id.name
    deadline = time.monotonic() + 60
    waits: dict[str, str] = {}
    while len(waits) < 4 or "begins" not in "".join(waits):
        assert time.monotonic() < deadline, waits
        finding = stack.cli_json("why", name)
        waits = {node.get("why", ""): node["name"] for node in told(finding, "node")}
    assert finding["phase"] == "RUNNING"
    assert "waits for the signal go" in waits
    assert "waits for the signal sure" in waits, "of the child execution"
    assert "sleeps" in waits
    assert waits["waits until attempt 1 begins"]
    (child,) = [one for one in told(finding, "execution") if one["name"] != finding["name"]]
    assert child["phase"] == "RUNNING"
    (attempt,) = told(finding, "attempt")
    assert attempt["phase"] == "FAILED"
    assert any("tried again in 3600 s" in reason["why"] for reason in told(attempt, "reason"))

    text = stack.cli("why", name).stdout
    assert "waits for the signal go" in text
    assert "to go: sleeps" in text

    remote.terminate(execution, "enough")
    ended(remote, execution, seconds=60)
    finding = stack.cli_json("why", name)
    assert finding["phase"] == "ABORTED"
    assert finding["why"].startswith("enough")
    assert next(told(finding, "cause"))["why"].endswith(": enough")


def test_what_stands_in_line_says_at_what_place(stack: StackProcess, run: Run, remote: Any) -> None:
    limited = Annotations({"flightlog.concurrency/key": "why", "flightlog.concurrency/key-max": "1"})
    first, second = (run("asking", {"x": 1}, wait=False, options=Options(annotations=limited)) for _ in range(2))
    deadline = time.monotonic() + 60
    while (finding := stack.cli_json("why", second.id.name))["phase"] != "QUEUED":
        assert time.monotonic() < deadline, finding
    assert finding["why"] == "place 1 of key why (at most 1)"
    for execution in (second, first):
        remote.terminate(execution, "enough")


@pytest.mark.parametrize("name", ["nobody", "flytesnacks/development/nobody", "a/b"])
def test_unknown_execution_is_a_clear_error(name: str, stack: StackProcess) -> None:
    result = stack.cli("why", name)
    assert result.returncode == 1
    assert name.rpartition("/")[2] in result.stderr
    assert "Traceback" not in result.stderr
