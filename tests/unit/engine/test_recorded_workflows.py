"""Workflows that a real Flyte ran, replayed through the engine: same nodes, phases, errors, names and places."""

import json
from pathlib import Path
from typing import Any

import pytest
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import SimpleType
from google.protobuf.json_format import MessageToDict, ParseDict

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import engine
from tests.unit.engine.story import Story

RECORDINGS = Path(__file__).parents[2] / "recordings"
BUCKET = "s3://my-s3-bucket"


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def started(recording: dict[str, Any]) -> Story:
    closure = ParseDict(recording["registered"]["workflow"]["closure"]["compiled_workflow"], CompiledWorkflowClosure())
    execution = recording["execution"]["id"]

    def change(created: facts.ExecutionCreated) -> None:
        created.id.project, created.id.domain, created.id.name = (execution[k] for k in ("project", "domain", "name"))
        place = f"{execution['project']}-{execution['domain']}-{execution['name']}"
        created.config.metadata_prefix = f"{BUCKET}/metadata/propeller/{place}"
        created.config.raw_output_prefix = f"{BUCKET}/data"
        created.config.max_parallelism = 25

    story = Story(closure, literals(recording["execution_data"].get("full_inputs", {})), change=change)
    story.start()
    return story


def literals(recorded_map: dict[str, Any]) -> dict[str, Literal]:
    return dict(ParseDict(recorded_map, LiteralMap()).literals)


def finish(story: Story, recording: dict[str, Any]) -> None:
    """Lets every task attempt end as it was recorded to, in the order in which nodes were queued, abort last."""
    tasks = {
        (task["task"]["id"]["node_execution_id"]["node_id"], task["task"]["id"].get("retry_attempt", 0)): task
        for node in recording["nodes"]
        for task in node["tasks"]
    }
    moved = True
    while moved:
        moved = False
        assert story.state is not None
        for state in story.state.open_nodes():
            if state.element is not None:
                task = tasks[state.parent_id, 0]
                items = task["data"]["full_outputs"]["literals"]["o0"]["collection"]["literals"]
                moved |= bool(story.succeeds(state.node_id, 0, literals({"literals": {"o0": items[state.element]}})))
            elif state.kind == facts.LAUNCH_PLAN:
                (data,) = (n["data"] for n in recording["nodes"] if n["node"]["id"]["node_id"] == state.node_id)
                moved |= bool(story.child_succeeds(state.node_id, 0, literals(data["full_outputs"])))
            elif state.live_attempt is not None:
                task = tasks[state.node_id, state.live_attempt.number]
                story.sees(state.node_id, "RUNNING", state.live_attempt.number)
                moved |= bool(end(story, state.node_id, state.live_attempt.number, task))
            elif state.kind == facts.GATE:
                moved |= bool(open_gate(story, state.node_id, recording))


def open_gate(story: Story, node_id: str, recording: dict[str, Any]) -> list[str]:
    if f"{node_id}/0/sleep" in story.state.timers:  # type: ignore[union-attr]
        return story.fire(f"{node_id}/0/sleep")
    awaited = story.last(facts.SignalAwaited, node_id=node_id)
    if awaited.type.simple == SimpleType.BOOLEAN:
        return story.sets(awaited.signal_id, True)
    (data,) = (node["data"] for node in recording["nodes"] if node["node"]["id"]["node_id"] == node_id)
    return story.sets(awaited.signal_id, literals(data["full_outputs"])["o0"])


def end(story: Story, node_id: str, attempt: int, task: dict[str, Any]) -> list[str]:
    closure = task["task"]["closure"]
    if closure["phase"] == "SUCCEEDED":
        return story.succeeds(node_id, attempt, literals(task["data"].get("full_outputs", {})), deck=True)
    if closure["phase"] == "FAILED":
        error = ParseDict(closure["error"], ExecutionError())
        recoverable = error.code == "USER:Recoverable"
        return story.fails(node_id, attempt, code=error.code, message=error.message, recoverable=recoverable)
    assert closure["phase"] == "ABORTED"
    if f"{node_id}/{attempt}/attempt" in story.state.timers:  # type: ignore[union-attr]
        story.fire(f"{node_id}/{attempt}/attempt")
    else:
        story.terminate()
    return story.sees(node_id, "KILLED", attempt)


@pytest.mark.parametrize(
    "name",
    [
        "w01_chain", "w02_subworkflow", "w03_launchplan_node", "w04_branch", "w06_map", "w07_gates", "w08_user_error",
        "w09_recoverable", "w10_on_failure", "w12_types", "w13_data", "w14_timeout", "w15_abort", "w16_fail_after",
        "w17_echo",
    ],
)  # fmt: skip
def test_run_as_recorded(name: str) -> None:
    recording = recorded(name)
    story = started(recording)
    finish(story, recording)
    assert story.phase == recording["execution"]["closure"]["phase"]
    phases = {key: phase for key, phase in story.phases().items() if story.node(key).element is None}
    assert phases == {n["node"]["id"]["node_id"]: n["node"]["closure"]["phase"] for n in recording["nodes"]}
    for node in recording["nodes"]:
        check_node(story, node)
        check_attempts(story, node)
    check_end(story, recording)


