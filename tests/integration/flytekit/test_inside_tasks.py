"""What one attempt of a task finds around it and leaves behind: checkpoints, decks, large values, secrets, commands."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import node_execution_pb2
from flyteidl.core.execution_pb2 import NodeExecution
from flyteidl.service import admin_pb2_grpc, dataproxy_pb2, dataproxy_pb2_grpc

from tests.integration.executions import ended

Run = Callable[..., Any]
MIB = 1 << 20


@pytest.fixture(scope="module")
def start(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Run:
    """Register `inside.<name>` and execute it."""
    module = workflow_module("inside")

    def execute(name: str, **inputs: Any) -> Any:
        return remote.execute(register(getattr(module, name)), inputs=inputs)

    return execute


@pytest.fixture(scope="module")
def run(start: Run, remote: Any) -> Run:
    """The same, waiting for the end."""

    def execute(name: str, **inputs: Any) -> Any:
        return finish(remote, start(name, **inputs))

    return execute


def finish(remote: Any, execution: Any) -> Any:
    return ended(remote, execution)


@pytest.fixture(scope="module")
def admin(stack: Any) -> Any:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What the condition gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"after {seconds} s not so: {what}")


def node(admin: Any, execution: Any, node_id: str = "n0") -> Any:
    """The node execution as sent."""
    request = node_execution_pb2.NodeExecutionGetRequest()
    request.id.execution_id.CopyFrom(execution.id.to_flyte_idl())
    request.id.node_id = node_id
    return admin.GetNodeExecution(request)


def output(attempt: Any, name: str) -> str:
    """What an attempt printed."""
    (uri,) = [log.uri for log in attempt.closure.logs if log.name == name]
    return Path(uri.removeprefix("file://")).read_text()


# ---------------------------------------------------------------------------------------------------- checkpoints


def test_attempts_go_on_where_the_one_before_stopped(run: Run, admin: Any) -> None:
    done = run("checkpointed")
    assert done.outputs["o0"] == "nothing012"
    shown = node(admin, done).closure.task_node_metadata.checkpoint_uri
    assert shown.endswith("/_flytecheckpoints")


def test_attempt_after_one_that_kept_nothing_begins_anew(run: Run) -> None:
    assert run("nothing_to_resume").outputs["o0"] == "nothing"


# ---------------------------------------------------------------------------------------------------- decks


@pytest.mark.parametrize("fails", [False, True])
def test_deck_is_there_while_the_task_runs_and_after_its_end(
    start: Run, remote: Any, admin: Any, stack: Any, tmp_path: Path, fails: bool
) -> None:
    go = tmp_path / "go"
    execution = start("deck", go=str(go), fails=fails)
    published = until(lambda: fetched_deck(stack, execution), "the deck is published")
    running = node(admin, execution)
    assert running.closure.phase == NodeExecution.RUNNING
    assert "half of it is done" in published
    assert "all of it is done" not in published
    go.touch()
    done = finish(remote, execution)
    assert done.is_successful is not fails
    closure = done.node_executions["n0"].closure
    assert closure.deck_uri == running.closure.deck_uri
    assert ("all of it is done" in fetched_deck(stack, execution)) is not fails


def fetched_deck(stack: Any, execution: Any) -> str:
    """The deck of `n0`, by the link that clients ask for; empty while there is none."""
    request = dataproxy_pb2.CreateDownloadLinkRequest(artifact_type=dataproxy_pb2.ARTIFACT_TYPE_DECK)
    request.node_execution_id.execution_id.CopyFrom(execution.id.to_flyte_idl())
    request.node_execution_id.node_id = "n0"
    with grpc.insecure_channel(stack.grpc) as channel:
        try:
            links = dataproxy_pb2_grpc.DataProxyServiceStub(channel).CreateDownloadLink(request)
        except grpc.RpcError as error:
            # The node is not there yet, or it has no deck yet.
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):  # type: ignore[attr-defined]
                return ""
            raise
    with urllib.request.urlopen(links.pre_signed_urls.signed_url[0]) as answer:
        return answer.read().decode()


def test_deck_that_was_never_written_is_not_linked(run: Run, admin: Any) -> None:
    assert node(admin, run("deck_without_file")).closure.deck_uri == ""


def test_task_without_a_deck_links_none(run: Run, admin: Any) -> None:
    assert node(admin, run("checkpointed")).closure.deck_uri == ""


# ---------------------------------------------------------------------------------------------------- large values


def test_values_larger_than_a_literal_map_may_be_are_passed_on_and_looked_into(run: Run, admin: Any) -> None:
    done = run("offloaded")
    assert done.is_successful, done.error
    assert done.outputs["o0"] == [3 * MIB, 4, 10, 5]
    assert done.outputs["o2"] == [2 * MIB, 2 * MIB, 20, 2 * MIB]
    # The client reads what lies elsewhere by itself.
    assert done.outputs["o1"] == "x" * (3 * MIB)
    request = node_execution_pb2.NodeExecutionGetDataRequest(id=node(admin, done).id)
    literals = admin.GetNodeExecutionData(request).full_outputs.literals
    assert [literals[name].HasField("offloaded_metadata") for name in ("o0", "o1", "o2")] == [True, True, True]
    assert literals["o0"].offloaded_metadata.size_bytes > 3 * MIB
    assert literals["o0"].hash


def test_many_values_that_are_too_large_together_fail_the_task(run: Run) -> None:
    done = run("too_large")
    assert done.error.code == "OutputSizeExceeded"


# ---------------------------------------------------------------------------------------------------- secrets


def test_task_gets_the_secrets_it_asks_for(run: Run, stack: Any) -> None:
    folder = stack.data / "secrets"
    (folder / "database").mkdir(parents=True, exist_ok=True)
    (folder / "database" / "password").write_text("correct horse\n")
    (folder / "database" / "certificate").write_text("battery staple")
    (folder / "token").write_text("tr0ub4dor")
    done = run("secretive")
    assert done.is_successful, done.error
    assert done.outputs["o0"] == ["correct horse", "correct horse", "battery staple", "tr0ub4dor"]
    # They were returned on purpose; the history says where the outputs are, not what they are.
    history = stack.cli("events", done.id.name, "--json").stdout
    logs = "".join(path.read_text() for path in (stack.data / "logs").glob("*.log"))
    for secret in ("correct horse", "battery staple", "tr0ub4dor"):
        assert secret not in history
        assert secret not in logs


def test_secret_that_is_not_there_fails_the_node_at_once(run: Run) -> None:
    done = run("without_secret")
    assert done.error.code == "SecretNotFound"
    assert "key 'no-such-key' of group 'database'" in done.error.message
    assert len(done.node_executions["n0"].task_executions) == 1


# ---------------------------------------------------------------------------------------------------- overrides


def test_overrides_of_a_node_go_before_its_task(run: Run, stack: Any) -> None:
    done = run("overridden")
    assert done.outputs["o0"] == 2
    assert len(done.node_executions["named"].task_executions) == 3
    history = [json.loads(line) for line in stack.cli("events", done.id.name, "--json").stdout.splitlines()]
    text = json.dumps(history)
    assert "localhost/other:2" in text
    assert "420Mi" in text


def test_time_limit_of_a_node_goes_before_its_tasks(run: Run) -> None:
    assert run("overridden_timeout").error.code == "RetriesExhausted|TimeoutExpired"


# ---------------------------------------------------------------------------------------------------- commands


def test_inputs_of_all_kinds_are_rendered_into_the_command(run: Run) -> None:
    done = run(
        "command",
        i=-7,
        f=2.5,
        s="two words; $HOME {{.inputs.i}}",
        b=True,
        at=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        lasts=timedelta(minutes=2),
        each=[[1, 2], [], [3]],
    )
    assert done.is_successful, done.error
    (attempt,) = done.node_executions["n0"].task_executions
    assert output(attempt, "stdout").splitlines() == [
        "-7",
        "2.5",
        "two words; $HOME {{.inputs.i}}",
        "true",
        "2024-01-02T03:04:05Z",
        "seconds:120",
        "[[1,2],[],[3]]",
    ]
