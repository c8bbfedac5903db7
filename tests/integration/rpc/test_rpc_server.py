"""A real server and real channels: dispatch, statuses, health, reflection, keep-alive, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin.common_pb2 import ObjectGetRequest
from flyteidl.admin.project_pb2 import ProjectRegisterRequest, ProjectRegisterResponse
from flyteidl.admin.task_pb2 import Task
from flyteidl.admin.version_pb2 import GetVersionRequest, GetVersionResponse
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from flightlog_read import InvalidQuery
from flightlog_rpc import METHODS, OWNERS, CallContext, RpcServer, RpcSettings, already_exists, invalid

GET_TASK = "/flyteidl.service.AdminService/GetTask"
REGISTER = "/flyteidl.service.AdminService/RegisterProject"
GET_VERSION = "/flyteidl.service.AdminService/GetVersion"


@asynccontextmanager
async def serving(
    methods: dict[str, Any], service: str = "registry", **options: Any
) -> AsyncIterator[grpc.aio.Channel]:
    server = RpcServer(RpcSettings(port=0, **options), service, methods)
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0.1)


async def raw(channel: grpc.aio.Channel, method: str, data: bytes, **options: Any) -> bytes:
    return await channel.unary_unary(method, request_serializer=None, response_deserializer=None)(data, **options)


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def raising(error: BaseException) -> Callable[[Any, CallContext], Awaitable[Any]]:
    async def method(_request: Any, _context: CallContext) -> Any:
        raise error

    return method


async def test_an_implemented_method_gets_its_request_and_context() -> None:
    seen: list[CallContext] = []

    async def get_task(request: ObjectGetRequest, context: CallContext) -> Task:
        seen.append(context)
        return Task(id=request.id, short_description="found")

    async with serving({GET_TASK: get_task}) as channel:
        request = ObjectGetRequest()
        request.id.name = "n.é"
        task = await admin_pb2_grpc.AdminServiceStub(channel).GetTask(request, metadata=(("flightlog-as-of", "7"),))
    assert (task.id.name, task.short_description) == ("n.é", "found")
    assert seen[0].value("flightlog-as-of") == "7"
    assert seen[0].peer.startswith("127.0.0.1:")
    assert "grpc-python" in seen[0].user_agent


async def test_an_empty_response_is_sent_as_a_message() -> None:
    async def register(_request: ProjectRegisterRequest, _context: CallContext) -> ProjectRegisterResponse:
        return ProjectRegisterResponse()

    async with serving({REGISTER: register}) as channel:
        assert await raw(channel, REGISTER, b"") == b""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (already_exists("there"), grpc.StatusCode.ALREADY_EXISTS),
        (invalid("missing name"), grpc.StatusCode.INVALID_ARGUMENT),
        (InvalidQuery("invalid value for limit"), grpc.StatusCode.INVALID_ARGUMENT),
        (RuntimeError("boom"), grpc.StatusCode.INTERNAL),
        (KeyError("boom"), grpc.StatusCode.INTERNAL),
        (StopAsyncIteration(), grpc.StatusCode.INTERNAL),
        (asyncio.CancelledError(), grpc.StatusCode.UNAVAILABLE),
        (invalid("é\n%" * 50_000), grpc.StatusCode.INVALID_ARGUMENT),
        (invalid("x" * 500_000, ObjectGetRequest()), grpc.StatusCode.INVALID_ARGUMENT),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_an_error_reaches_flytekits_channel_with_its_code(error: BaseException, code: grpc.StatusCode) -> None:
    server = RpcServer(RpcSettings(port=0), "registry", {GET_TASK: raising(error)})
    port = await server.start()
    try:
        flytekit_options = [("grpc.max_metadata_size", 32 * 1024)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=flytekit_options) as channel:
            assert (await failure(raw(channel, GET_TASK, b""))).code() is code
    finally:
        await server.stop(0)


async def test_an_unplanned_error_tells_no_secret() -> None:
    async with serving({GET_TASK: raising(RuntimeError("password=hunter2"))}) as channel:
        text = (await failure(raw(channel, GET_TASK, b""))).details() or ""
    assert "hunter2" not in text
    assert "GetTask" in text


async def test_every_method_without_implementation_is_unimplemented_with_a_sentence() -> None:
    async with serving({}) as channel:
        for name in METHODS:
            error = await failure(raw(channel, name, b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            assert name.rpartition("/")[2] in (error.details() or "")


async def test_authentication_metadata_is_unimplemented_while_it_is_off() -> None:
    async with serving({}) as channel:
        stub = auth_pb2_grpc.AuthMetadataServiceStub(channel)
        error = await failure(stub.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest()))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_unknown_path_is_unimplemented() -> None:
    async with serving({}) as channel:
        for path in ("/flyteidl.service.AdminService/Nothing", "/x/y", "/x"):
            assert (await failure(raw(channel, path, b""))).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\x12\x01\xff"])
async def test_bytes_that_are_no_request_are_invalid(data: bytes) -> None:
    async with serving({GET_TASK: raising(AssertionError("must not be called"))}) as channel:
        assert (await failure(raw(channel, GET_TASK, data))).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_any_bytes_end_with_ok_or_invalid_argument() -> None:
    async def get_task(request: ObjectGetRequest, _context: CallContext) -> Task:
        return Task(id=request.id)

    loop = asyncio.get_running_loop()
    async with serving({GET_TASK: get_task}) as channel:

        @given(st.binary(max_size=200))
        @settings(max_examples=50, deadline=None)
        def check(data: bytes) -> None:
            async def call() -> grpc.StatusCode:
                try:
                    await raw(channel, GET_TASK, data)
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

            code = asyncio.run_coroutine_threadsafe(call(), loop).result(10)
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)

        await asyncio.to_thread(check)


async def test_a_request_above_the_limit_is_resource_exhausted() -> None:
    async with serving({GET_TASK: raising(AssertionError())}, max_message_bytes=1000) as channel:
        error = await failure(raw(channel, GET_TASK, b"\x12" + b"x" * 2000))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_response_above_the_limit_is_resource_exhausted() -> None:
    async def get_task(_request: ObjectGetRequest, _context: CallContext) -> Task:
        return Task(short_description="x" * 2000)

    async with serving({GET_TASK: get_task}, max_message_bytes=1000) as channel:
        assert (await failure(raw(channel, GET_TASK, b""))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_health_is_serving_for_the_names_probes_use_and_not_after_stop_began() -> None:
    server = RpcServer(RpcSettings(port=0), "registry", {})
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "flyteadmin", "flyteidl.service.AdminService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="flyteadmin"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(server.stop(1))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await stopping


async def test_reflection_gives_all_a_client_needs_to_call_any_method() -> None:
    request = reflection_pb2.ServerReflectionRequest
    async with serving({}) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        async def ask(question: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
            return await anext(aiter(stub.ServerReflectionInfo(iter([question]))))

        listed = await ask(request(list_services=""))
        names = {service.name for service in listed.list_services_response.service}
        assert {"flyteidl.service.AdminService", "flyteidl.service.SignalService", "grpc.health.v1.Health"} <= names
        answer = await ask(request(file_containing_symbol="flyteidl.service.AdminService"))
        files: dict[str, FileDescriptorProto] = {}
        wanted = [
            FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        while wanted:
            file = wanted.pop()
            files[file.name] = file
            for name in set(file.dependency) - files.keys():
                answer = await ask(request(file_by_filename=name))
                found = answer.file_descriptor_response.file_descriptor_proto
                assert found, f"{name} cannot be had"
                wanted.extend(FileDescriptorProto.FromString(data) for data in found)
    pool = DescriptorPool()
    ordered = dict(files)
    while ordered:
        ready = [file for file in ordered.values() if not set(file.dependency) & ordered.keys()]
        for file in ready:
            pool.Add(ordered.pop(file.name))
    service = pool.FindServiceByName("flyteidl.service.AdminService")
    assert "GetTask" in service.methods_by_name


async def test_frequent_pings_without_calls_do_not_close_the_connection() -> None:
    async def get_version(_request: GetVersionRequest, _context: CallContext) -> GetVersionResponse:
        return GetVersionResponse()

    server = RpcServer(RpcSettings(port=0), "execution", {GET_VERSION: get_version})
    port = await server.start()
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        await raw(channel, GET_VERSION, b"")
        changed = asyncio.ensure_future(channel.wait_for_state_change(grpc.ChannelConnectivity.READY))
        _, pending = await asyncio.wait({changed}, timeout=1.5)
        assert pending, "the server closed a connection that only pinged"
        changed.cancel()
        await raw(channel, GET_VERSION, b"")
    await server.stop(0)


async def test_a_method_of_another_service_is_refused_at_start_up() -> None:
    with pytest.raises(ValueError, match="belongs to registry"):
        RpcServer(RpcSettings(port=0), "execution", {GET_TASK: raising(AssertionError())})
    with pytest.raises(ValueError, match="belongs to no service"):
        RpcServer(RpcSettings(port=0), "execution", {"/x/y": raising(AssertionError())})
    with pytest.raises(ValueError, match="nobody"):
        RpcServer(RpcSettings(port=0, forward={"nobody": "127.0.0.1:1"}), "execution", {})


async def test_a_taken_port_is_an_error() -> None:
    first = RpcServer(RpcSettings(port=0), "registry", {})
    port = await first.start()
    try:
        with pytest.raises(OSError, match=str(port)):
            await RpcServer(RpcSettings(port=port), "registry", {}).start()
    finally:
        await first.stop(0)


async def test_calls_are_counted_by_method_and_code() -> None:
    def count(code: str) -> float:
        labels = {"method": "AdminService/GetTask", "code": code}
        return REGISTRY.get_sample_value("flightlog_rpc_requests_total", labels) or 0.0

    before = count("ALREADY_EXISTS")
    async with serving({GET_TASK: raising(already_exists("there"))}) as channel:
        await failure(raw(channel, GET_TASK, b""))
    assert count("ALREADY_EXISTS") == before + 1


async def test_a_call_its_client_gave_up_is_cancelled_inside_too() -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def get_task(_request: ObjectGetRequest, _context: CallContext) -> Task:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return Task()

    async with serving({GET_TASK: get_task}) as channel:
        call = asyncio.ensure_future(raw(channel, GET_TASK, b"", timeout=30))
        await asyncio.wait_for(entered.wait(), 5)
        call.cancel()
        await asyncio.wait_for(left.wait(), 5)


def test_this_file_covers_methods_of_both_owners() -> None:
    assert {OWNERS[GET_TASK], OWNERS[GET_VERSION]} == {"registry", "execution"}
