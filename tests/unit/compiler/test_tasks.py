"""Tasks by themselves: what compiles, and the workflow around one."""

import pytest
from flyteidl.core import identifier_pb2, tasks_pb2
from google.protobuf import json_format

from flightlog_compiler import CompileErrors, compile_task, generated_id, generated_workflow
from tests.unit.compiler.templates import Make


def problems(template: tasks_pb2.TaskTemplate) -> list[tuple[str, str, str]]:
    with pytest.raises(CompileErrors) as caught:
        compile_task(template)
    return [(error.code, error.node_id, error.description) for error in caught.value.errors]


def test_a_compiled_task_is_what_was_sent(make: Make) -> None:
    template = make.task("t", {"x": "INTEGER"}, {})
    template.container.image = "img:1"
    template.container.args.append("x")
    newer = tasks_pb2.TaskTemplate.FromString(template.SerializeToString() + b"\xfa\x7f\x01y")
    assert compile_task(newer).template.SerializeToString(deterministic=True) == newer.SerializeToString(
        deterministic=True
    )


def test_a_container_needs_an_image_and_something_to_run(make: Make) -> None:
    template = make.task("t", {"x": "INTEGER"}, {})
    template.container.resources.requests.add(name="CPU", value="1 core")
    assert problems(template) == [
        ("UnrecognizedValue", "resources.CPU", "Unrecognized value [1 core]."),
        ("ValueRequired", "container", "Value required [command]."),
        ("ValueRequired", "container", "Value required [image]."),
    ]


def test_pauses_between_attempts_are_durations(make: Make) -> None:
    template = make.task("t", {}, {})
    template.metadata.metadata.annotations["flightlog/retry-backoff"] = "30s"
    compile_task(template)
    template.metadata.metadata.annotations["flightlog/retry-backoff"] = "soon"
    [(code, place, text)] = problems(template)
    assert (code, place) == ("UnrecognizedValue", "annotations.flightlog/retry-backoff")
    assert "30s or 1h30m" in text


def test_a_task_needs_an_id_and_types(make: Make) -> None:
    template = make.task("t", {}, {})
    template.ClearField("id")
    template.interface.outputs.variables["o0"].description = "no type"
    assert problems(template) == [
        ("ValueRequired", "root", "Value required [Id]."),
        ("ValueRequired", "root", "Value required [param.Type]."),
    ]


@pytest.mark.parametrize(
    ("pod_spec", "problem"),
    [
        ({"containers": [{"name": "primary", "image": "i"}]}, None),
        ({"containers": [{"name": "Not_a_label"}]}, "Invalid value [k8s pod spec container name]."),
        ({"containers": "primary"}, "Invalid value [k8s pod spec]."),
        ({"containers": ["primary"]}, "Invalid value [k8s pod spec]."),
    ],
)
def test_pod_specifications(make: Make, pod_spec: dict[str, object], problem: str | None) -> None:
    template = make.task("t", {}, {})
    json_format.ParseDict(pod_spec, template.k8s_pod.pod_spec)
    if problem is None:
        compile_task(template)
    else:
        assert problems(template) == [("InvalidValue", "root", problem)]


def test_a_task_by_itself_runs_in_a_workflow_of_one_node(make: Make) -> None:
    task = make.task("my.module.task_1", {"b": "INTEGER", "a": "STRING"}, {"o0": "INTEGER"})
    closure = generated_workflow(compile_task(task))
    template = closure.primary.template
    assert template.id == generated_id(task.id, identifier_pb2.WORKFLOW)
    assert (template.id.name, template.id.version) == (".flytegen.my.module.task_1", "v")
    assert template.interface == task.interface
    node = template.nodes[2]
    assert (node.id, node.metadata.name, node.metadata.retries.retries) == ("mymoduletask1", "mymoduletask1", 3)
    assert [(bound.var, bound.binding.promise.node_id) for bound in node.inputs] == [
        ("a", "start-node"),
        ("b", "start-node"),
    ]
    assert template.outputs[0].binding.promise.node_id == "mymoduletask1"
    assert [compiled.template.id for compiled in closure.tasks] == [task.id]


def test_a_task_by_itself_keeps_its_retries(make: Make) -> None:
    task = make.task("t", {}, {})
    task.metadata.retries.retries = 0
    closure = generated_workflow(compile_task(task))
    assert closure.primary.template.nodes[2].metadata.retries.retries == 0


@pytest.mark.parametrize(
    ("name", "node_id"),
    [
        ("a" * 80, "a" * 63),
        ("___", "task"),
        ("start-node", "task"),
        ("x" + "y" * 63, "y" * 63),
        ("ünder.score", "nderscore"),
    ],
)
def test_the_node_is_named_after_the_task(make: Make, name: str, node_id: str) -> None:
    closure = generated_workflow(compile_task(make.task(name, {}, {})))
    assert closure.primary.template.nodes[2].id == node_id
