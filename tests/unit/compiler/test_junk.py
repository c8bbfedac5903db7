"""Whatever bytes a client sends as a template: a closure, or problems. Never another error."""

import contextlib

from flyteidl.core import literals_pb2, tasks_pb2, types_pb2, workflow_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightlog_compiler import (
    CompileErrors,
    EntityKey,
    compile_task,
    compile_workflow,
    generated_workflow,
    requirements,
)
from flightlog_types import castable, describe, literal_type_of
from tests.unit.compiler.templates import Make

_WORDS = ["", "n0", "n1", "x", "o0", "start-node", "end-node", "inc", "p", "d", "v", "[0].x", "é\n"]
_MAKE = Make()
_INC = compile_task(_MAKE.task("inc", {"x": "INTEGER"}, {"o0": "INTEGER"}))
_MAX_DEPTH = 14


def _fill(draw: st.DrawFn, message: Message, depth: int) -> Message:
    """Set a few fields of a message to whatever fits them."""
    fields = message.DESCRIPTOR.fields
    for index in draw(st.sets(st.integers(0, len(fields) - 1), max_size=4)) if fields else ():
        _fill_field(draw, message, fields[index], depth)
    return message


def _fill_field(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and depth > _MAX_DEPTH:
        return
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _fill_map(draw, message, field, depth)
    elif field.is_repeated:
        for _ in range(draw(st.integers(0, 2))):
            if field.message_type is not None:
                _fill(draw, getattr(message, field.name).add(), depth + 1)
            else:
                getattr(message, field.name).append(_value(draw, field))
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
        _fill(draw, getattr(message, field.name), depth + 1)
    else:
        setattr(message, field.name, _value(draw, field))


def _fill_map(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    entry: Descriptor = field.message_type
    value = entry.fields_by_name["value"]
    target = getattr(message, field.name)
    for key in draw(st.sets(st.sampled_from(_WORDS), max_size=2)):
        if value.message_type is not None:
            _fill(draw, target[key], depth + 1)
        else:
            target[key] = _value(draw, value)


def _value(draw: st.DrawFn, field: FieldDescriptor) -> object:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            word = draw(st.sampled_from(_WORDS))
            return word.encode() if field.type == FieldDescriptor.TYPE_BYTES else word
        case FieldDescriptor.CPPTYPE_BOOL:
            return draw(st.booleans())
        case FieldDescriptor.CPPTYPE_ENUM:
            return draw(st.integers(0, 12))
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return draw(st.floats(width=32))
        case _:
            return draw(st.integers(0, 9))


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Message:
    return _fill(draw, kind(), 0)


@st.composite
def workflows(draw: st.DrawFn) -> workflow_pb2.WorkflowTemplate:
    """Templates that are half right: some real nodes, some filled with anything."""
    nodes = []
    for name in draw(st.lists(st.sampled_from(["n0", "n1", "n2"]), max_size=3)):
        node = _MAKE.node(name, x=draw(st.sampled_from([_MAKE.scalar(1), _MAKE.promise("n0", "o0")])))
        if draw(st.booleans()):
            node = _fill(draw, node, 2)
        nodes.append(node)
    template = _MAKE.workflow(*nodes, inputs={"x": "INTEGER"})
    return _fill(draw, template, 1) if draw(st.booleans()) else template


_FEW = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@_FEW
@given(workflows(), st.lists(workflows(), max_size=2))
def test_any_workflow_compiles_or_has_problems(
    template: workflow_pb2.WorkflowTemplate, subs: list[workflow_pb2.WorkflowTemplate]
) -> None:
    before = template.SerializeToString(deterministic=True)
    requirements(template, subs)
    with contextlib.suppress(CompileErrors):
        closure = compile_workflow(template, subs, {EntityKey.of(_INC.template.id): _INC}, {})
        assert closure.primary.template.nodes[0].id == "start-node"
    assert template.SerializeToString(deterministic=True) == before


@_FEW
@given(messages(tasks_pb2.TaskTemplate))
def test_any_task_compiles_or_has_problems(template: tasks_pb2.TaskTemplate) -> None:
    with contextlib.suppress(CompileErrors):
        generated_workflow(compile_task(template))


@_FEW
@given(st.binary(max_size=200))
def test_any_bytes_that_parse_compile_or_have_problems(content: bytes) -> None:
    try:
        template = workflow_pb2.WorkflowTemplate.FromString(content)
    except Exception:  # noqa: BLE001 — protobuf's own error; not the subject
        return
    with contextlib.suppress(CompileErrors):
        compile_workflow(template, (), {}, {})


@_FEW
@given(messages(types_pb2.LiteralType), messages(types_pb2.LiteralType))
def test_any_two_types_are_compared_and_described(left: types_pb2.LiteralType, right: types_pb2.LiteralType) -> None:
    castable(left, right)
    assert isinstance(describe(left), str)


@_FEW
@given(messages(literals_pb2.Literal))
def test_any_literal_has_a_type(literal: literals_pb2.Literal) -> None:
    assert isinstance(literal_type_of(literal), types_pb2.LiteralType)
