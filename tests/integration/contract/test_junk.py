"""Property: whatever bytes or fields a client sends, the answer is a considered status, and the next call is served."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2
from flyteidl.service.admin_pb2_grpc import AdminServiceStub
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightlog_rpc import SERVED

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (admin_pb2, dataproxy_pb2, signal_pb2, auth_pb2, identity_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if f"/{service.full_name}/{method.name}" in SERVED
}
# INTERNAL and UNKNOWN would be our own defect (and UNKNOWN makes flytekit log in again, admin-contract T1).
CONSIDERED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
MODEST = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
DEPTH = 4
# Of its own: what is sent may archive the project, and other tests of this stack go on.
PROJECT = "junkyard"

TEXT = st.one_of(
    st.sampled_from(["", PROJECT, "development", "v1", f"flyte://v1/{PROJECT}/development/x/n0/o", "\0", "a" * 3000]),
    st.sampled_from(
        ["eq(name,x)", "eq(phase,\0)", "value_in(,)", "gte(created_at,never)", "'; drop table x; --", "é𝄞"]
    ),
    st.text(max_size=20),
)
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXT,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT32: st.one_of(st.integers(-3, 120), st.sampled_from([2**31 - 1, -(2**31)])),
    FieldDescriptor.CPPTYPE_INT64: st.one_of(st.integers(-3, 120), st.sampled_from([2**63 - 1, -(2**63)])),
    FieldDescriptor.CPPTYPE_UINT32: st.one_of(st.integers(0, 120), st.just(2**32 - 1)),
    FieldDescriptor.CPPTYPE_UINT64: st.one_of(st.integers(0, 120), st.just(2**64 - 1)),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 12),
}


def value_of(draw: st.DrawFn, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return junk_message(draw, field.message_type, depth - 1)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw(st.binary(max_size=40))
    return draw(_SCALARS[field.cpp_type])


def set_field(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        key, value = (entry.fields_by_name[name] for name in ("key", "value"))
        for _ in range(draw(st.integers(0, 2))):
            chosen, inner = value_of(draw, key, depth), value_of(draw, value, depth)
            target = getattr(message, field.name)
            if value.message_type is not None:
                target[chosen].CopyFrom(inner)
            else:
                target[chosen] = inner
    elif field.is_repeated:
        values = [value_of(draw, field, depth) for _ in range(draw(st.integers(0, 2)))]
        getattr(message, field.name).extend(values)
    elif entry is not None:
        getattr(message, field.name).CopyFrom(value_of(draw, field, depth))
    else:
        setattr(message, field.name, value_of(draw, field, depth))


def junk_message(draw: st.DrawFn, descriptor: Descriptor, depth: int) -> Message:
    message = message_factory.GetMessageClass(descriptor)()
    if depth <= 0:
        return message
    for field in descriptor.fields:
        if draw(st.integers(0, 9)) < 7:
            set_field(draw, message, field, depth)
    return message


@st.composite
def junk(draw: st.DrawFn, descriptor: Descriptor) -> Message:
    """A message of that type with a random part of its fields set, to values that hurt."""
    return junk_message(draw, descriptor, DEPTH)


@pytest.fixture(scope="module")
def channel(stack: Any) -> Any:
    with grpc.insecure_channel(stack.grpc) as channel:
        project = project_pb2.Project(id=PROJECT, name=PROJECT)
        AdminServiceStub(channel).RegisterProject(project_pb2.ProjectRegisterRequest(project=project))
        yield channel


def status_of(channel: grpc.Channel, method: str, payload: bytes) -> tuple[grpc.StatusCode, str]:
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        call(payload, timeout=30)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("method", sorted(METHODS))
def test_any_bytes_get_a_considered_status(method: str, channel: grpc.Channel) -> None:
    @MODEST
    @given(payload=st.binary(max_size=300))
    def check(payload: bytes) -> None:
        code, details = status_of(channel, method, payload)
        assert code in CONSIDERED, (code, details)

    check()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_any_fields_get_a_considered_status(method: str, channel: grpc.Channel) -> None:
    @MODEST
    @given(request=junk(METHODS[method].input_type))
    def check(request: Message) -> None:
        code, details = status_of(channel, method, request.SerializeToString())
        assert code in CONSIDERED, (code, details)

    check()


def test_a_huge_field_is_refused_or_taken_but_never_breaks(channel: grpc.Channel) -> None:
    request = message_factory.GetMessageClass(METHODS["/flyteidl.service.AdminService/CreateTask"].input_type)()
    request.id.name = "x" * (8 << 20)
    code, details = status_of(channel, "/flyteidl.service.AdminService/CreateTask", request.SerializeToString())
    assert code in CONSIDERED, (code, details[:200])
    assert len(details.encode()) <= 32_000
    request.id.name = "x" * (80 << 20)
    code, _ = status_of(channel, "/flyteidl.service.AdminService/CreateTask", request.SerializeToString())
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    code, _ = status_of(channel, "/flyteidl.service.AdminService/GetVersion", b"")
    assert code == grpc.StatusCode.OK
