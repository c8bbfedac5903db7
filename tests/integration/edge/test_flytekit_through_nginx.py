"""Unmodified flytekit behind nginx: the services of a running stack, each asked at its own port, as in production."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from flyteidl.admin import project_pb2, task_pb2
from flyteidl.service import admin_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from flightlog_rpc import METHODS, SERVED
from flightlog_rpc import OWNERS as OWNER_OF

from .nginx import Nginx

WORKFLOWS = Path(__file__).parents[1] / "flytekit" / "workflows"
MIB = 1024 * 1024
# It looks every 30 s by itself.
WAITING = ("--remote", "--wait", "--poll-interval", "1")


@pytest.fixture(scope="module")
def edge(nginx_program: str, stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The edge in front of the shared stack's services."""
    ports = json.loads((stack.data / "ports.json").read_text())
    places = {name: f"127.0.0.1:{ports[f'{name}.grpc']}" for name in ("registry", "catalog", "scheduler", "history")}
    started = Nginx(nginx_program, tmp_path_factory.mktemp("edge"), {**places, "execution": stack.grpc})
    started.start()
    yield started
    started.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def channel(edge: Nginx) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(
        edge.address, options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    ) as opened:
        yield opened


async def test_every_served_method_is_answered_by_the_service_that_serves_it(channel: grpc.aio.Channel) -> None:
    """Only the execution service forwards: a call that came to the wrong one would be UNIMPLEMENTED."""
    wrong: dict[str, str] = {}
    for name in sorted(SERVED):
        method = METHODS[name]
        codec = method.request.SerializeToString, method.response.FromString
        try:
            if method.server_streaming:
                # A stream that has begun came to whoever serves it; some never end.
                stream = channel.unary_stream(name, *codec)(method.request(), timeout=60)
                await stream.read()
                stream.cancel()
            else:
                await channel.unary_unary(name, *codec)(method.request(), timeout=60)
        except grpc.aio.AioRpcError as error:
            owner = dict(error.trailing_metadata() or ()).get("flightlog-service")
            if error.code() is grpc.StatusCode.UNIMPLEMENTED or owner != OWNER_OF[name]:
                wrong[name] = f"{error.code()} {error.details()} ({owner})"
    assert not wrong


async def test_health_and_reflection_answer_at_the_edge(channel: grpc.aio.Channel) -> None:
    health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="flyteadmin"))
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked)
    listed = {found.name for found in (await answers.read()).list_services_response.service}
    assert {method.service for method in METHODS.values()} <= listed


async def test_large_messages_reach_the_services(channel: grpc.aio.Channel) -> None:
    """A description of 10 MiB is more than gRPC takes by itself; the service sees all of it, and judges it."""
    admin = admin_pb2_grpc.AdminServiceStub(channel)
    request = task_pb2.TaskCreateRequest()
    request.id.project, request.id.domain, request.id.name, request.id.version = "nowhere", "development", "t", "1"
    request.spec.template.container.args.append("x" * (10 * MIB))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await admin.CreateTask(request, timeout=60)
    assert dict(refused.value.trailing_metadata() or ())["flightlog-service"] == "registry"
    assert refused.value.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED
    projects = await admin.ListProjects(project_pb2.ProjectListRequest(), timeout=60)
    assert "flytesnacks" in {project.id for project in projects.projects}


async def test_pyflyte_registers_runs_and_reads_through_the_edge(
    edge: Nginx, flyte_environment: dict[str, str]
) -> None:
    environment = flyte_environment | {"FLYTE_PLATFORM_URL": edge.address}
    run = await asyncio.to_thread(
        subprocess.run,
        [Path(sys.executable).with_name("pyflyte"), "run", *WAITING, "basics.py", "chain", "--x", "3"],
        cwd=WORKFLOWS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "has succeeded" in run.stdout
