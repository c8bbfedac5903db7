"""`flightlog events`, `rebuild` and `parked` against a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import pytest_asyncio

from flightlog_bench.client import Client
from flightlog_bench.workflows import chain
from flightlog_cli.access import Access, open_log
from flightlog_cli.commands.rebuild import PROJECTIONS
from flightlog_cli.stack_process import StackProcess


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def execution(stack: StackProcess) -> str:
    """Name of an execution of three echo tasks that has succeeded."""
    client = Client(stack.grpc)
    try:
        registration = chain(3)
        await client.register(registration)
        created = await client.create(registration.launch_plan_id, {"x": 1})
        await client.finished(created)
    finally:
        await client.close()
    return created.name


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_tell_the_history_from_creation_to_end(stack: StackProcess, execution: str) -> None:
    shown = stack.cli("events", execution)
    assert shown.returncode == 0, shown.stderr
    first, *_, last = [line for line in shown.stdout.splitlines()[2:] if line.strip()]
    assert "ExecutionCreated" in first
    assert "request by" in first
    assert "ExecutionSucceeded" in last
    assert shown.stdout.count("AttemptSucceeded") == 3


def test_events_as_json_are_complete_envelopes_in_order(stack: StackProcess, execution: str) -> None:
    envelopes = documents(stack.cli("events", execution, "--json").stdout)
    assert [envelope["position"] for envelope in envelopes] == list(range(1, len(envelopes) + 1))
    assert envelopes[0]["facts"][0]["fact"] == "ExecutionCreated"
    assert envelopes[1]["causation_id"] == envelopes[0]["event_id"]
    assert len({envelope["correlation_id"] for envelope in envelopes}) == 1


def test_execution_is_found_by_its_full_name_too(stack: StackProcess, execution: str) -> None:
    full = stack.cli("events", f"flytesnacks/development/{execution}", "--json")
    assert documents(full.stdout) == documents(stack.cli("events", execution, "--json").stdout)


def test_following_ends_with_the_execution(stack: StackProcess, execution: str) -> None:
    followed = stack.cli("events", execution, "--follow", "--json", timeout=60)
    assert followed.returncode == 0
    assert documents(followed.stdout)[-1]["facts"][-1]["fact"] == "ExecutionSucceeded"


def test_raw_view_has_everything_that_ties_an_envelope_to_the_log(stack: StackProcess, execution: str) -> None:
    raw = documents(stack.cli("events", execution, "--view", "raw", "--json").stdout)
    plain = documents(stack.cli("events", execution, "--json").stdout)
    for envelope, before, short in zip(raw[1:], raw, plain[1:], strict=False):
        assert envelope["previous_hash"] == before["hash"]
        assert short.items() <= envelope.items()
    first, _ = json.JSONDecoder().raw_decode(stack.cli("events", execution, "--view", "raw").stdout)
    assert first == raw[0]


def test_timeline_view_has_a_bar_for_each_node(stack: StackProcess, execution: str) -> None:
    shown = stack.cli("events", execution, "--view", "timeline")
    assert shown.returncode == 0, shown.stderr
    _, whole, *nodes, legend = shown.stdout.splitlines()
    assert whole.startswith("execution")
    assert whole.endswith("succeeded")
    assert [line.split()[0] for line in nodes if line.startswith("  n")] == ["n0", "n1", "n2"]
    assert "runs" in legend


def test_events_of_a_project_and_of_other_streams_are_told_too(stack: StackProcess, execution: str) -> None:
    narrow = ("--project", "flytesnacks", "--fact", "ExecutionSucceeded")
    ends = documents(stack.cli("events", *narrow, "--json").stdout)
    (own,) = [envelope for envelope in ends if envelope["subject"].endswith(f".flytesnacks.development.{execution}")]
    assert all("ExecutionSucceeded" in [fact["fact"] for fact in envelope["facts"]] for envelope in ends)
    lines = stack.cli("events", *narrow).stdout.splitlines()
    (first,) = [line for line in lines if f"  flytesnacks/development/{execution}  " in line]
    assert first.split()[0] == str(own["sequence"])
    assert any(line.strip().startswith("ExecutionSucceeded") for line in lines)
    # The engine runs these tasks itself.
    assert documents(stack.cli("events", execution, "--stream", "LAUNCHER", "--json").stdout) == []
    registered = documents(stack.cli("events", "--stream", "REGISTRY", "--project", "flytesnacks", "--json").stdout)
    assert registered[0]["facts"][0]["fact"] == "ProjectRegistered"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name an execution"),
        (("x", "--view", "nonsense"), "compact, timeline, raw"),
        (("--stream", "NOWHERE"), "NOWHERE"),
        (("--project", "flytesnacks", "--view", "timeline"), "name one"),
    ],
)
def test_events_that_cannot_be_told_are_a_clear_error(
    stack: StackProcess, arguments: tuple[str, ...], said: str
) -> None:
    result = stack.cli("events", *arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_audit_tells_who_did_what_and_what_was_refused(stack: StackProcess, execution: str) -> None:
    assert stack.cli("terminate", execution, "--cause", "audited").returncode == 1
    made, refused = (
        documents(stack.cli("audit", "--name", execution, *more, "--json").stdout) for more in ((), ("--refused",))
    )
    assert [entry["allowed"] for entry in made] == [False, True]
    assert made[0]["action"] == "AdminService/TerminateExecution"
    assert "ExecutionCreated" in made[1]["action"]
    assert refused == made[:1]
    assert refused[0]["actor"]["client"].startswith("flightlog-cli/")
    (found,) = documents(
        stack.cli("audit", "--name", execution, "--actor", "flightlog-cli", "--since", "1h", "--json").stdout
    )
    assert found == refused[0]
    table = stack.cli("audit", "--name", execution).stdout
    assert refused[0]["code"] in table
    assert "done" in table
    assert stack.cli("audit", "--since", "yesterday").returncode == 1


@pytest.mark.parametrize("name", ["nobody", "flytesnacks/development/nobody", "a/b"])
def test_unknown_execution_is_a_clear_error(name: str, stack: StackProcess) -> None:
    result = stack.cli("events", name)
    assert result.returncode == 1
    assert name in result.stderr
    assert "Traceback" not in result.stderr


def test_rebuild_gives_the_same_tables_and_switches(stack: StackProcess, execution: str) -> None:
    for _ in range(2):  # the second one compares with what the first one made
        results = {result["name"]: result for result in stack.cli_json("rebuild")}
        assert results.keys() == PROJECTIONS.keys()
        for result in results.values():
            assert result["equal"], result
            assert result["compared_at"] is not None
        rows = {table["table"]: table["rebuilt_rows"] for table in results["execution"]["tables"]}
        assert rows["executions"] >= 1


def test_rebuild_of_a_service_without_tables_is_a_clear_error(stack: StackProcess) -> None:
    result = stack.cli("rebuild", "k8s_launcher")
    assert result.returncode == 1
    assert "registry, execution" in result.stderr


async def test_parked_message_is_listed_and_handed_in_again(stack: StackProcess, execution: str) -> None:
    sequence = documents(stack.cli("events", execution, "--json").stdout)[0]["sequence"]
    async with open_log(Access.of(stack.data)) as log:
        await log.park("EXECUTION", sequence, consumer="execution", reason="because of a test", deliveries=8)
    (entry,) = [entry for entry in stack.cli_json("parked") if entry["original_sequence"] == sequence]
    assert (entry["reason"], entry["deliveries"], entry["consumer"]) == ("because of a test", 8, "execution")
    assert "because of a test" in stack.cli("parked").stdout
    assert stack.cli_json("parked", "--redrive", str(entry["sequence"])) == {"redriven": entry["sequence"]}
    assert entry["sequence"] not in {left["sequence"] for left in stack.cli_json("parked")}
    again = stack.cli("parked", "--redrive", str(entry["sequence"]))
    assert again.returncode == 1
    assert "cannot be handed in again" in again.stderr


def test_version_and_completion_need_no_stack() -> None:
    command = [sys.executable, "-m", "flightlog_cli"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("flightlog 0.")
    # The shell is said, not looked for among the processes above: these are whoever runs the tests.
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    completion = subprocess.run(
        [*command, "--show-completion", "bash"], capture_output=True, text=True, check=False, env=environment
    )
    assert "complete" in completion.stdout
