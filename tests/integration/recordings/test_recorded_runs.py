"""The recorded workflows give here what a real Flyte 1.16.8 answered: closures, phases, nodes, tasks, data."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.admin.common_pb2 import ObjectGetRequest, Sort
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc
from google.protobuf.json_format import MessageToDict

from tests.integration.executions import ended

RECORDINGS = Path(__file__).parents[2] / "recordings"
VERSION = "recorded"

RUNS = (
    "w01_chain", "w02_subworkflow", "w03_launchplan_node", "w04_branch", "w05_dynamic", "w06_map", "w08_user_error",
    "w09_recoverable", "w10_on_failure", "w12_types", "w13_data", "w14_timeout", "w16_fail_after", "w17_echo",
)  # fmt: skip
WORKFLOWS = {
    "w01_chain", "w02_subworkflow", "w03_launchplan_node", "w04_branch", "w05_dynamic", "w06_map", "w07_gates",
    "w08_user_error", "w09_recoverable", "w10_on_failure", "w11_cache", "w12_types", "w13_data", "w14_timeout",
    "w15_abort", "w16_fail_after", "w17_echo",
}  # fmt: skip

_VOLATILE = {
    "created_at", "updated_at", "started_at", "duration", "occurred_at", "timestamp", "logs", "reason", "reasons",
    "custom_info",
}  # fmt: skip
_RECORDED_VERSION = re.compile(r"^v\d+$")


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def plain(value: Any, execution: str = "") -> Any:
    """JSON of a message without what may differ between two runs: times, generated names, places, log links."""
    match value:
        case {"failed_node_id": str(), "message": str(message)}:
            # Flyte names the failure node itself there, Flightlog the node that failed.
            return {"failed_node_id": "<node>", "message": plain_text(message, execution)}
        case dict():
            kept = {key: plain(inner, execution) for key, inner in sorted(value.items()) if key not in _VOLATILE}
            if str(kept.get("name", "")).startswith("dynamic_"):
                # Drawn at random by Flyte, for every workflow that a dynamic task asks for.
                kept["version"] = "<version>"
            if kept.get("key") == "_F_SS_C":
                # The settings of the registration, packed by flytekit: they hold its version and distribution.
                kept["value"] = "<settings>"
            return kept
        case list():
            return [plain(inner, execution) for inner in value]
        case str():
            return plain_text(value, execution)
        case _:
            return value


def plain_text(text: str, execution: str) -> str:
    if execution:
        text = text.replace(execution, "<execution>")
    if _RECORDED_VERSION.match(text) or text == VERSION:
        return "<version>"
    text = re.sub(r"s3://[^/]+/", "s3://<bucket>/", text)
    text = re.sub(r"<bucket>/data/[a-z0-9]{2}/", "<bucket>/data/<shard>/", text)
    text = re.sub(r"/[0-9a-f]{32}(?=/|$)", "/<random>", text)
    text = re.sub(r"[A-Z2-7]{26}======/[\w.]+", "<distribution>", text)
    if "Traceback" in text:
        # The list calls cut a message at 100 bytes; a full one keeps what the user raised.
        return "Trace … " + text[text.index("Message:") :] if "Message:" in text else "Trace …"
    return text


def as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.fixture(scope="module")
def admin(stack: Any) -> Any:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture(scope="module")
def register(remote: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Fast-register one of the recorded workflows, from a module named as it was then."""
    from flytekit.configuration import FastSerializationSettings, Image, ImageConfig, SerializationSettings

    folder = tmp_path_factory.mktemp("recorded")
    shutil.copy(RECORDINGS / "workflows.py", folder / "wfs.py")
    sys.path.insert(0, str(folder))
    module = importlib.import_module("wfs")
    _, package = remote.fast_package(folder)
    settings = SerializationSettings(
        project="flytesnacks",
        domain="development",
        image_config=ImageConfig(default_image=Image("default", "localhost/flytekit", "1")),
        fast_serialization_settings=FastSerializationSettings(
            enabled=True, destination_dir=".", distribution_location=package
        ),
        version=VERSION,
    )
    known: dict[str, Any] = {}

    def once(name: str) -> Any:
        if name not in known:
            known[name] = remote.register_workflow(getattr(module, name), settings, VERSION)
        return known[name]

    return once


