"""Recompiling what a real server compiled gives the same closures and the same refusals."""

import json
from pathlib import Path

import pytest
from flyteidl.admin import task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, interface_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from google.protobuf import json_format

from flightlog_compiler import (
    CompileErrors,
    EntityKey,
    LaunchPlanInterface,
    compile_task,
    compile_workflow,
    requirements,
)
from flightlog_compiler.references import branch_arms

_RECORDINGS = Path(__file__).parents[2] / "recordings"
_RUNS = sorted(path.stem for path in _RECORDINGS.glob("w*.json"))


def _closure(name: str) -> compiler_pb2.CompiledWorkflowClosure:
    recorded = json.loads((_RECORDINGS / f"{name}.json").read_text())
    described = recorded["registered"]["workflow"]["closure"]["compiled_workflow"]
    return json_format.ParseDict(described, compiler_pb2.CompiledWorkflowClosure())


def _as_registered(template: core_workflow_pb2.WorkflowTemplate) -> core_workflow_pb2.WorkflowTemplate:
    """The template a client must have sent: no start and end nodes, inner nodes under their own names."""
    sent = core_workflow_pb2.WorkflowTemplate()
    sent.CopyFrom(template)
    del sent.nodes[:2]
    for node in sent.nodes:
        _unname_arms(node)
    return sent


def _unname_arms(node: core_workflow_pb2.Node) -> None:
    if node.HasField("branch_node"):
        for arm in branch_arms(node.branch_node):
            _unname_arms(arm)
            arm.id = arm.id.removeprefix(f"{node.id}-")


@pytest.mark.parametrize("name", _RUNS)
def test_closure_is_as_recorded(name: str) -> None:
    recorded = _closure(name)
    template = _as_registered(recorded.primary.template)
    subs = [_as_registered(sub.template) for sub in recorded.sub_workflows]
    tasks = {EntityKey.of(task.template.id): compile_task(task.template) for task in recorded.tasks}
    # The one launch plan among the recordings runs the sub-workflow of w02, with its input fixed.
    outputs = _closure("w02_subworkflow").sub_workflows[0].template.interface.outputs
    launch_plans = {
        EntityKey.of(identifier): LaunchPlanInterface(identifier, interface_pb2.ParameterMap(), outputs)
        for identifier in requirements(template, subs).launch_plan_ids
    }
    assert compile_workflow(template, subs, tasks, launch_plans) == recorded


def _recorded_calls(method: str) -> list[dict[str, object]]:
    calls = json.loads((_RECORDINGS / "errors.json").read_text())
    return [call for call in calls if call["method"] == f"AdminService/{method}" and "spec" in call["request"]]


@pytest.mark.parametrize("call", _recorded_calls("CreateWorkflow"), ids=lambda call: call["note"])
def test_refusal_is_as_recorded(call: dict[str, object]) -> None:
    tasks = {}
    for created in _recorded_calls("CreateTask"):
        if created["code"] == "OK":
            task = json_format.ParseDict(created["request"], task_pb2.TaskCreateRequest())
            tasks[EntityKey.of(task.id)] = compile_task(task.spec.template)
    request = json_format.ParseDict(call["request"], workflow_pb2.WorkflowCreateRequest())
    refusal = str(call.get("message", "")).partition(" with err: ")[2]
    if not refusal:
        compile_workflow(request.spec.template, request.spec.sub_workflows, tasks, {})
        return
    with pytest.raises(CompileErrors) as caught:
        compile_workflow(request.spec.template, request.spec.sub_workflows, tasks, {})
    if call["note"] == "unknown task":
        # The server misses the task before it compiles; the compiler says so in its own words.
        assert "TaskReferenceNotFound" in caught.value.message
    else:
        assert caught.value.message == refusal