def check_node(story: Story, recorded_node: dict[str, Any]) -> None:
    node, closure = recorded_node["node"], recorded_node["node"]["closure"]
    node_id, metadata = node["id"]["node_id"], node["metadata"]
    if closure["phase"] == "SKIPPED":
        assert story.last(facts.NodeSkipped, node_id=node_id).visible
        return
    queued = story.last(facts.NodeQueued, node_id=node_id)
    assert queued.spec_node_id == metadata["spec_node_id"]
    assert queued.retry_group == metadata.get("retry_group", "")
    assert queued.is_parent == metadata.get("is_parent_node", False)
    assert queued.inputs.uri == node.get("input_uri", "")
    assert story.has(facts.NodeStarted, node_id=node_id) == ("started_at" in closure)
    if queued.HasField("inputs"):
        inputs = recorded_node["data"].get("full_inputs", {})
        if queued.handles_failure:
            # Flyte names the failure node itself there.
            inputs["literals"]["err"]["scalar"]["union"]["value"]["scalar"]["error"]["failed_node_id"] = "n0"
        assert stored(story, queued.inputs) == inputs
    if closure["phase"] == "SUCCEEDED":
        succeeded = story.last(facts.NodeSucceeded, node_id=node_id)
        assert succeeded.outputs.uri == closure.get("output_uri", "")
        if succeeded.HasField("outputs"):
            assert stored(story, succeeded.outputs) == recorded_node["data"].get("full_outputs", {})
        assert succeeded.deck_uri == closure.get("deck_uri", "")
    elif closure["phase"] == "FAILED":
        check_error(story.last(facts.NodeFailed, node_id=node_id).error, closure["error"])
    else:
        check_error(story.last(facts.NodeAborted, node_id=node_id).error, closure["error"])


def check_error(error: ExecutionError, expected: dict[str, Any]) -> None:
    assert error.code == expected["code"]
    # Lists cut messages short.
    assert error.message.startswith(expected["message"])
    assert ExecutionError.ErrorKind.Name(error.kind) == expected.get("kind", "UNKNOWN")


def check_attempts(story: Story, recorded_node: dict[str, Any]) -> None:
    for recorded_task in recorded_node["tasks"]:
        task, closure = recorded_task["task"], recorded_task["task"]["closure"]
        key = {"node_id": recorded_node["node"]["id"]["node_id"], "attempt": task["id"].get("retry_attempt", 0)}
        if closure["task_type"] == "container_array":
            check_elements(story, task, key)
            continue
        scheduled = story.last(facts.AttemptScheduled, **key)
        assert MessageToDict(scheduled.task_id, preserving_proto_field_name=True) == task["id"]["task_id"]
        assert scheduled.task_type == closure["task_type"]
        assert scheduled.generated_name == closure["metadata"]["generated_name"]
        assert scheduled.in_engine == (closure["task_type"] == "echo")
        assert scheduled.inputs.uri in ("", task["input_uri"])
        ends = {"SUCCEEDED": facts.AttemptSucceeded, "FAILED": facts.AttemptFailed, "ABORTED": facts.AttemptAborted}
        ended = story.last(ends[closure["phase"]], **key)
        if isinstance(ended, facts.AttemptSucceeded):
            assert ended.outputs.uri == closure["output_uri"]
        elif isinstance(ended, facts.AttemptFailed):
            check_error(ended.error, closure["error"])
    child = recorded_node["node"]["closure"].get("workflow_node_metadata", {}).get("executionId")
    if child:
        asked = story.last(facts.ChildExecutionRequested, node_id=recorded_node["node"]["id"]["node_id"])
        assert MessageToDict(asked.execution_id, preserving_proto_field_name=True) == child
    checkpoint = recorded_node["node"]["closure"].get("task_node_metadata", {}).get("checkpoint_uri")
    if checkpoint:
        scheduled = story.last(facts.AttemptScheduled, node_id=recorded_node["node"]["id"]["node_id"])
        assert scheduled.checkpoint_prefix == checkpoint


def check_elements(story: Story, task: dict[str, Any], key: dict[str, Any]) -> None:
    closure = task["closure"]
    planned = story.last(facts.ArrayPlanned, **key)
    assert MessageToDict(planned.task_id, preserving_proto_field_name=True) == task["id"]["task_id"]
    for resource in closure["metadata"]["external_resources"]:
        scheduled = story.last(facts.AttemptScheduled, node_id=f"{key['node_id']}-0-n{resource.get('index', 0)}")
        assert scheduled.generated_name == resource["external_id"]
    assert story.last(facts.ArrayEnded, **key).outputs.uri == closure["output_uri"]


def check_end(story: Story, recording: dict[str, Any]) -> None:
    closure = recording["execution"]["closure"]
    if closure["phase"] == "SUCCEEDED":
        outputs = story.last(facts.ExecutionSucceeded).outputs
        assert outputs.uri == closure["outputs"]["uri"]
        assert stored(story, outputs) == recording["execution_data"]["full_outputs"]
    elif closure["phase"] == "FAILED":
        check_error(story.error(), closure["error"])
        assert story.error().message == closure["error"]["message"]
    else:
        assert story.has(facts.ExecutionAborted)


def stored(story: Story, ref: DataRef) -> dict[str, Any]:
    content = LiteralMap.FromString(story.blobs[ref.uri])
    return MessageToDict(content, preserving_proto_field_name=True)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("w*.json")), ids=lambda path: path.stem)
def test_recorded_closure_is_read(path: Path) -> None:
    registered = json.loads(path.read_text()).get("registered", {}).get("workflow")
    if registered is None:
        pytest.skip("nothing registered in this recording")
    closure = ParseDict(registered["closure"]["compiled_workflow"], CompiledWorkflowClosure())
    program = engine.Program.parse(closure)
    assert {node.id for node in closure.primary.template.nodes} <= set(program.primary.nodes)
    assert program.primary.failure_node == closure.primary.template.failure_node.id
