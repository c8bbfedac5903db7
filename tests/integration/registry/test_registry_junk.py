"""Property: requests that are almost right, with any field replaced by junk, get a considered status.

Junk from the start is refused at its first check (tests/integration/contract); these reach the compiler, the log and
the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Call = Callable[..., Awaitable[Any]]
CONSIDERED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
MODEST = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
DEPTH = 12

TEXT = st.one_of(
    st.sampled_from(
        ["", "a", "n0", "o0", "start-node", "end-node", "\0", "x" * 2500, "1Gi", "é𝄞", "@daily", ".flytegen.t"]
    ),
    st.text(max_size=10),
)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXT,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT32: st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]),
    FieldDescriptor.CPPTYPE_INT64: st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]),
    FieldDescriptor.CPPTYPE_UINT32: st.sampled_from([0, 1, 2**32 - 1]),
    FieldDescriptor.CPPTYPE_UINT64: st.sampled_from([0, 1, 2**64 - 1]),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 12),
}


def scalar(draw: st.DrawFn, field: FieldDescriptor) -> Any:
    return draw(st.binary(max_size=20) if field.type == FieldDescriptor.TYPE_BYTES else SCALARS[field.cpp_type])


def mutate(draw: st.DrawFn, message: Message, depth: int) -> None:
    """Change one field somewhere below the message: clear it, or set it to something else."""
    if not message.DESCRIPTOR.fields:
        return
    field: Any = draw(st.sampled_from(list(message.DESCRIPTOR.fields)))
    if depth == 0 or draw(st.integers(0, 11)) == 0:
        message.ClearField(field.name)
        return
    if field.is_repeated:
        mutate_repeated(draw, message, field, depth)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        mutate(draw, inner, depth - 1)
    else:
        setattr(message, field.name, scalar(draw, field))


def mutate_repeated(draw: st.DrawFn, message: Message, field: Any, depth: int) -> None:
    values = getattr(message, field.name)
    if field.message_type is None:
        values.append(scalar(draw, field))
    elif field.message_type.GetOptions().map_entry:
        key = scalar(draw, field.message_type.fields_by_name["key"])
        key = draw(st.sampled_from([key, *values]))
        value = field.message_type.fields_by_name["value"]
        if value.message_type is None:
            values[key] = scalar(draw, value)
        else:
            mutate(draw, values[key], depth - 1)
    elif values and draw(st.booleans()):
        mutate(draw, draw(st.sampled_from(list(values))), depth - 1)
    elif values and draw(st.booleans()):
        values.add().CopyFrom(draw(st.sampled_from(list(values))))
    else:
        mutate(draw, values.add(), depth - 1)


@st.composite
def mutated(draw: st.DrawFn, valid: Message) -> Message:
    """A valid request with one to four fields changed, mostly in what is registered, mostly as a new version."""
    message: Any = GetMessageClass(valid.DESCRIPTOR)()
    message.CopyFrom(valid)
    if "spec" in message.DESCRIPTOR.fields_by_name:
        message.id.version = f"j{draw(st.integers(0, 2**40))}"
    for _ in range(draw(st.integers(1, 4))):
        registered = "spec" in message.DESCRIPTOR.fields_by_name and draw(st.integers(0, 9)) > 0
        mutate(draw, message.spec if registered else message, DEPTH)
    return message


async def status(port: int, method: str, request: Message) -> tuple[str, str]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            f"/flyteidl.service.AdminService/{method}", lambda message: message.SerializeToString()
        )
        try:
            await call(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""


def update(entities: Any) -> Message:
    return launch_plan_pb2.LaunchPlanUpdateRequest(id=entities.id(identifier_pb2.LAUNCH_PLAN, "w"), state=1)


def listing(entities: Any) -> Message:
    return common_pb2.ResourceListRequest(
        id=common_pb2.NamedEntityIdentifier(project=entities.project, domain="development"),
        limit=5,
        filters="eq(name,t)",
        sort_by=common_pb2.Sort(key="name"),
    )


VALID: dict[str, Callable[[Any], Message]] = {
    "CreateTask": lambda entities: entities.task("t"),
    "CreateWorkflow": lambda entities: entities.workflow("w", "t"),
    "CreateLaunchPlan": lambda entities: entities.launch_plan("w", "w"),
    "UpdateLaunchPlan": update,
    "ListTasks": listing,
    "ListWorkflows": listing,
    "ListLaunchPlans": listing,
}


@pytest.mark.parametrize("method", VALID)
async def test_almost_right_requests_get_a_considered_status(
    method: str, call: Call, entities: Any, registry_port: int
) -> None:
    await call("CreateTask", entities.task("t"))
    await call("CreateWorkflow", entities.workflow("w", "t"))
    await call("CreateLaunchPlan", entities.launch_plan("w", "w"))
    valid = VALID[method](entities)
    loop = asyncio.get_running_loop()

    @MODEST
    @given(request=mutated(valid))
    def check(request: Message) -> None:
        answer = asyncio.run_coroutine_threadsafe(status(registry_port, method, request), loop)
        code, details = answer.result(60)
        assert code in CONSIDERED, (code, details)

    await asyncio.to_thread(check)
    # Whatever was taken has reached the tables too.
    for method_of_list in ("ListTasks", "ListWorkflows", "ListLaunchPlans"):
        await call(method_of_list, listing(entities))
