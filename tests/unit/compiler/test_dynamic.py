"""What a dynamic task asks for becomes a workflow like any other."""

import json
import re
from pathlib import Path

import pytest
from flyteidl.admin import node_execution_pb2
from flyteidl.core import compiler_pb2, dynamic_job_pb2, identifier_pb2, interface_pb2, tasks_pb2
from google.protobuf import json_format

from flightlog_compiler import (
    CompileErrors,
    EntityKey,
    LaunchPlanInterface,
    compile_dynamic,
    compile_task,
    dynamic_requirements,
    dynamic_workflow_id,
)
from tests.unit.compiler.templates import Make

_RECORDING = Path(__file__).parents[2] / "recordings" / "w05_dynamic.json"
_EXECUTION = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="e")
_ID = dynamic_workflow_id(_EXECUTION, "n0", "n0", 0)


def _planned(
    spec: dynamic_job_pb2.DynamicJobSpec, parent: tasks_pb2.TaskTemplate, *launch_plans: LaunchPlanInterface
) -> compiler_pb2.CompiledWorkflowClosure:
    return compile_dynamic(spec, parent, _ID, {}, {EntityKey.of(one.id): one for one in launch_plans})


@pytest.fixture
def parent(make: Make) -> tasks_pb2.TaskTemplate:
    return make.task("dyn", {"n": "INTEGER"}, {"o0": "INTEGER"})


@pytest.fixture
def inc(make: Make) -> tasks_pb2.TaskTemplate:
    return make.task("inc", {"x": "INTEGER"}, {"o0": "INTEGER"})


def test_the_workflow_is_as_recorded() -> None:
    recorded = json.loads(_RECORDING.read_text())
    node = next(node for node in recorded["nodes"] if node["node"]["id"]["node_id"] == "n0")
    shown = json_format.ParseDict(node["data"], node_execution_pb2.NodeExecutionGetDataResponse()).dynamic_workflow
    registered = json_format.ParseDict(
        recorded["registered"]["workflow"]["closure"]["compiled_workflow"], compiler_pb2.CompiledWorkflowClosure()
    )
    template = shown.compiled_workflow.primary.template
    spec = dynamic_job_pb2.DynamicJobSpec(
        nodes=template.nodes[2:],
        outputs=template.outputs,
        tasks=[task.template for task in shown.compiled_workflow.tasks],
        min_successes=2,
    )
    for task in spec.tasks:
        # As flytekit writes it; the server shows none.
        task.interface.inputs.variables["x"].description = "x"
    before = spec.SerializeToString(deterministic=True)
    closure = compile_dynamic(spec, registered.tasks[0].template, shown.id, {}, {})
    assert closure == shown.compiled_workflow
    assert spec.SerializeToString(deterministic=True) == before


def test_the_id_follows_from_the_attempt() -> None:
    assert (_ID.resource_type, _ID.project, _ID.domain, _ID.name) == (identifier_pb2.WORKFLOW, "p", "d", "dynamic_n0")
    assert re.fullmatch(r"[bcdfghjklmnpqrstvwxz2456789]{10}", _ID.version)
    assert dynamic_workflow_id(_EXECUTION, "n0", "n0", 0) == _ID
    others = [dynamic_workflow_id(_EXECUTION, "n0", "n0", 1), dynamic_workflow_id(_EXECUTION, "n1-0-n0", "n0", 0)]
    assert len({_ID.version, *(other.version for other in others)}) == 3
    assert {other.name for other in others} == {"dynamic_n0"}


def test_what_its_sub_workflows_need_is_needed(
    make: Make, parent: tasks_pb2.TaskTemplate, inc: tasks_pb2.TaskTemplate
) -> None:
    launch_plan_id = make.id("lp", "LAUNCH_PLAN")
    sub = make.workflow(
        make.target("n0", {"workflowNode": {"launchplanRef": json_format.MessageToDict(launch_plan_id)}}),
        outputs={"o0": ("INTEGER", make.promise("n0", "o0"))},
        name="sub",
    )
    spec = dynamic_job_pb2.DynamicJobSpec(
        nodes=[
            make.target("dn0", {"workflowNode": {"subWorkflowRef": json_format.MessageToDict(sub.id)}}),
            make.node("dn1", x=make.promise("dn0", "o0")),
            make.node("dn2", "fetched", x=make.promise("dn1", "o0")),
        ],
        outputs=make.bindings(o0=make.promise("dn2", "o0")),
        tasks=[inc, inc],
        subworkflows=[sub],
    )
    needed = dynamic_requirements(spec)
    assert needed.launch_plan_ids == (launch_plan_id,)
    assert needed.task_ids == (make.id("fetched"),)
    fetched = compile_task(make.task("fetched", {"x": "INTEGER"}, {"o0": "INTEGER"}))
    launch_plan = LaunchPlanInterface(launch_plan_id, interface_pb2.ParameterMap(), make.variables({"o0": "INTEGER"}))
    closure = compile_dynamic(
        spec,
        parent,
        _ID,
        {EntityKey.of(fetched.template.id): fetched},
        {EntityKey.of(launch_plan_id): launch_plan},
    )
    assert [compiled.template.id for compiled in closure.sub_workflows] == [sub.id]
    assert [task.template.id.name for task in closure.tasks] == ["fetched", "inc"]
    with pytest.raises(CompileErrors, match="WorkflowReferenceNotFound"):
        _planned(spec, parent)


def test_children_inherit_the_config_of_the_parent_s_container(
    make: Make, parent: tasks_pb2.TaskTemplate, inc: tasks_pb2.TaskTemplate
) -> None:
    spec = dynamic_job_pb2.DynamicJobSpec(
        nodes=[make.node("dn0", x=make.scalar(1))], outputs=make.bindings(o0=make.promise("dn0", "o0")), tasks=[inc]
    )
    assert _planned(spec, parent).tasks[0].template == inc
    for template in (parent, spec.tasks[0]):
        template.container.image = "img:1"
        template.container.args.append("run")
        template.container.config.add(key="of", value=template.id.name)
    shown = _planned(spec, parent).tasks[0].template.container.config
    assert [entry.value for entry in shown] == ["inc", "dyn"]


def test_outputs_are_those_the_task_declares(
    make: Make, parent: tasks_pb2.TaskTemplate, inc: tasks_pb2.TaskTemplate
) -> None:
    spec = dynamic_job_pb2.DynamicJobSpec(nodes=[make.node("dn0", x=make.scalar(1))], tasks=[inc])
    with pytest.raises(CompileErrors, match=r"Parameter not bound \[o0\]"):
        _planned(spec, parent)
    spec.outputs.extend(make.bindings(o0=make.scalar("seven")))
    with pytest.raises(CompileErrors, match="MismatchingTypes"):
        _planned(spec, parent)


def test_a_task_without_an_id_does_not_compile(
    make: Make, parent: tasks_pb2.TaskTemplate, inc: tasks_pb2.TaskTemplate
) -> None:
    inc.ClearField("id")
    spec = dynamic_job_pb2.DynamicJobSpec(nodes=[make.node("dn0", x=make.scalar(1))], tasks=[inc])
    with pytest.raises(CompileErrors, match=r"Value required \[Id\]"):
        _planned(spec, parent)