@pytest.fixture(scope="module")
def started(register: Callable[[str], Any], remote: Any) -> dict[str, Any]:
    """One execution of each of `RUNS`. They run side by side: some of them do nothing but wait."""
    return {name: remote.execute(register(name), inputs={}) for name in RUNS}


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_closure_is_the_recorded_one(name: str, register: Callable[[str], Any], admin: Any) -> None:
    register(name)
    expected = recorded(name)["registered"]
    for kind, call in (("workflow", admin.GetWorkflow), ("launch_plan", admin.GetLaunchPlan)):
        resource = {"workflow": identifier_pb2.WORKFLOW, "launch_plan": identifier_pb2.LAUNCH_PLAN}[kind]
        identifier = identifier_pb2.Identifier(
            resource_type=resource, project="flytesnacks", domain="development", name=f"wfs.{name}", version=VERSION
        )
        assert plain(as_dict(call(ObjectGetRequest(id=identifier)))) == plain(expected[kind])


@pytest.mark.parametrize("name", RUNS)
def test_run_gives_the_recorded_tree(name: str, started: dict[str, Any], remote: Any, admin: Any) -> None:
    execution = started[name]
    ended(remote, execution, nodes=False)
    compare(recorded(name), tree(admin, execution.id.name), execution.id.name)


