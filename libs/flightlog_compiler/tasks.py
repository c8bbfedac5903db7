"""Compiles a task: checks that it can be run at all (admin-contract §3.1). Nothing is added to what was sent."""

from flyteidl.core import compiler_pb2, tasks_pb2
from google.protobuf import struct_pb2

from flightlog_compiler import errors
from flightlog_compiler.errors import Problems
from flightlog_compiler.interfaces import check_declared
from flightlog_types import quantities
from flightlog_types.labels import dns_label_problems
from flightlog_types.retry_pauses import BadPause, retry_pauses


def compile_task(template: tasks_pb2.TaskTemplate) -> compiler_pb2.CompiledTask:
    """The compiled task; `template` stays untouched. Raises CompileErrors."""
    problems = Problems()
    if not template.HasField("id"):
        problems.add(errors.value_required("root", "Id"))
    check_declared("root", template.interface, problems)
    try:
        retry_pauses(template.metadata)
    except BadPause as bad:
        problems.add(errors.unrecognized_value(f"annotations.{bad.annotation}", str(bad)))
    match template.WhichOneof("target"):
        case "container":
            _check_container(template, problems)
        case "k8s_pod":
            _check_pod(template.k8s_pod.pod_spec, problems)
        case _:
            pass
    problems.raise_any()
    return compiler_pb2.CompiledTask(template=template)


def _check_container(template: tasks_pb2.TaskTemplate, problems: Problems) -> None:
    container = template.container
    takes_or_gives = template.interface.inputs.variables or template.interface.outputs.variables
    if takes_or_gives and not container.command and not container.args:
        problems.add(errors.value_required("container", "command"))
    if not container.image:
        problems.add(errors.value_required("container", "image"))
    for entries in (container.resources.requests, container.resources.limits):
        for entry in entries:
            try:
                quantities.parse(entry.value)
            except quantities.BadQuantity:
                name = _resource_name(entry.name)
                problems.add(errors.unrecognized_value(f"resources.{name}", entry.value))


def _check_pod(pod_spec: struct_pb2.Struct, problems: Problems) -> None:
    """The parts of a pod specification that every runtime reads: a list of containers with DNS labels as names."""
    for kind in ("containers", "initContainers"):
        if kind not in pod_spec.fields:
            continue
        listed = pod_spec.fields[kind]
        if listed.WhichOneof("kind") != "list_value":
            problems.add(errors.invalid_value("root", "k8s pod spec"))
            continue
        for container in listed.list_value.values:
            if container.WhichOneof("kind") != "struct_value":
                problems.add(errors.invalid_value("root", "k8s pod spec"))
                continue
            name = container.struct_value.fields.get("name")
            if name is None or dns_label_problems(name.string_value):
                problems.add(errors.invalid_value("root", "k8s pod spec container name"))


def _resource_name(name: int) -> str:
    known = tasks_pb2.Resources.ResourceName.DESCRIPTOR.values_by_number.get(name)
    return known.name if known is not None else str(name)