def test_aborted_run_gives_the_recorded_tree(register: Callable[[str], Any], remote: Any, admin: Any) -> None:
    import time

    execution = remote.execute(register("w15_abort"), inputs={})
    deadline = time.monotonic() + 60
    while not any(
        row["tasks"] and phase_of(row["tasks"][0]["task"]) == "RUNNING"
        for row in tree(admin, execution.id.name)["nodes"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    remote.terminate(execution, cause="enough")
    ended(remote, execution, seconds=60, nodes=False)
    compare(recorded("w15_abort"), tree(admin, execution.id.name), execution.id.name)


def test_run_with_gates_gives_the_recorded_tree(register: Callable[[str], Any], remote: Any, admin: Any) -> None:
    execution = remote.execute(register("w07_gates"), inputs={})
    name = execution.id.name
    awaited(remote, name, "value")
    remote.set_input("value", name, 41)
    awaited(remote, name, "ok")
    remote.approve("ok", name)
    ended(remote, execution, seconds=60, nodes=False)
    compare(recorded("w07_gates"), tree(admin, name), name)


def test_cached_runs_give_the_recorded_trees(register: Callable[[str], Any], remote: Any, admin: Any) -> None:
    """The second run finds what the first one made, and says so."""
    names: list[str] = []
    for _ in range(2):
        execution = remote.execute(register("w11_cache"), inputs={})
        ended(remote, execution, seconds=60, nodes=False)
        names.append(execution.id.name)
    made, found = (tree(admin, name) for name in names)
    artifact = artifact_id(made)
    assert artifact_id(found) == artifact
    for name, actual, recording in zip(names, (made, found), ("w11_cache", "w11_cache-second"), strict=True):
        expected = recorded(recording)
        text = json.dumps(expected).replace(artifact_id(expected), artifact)
        # The recorded first run is the source of the second.
        text = text.replace(recorded("w11_cache")["execution"]["id"]["name"], names[0])
        compare(json.loads(text), actual, name)


def artifact_id(run: dict[str, Any]) -> str:
    (node,) = (row["node"] for row in run["nodes"] if row["node"]["id"]["node_id"] == "n0")
    return node["closure"]["task_node_metadata"]["catalog_key"]["artifact_tag"]["artifact_id"]


def awaited(remote: Any, name: str, signal_id: str) -> None:
    """Returns once a gate waits for the signal."""
    import time

    deadline = time.monotonic() + 60
    while signal_id not in [signal.id.signal_id for signal in remote.list_signals(name)]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_relaunched_run_gives_the_recorded_tree(register: Callable[[str], Any], remote: Any, admin: Any) -> None:
    first = remote.execute(register("w08_user_error"), inputs={})
    relaunched = admin.RelaunchExecution(execution_pb2.ExecutionRelaunchRequest(id=first.id.to_flyte_idl())).id
    again = remote.fetch_execution(name=relaunched.name)
    ended(remote, again, seconds=60, nodes=False)
    expected = recorded("w08_user_error-relaunched")
    expected["execution"]["spec"]["metadata"]["reference_execution"]["name"] = first.id.name
    compare(expected, tree(admin, relaunched.name), relaunched.name)


def test_recovered_run_gives_the_recorded_tree(register: Callable[[str], Any], remote: Any, admin: Any) -> None:
    first = remote.execute(register("w08_user_error"), inputs={})
    ended(remote, first, seconds=60, nodes=False)
    recovered = admin.RecoverExecution(execution_pb2.ExecutionRecoverRequest(id=first.id.to_flyte_idl())).id
    again = remote.fetch_execution(name=recovered.name)
    ended(remote, again, seconds=60, nodes=False)
    expected = recorded("w08_user_error-recovered")
    expected["execution"]["spec"]["metadata"]["reference_execution"]["name"] = first.id.name
    compare(expected, tree(admin, recovered.name), recovered.name)


def phase_of(row: dict[str, Any]) -> str:
    return row["closure"].get("phase", "UNDEFINED")


def compare(expected: dict[str, Any], actual: dict[str, Any], name: str) -> None:
    recorded_name = expected["execution"]["id"]["name"]
    for part in ("execution", "execution_data"):
        assert plain(actual[part], name) == plain(expected[part], recorded_name), part
    assert set(children(actual)) == set(children(expected))
    actual, expected = without_names(actual), without_names(expected)
    rows = {row["node"]["id"]["node_id"]: row for row in actual["nodes"]}
    wanted = {row["node"]["id"]["node_id"]: row for row in expected["nodes"]}
    assert sorted(rows) == sorted(wanted)
    for node_id, row in wanted.items():
        assert plain(rows[node_id], name) == plain(row, recorded_name), node_id


def children(run: dict[str, Any]) -> dict[str, str]:
    """Names of the child executions by node: they follow from the parent's name, as the engine's tests check."""
    shown = {row["node"]["id"]["node_id"]: row["node"]["closure"].get("workflow_node_metadata") for row in run["nodes"]}
    return {node_id: metadata["executionId"]["name"] for node_id, metadata in shown.items() if metadata}


def without_names(run: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(run)
    for node_id, name in children(run).items():
        text = text.replace(name, f"<child of {node_id}>")
    return json.loads(text)


def tree(admin: Any, name: str) -> dict[str, Any]:
    """Everything the API says of one execution, in the recordings' form."""
    identifier = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)
    execution = admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier))
    data = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier))
    return {
        "execution": as_dict(execution),
        "execution_data": as_dict(data),
        "nodes": list(node_rows(admin, identifier, "")),
    }


def node_rows(admin: Any, identifier: Any, parent: str) -> Any:
    order = Sort(key="created_at", direction=Sort.ASCENDING)
    request = node_execution_pb2.NodeExecutionListRequest(
        workflow_execution_id=identifier, limit=1000, unique_parent_id=parent, sort_by=order
    )
    for node in admin.ListNodeExecutions(request).node_executions:
        data = admin.GetNodeExecutionData(node_execution_pb2.NodeExecutionGetDataRequest(id=node.id))
        request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=node.id, limit=1000)
        tasks = [
            {
                "task": as_dict(task),
                "data": as_dict(admin.GetTaskExecutionData(task_execution_pb2.TaskExecutionGetDataRequest(id=task.id))),
            }
            for task in admin.ListTaskExecutions(request).task_executions
        ]
        yield {"node": as_dict(node), "data": as_dict(data), "tasks": tasks}
        if node.metadata.is_parent_node:
            yield from node_rows(admin, identifier, node.id.node_id)
