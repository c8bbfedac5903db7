"""Two of each service behind the edge, as the production overlay has them: what one was told the other knows, and one
that is killed is not missed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import execution_pb2 as core
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import admin_pb2_grpc

from flightlog_cli.embedded.child import Child, Program
from flightlog_cli.generate import SERVING
from flightlog_cli.stack_process import StackProcess

from .nginx import Nginx, free_port

WORKFLOWS = Path(__file__).parents[1] / "flytekit" / "workflows"
RUNS = 16
AT_ONCE = 8
# What the killed one had in hand goes to the other one then; all processes need the same.
TAKEOVER = {"FLIGHTLOG_LOG__TAKEOVER_SECONDS": "2"}


def second(name: str, stack: StackProcess, folder: Path, port: int) -> Child:
    """Another process of a service, on the stack's servers."""
    at, credentials = stack.endpoints, stack.endpoints["credentials"]
    ready_file = folder / f"{name}.ready"
    environment = {
        "FLIGHTLOG_LOG__NATS_URL": at["nats"],
        "FLIGHTLOG_LOG__USER": credentials["nats_user"],
        "FLIGHTLOG_LOG__PASSWORD": credentials["nats_password"],
        "FLIGHTLOG_BLOBS__DRIVER": "directory",
        "FLIGHTLOG_BLOBS__BUCKET": at["bucket"],
        "FLIGHTLOG_BLOBS__ENDPOINT": at["s3"],
        "FLIGHTLOG_BLOBS__ACCESS_KEY": credentials["s3_access_key"],
        "FLIGHTLOG_BLOBS__SECRET_KEY": credentials["s3_secret_key"],
        "FLIGHTLOG_BLOBS__DIRECTORY": at["object_directory"],
        "FLIGHTLOG_DATABASE__DSN": at["postgres"],
        "FLIGHTLOG_RPC__PORT": str(port),
        "FLIGHTLOG_READY_FILE": str(ready_file),
        **TAKEOVER,
    }

    async def ready(pid: int) -> bool:
        try:
            return json.loads(ready_file.read_text())["pid"] == pid
        except (OSError, ValueError):
            return False

    command = (sys.executable, "-P", "-m", f"services.{name}")
    path = os.pathsep.join(part for part in sys.path if part)
    return Child(
        Program(
            name=f"second {name}",
            command=command,
            log=folder / f"{name}.log",
            ready=ready,
            environment={**os.environ, "PYTHONPATH": path, **environment},
            start_seconds=120.0,
        )
    )


@pytest.fixture
def own_python_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with StackProcess(tmp_path_factory.mktemp("own-stack"), environment=TAKEOVER) as running:
        yield running


@pytest.fixture
def places(own_python_stack: StackProcess) -> dict[str, tuple[int, int]]:
    """Ports of the first and the second process of each service."""
    first = json.loads((own_python_stack.data / "ports.json").read_text())
    public = int(own_python_stack.grpc.rpartition(":")[2])
    return {name: (public if name == "execution" else first[f"{name}.grpc"], free_port()) for name in SERVING}


@pytest.fixture
async def seconds(
    own_python_stack: StackProcess, places: dict[str, tuple[int, int]], tmp_path: Path
) -> AsyncIterator[dict[str, Child]]:
    async with AsyncExitStack() as stack:
        children = {name: second(name, own_python_stack, tmp_path, ports[1]) for name, ports in places.items()}
        for child in children.values():
            stack.push_async_callback(child.stop)
        await asyncio.gather(*(child.start() for child in children.values()))
        yield children


@pytest.fixture
def edge(nginx_program: str, places: dict[str, tuple[int, int]], tmp_path: Path) -> Iterator[Nginx]:
    folder = tmp_path / "edge"
    folder.mkdir()
    both = {name: f"127.0.0.1:{first}; server 127.0.0.1:{other}" for name, (first, other) in places.items()}
    started = Nginx(nginx_program, folder, both)
    started.start()
    yield started
    started.stop()


async def test_two_of_each_serve_as_one(own_python_stack: StackProcess, seconds: dict[str, Child], edge: Nginx) -> None:
    registered = await asyncio.to_thread(
        subprocess.run,
        [Path(sys.executable).with_name("pyflyte"), "register", "basics.py", "--version", "1", *PLACE],
        cwd=WORKFLOWS,
        env={**os.environ, **own_python_stack.client_environment, "FLYTE_PLATFORM_URL": edge.address}
        | NO_CONFIGURATION,
        capture_output=True,
        text=True,
        check=False,
    )
    assert registered.returncode == 0, registered.stdout + registered.stderr
    async with grpc.aio.insecure_channel(edge.address) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        gate = asyncio.Semaphore(AT_ONCE)
        halfway = asyncio.Event()
        done = 0

        async def one(number: int) -> Any:
            nonlocal done
            async with gate:
                made = await patiently(admin.CreateExecution, request(number))
                # Whichever of the two is asked, it knows what the other has just said.
                found = await patiently(admin.GetExecution, execution_pb2.WorkflowExecutionGetRequest(id=made.id))
                assert found.id == made.id
                ended = await end(admin, made.id)
                done += 1
                if done == RUNS // 3:
                    halfway.set()
                return ended

        runs = [asyncio.ensure_future(one(number)) for number in range(RUNS)]
        await asyncio.wait_for(halfway.wait(), 300)
        await seconds["execution"].kill()
        await seconds["registry"].kill()
        ended = await asyncio.gather(*runs)
        assert {run.closure.phase for run in ended} == {core.WorkflowExecution.SUCCEEDED}
        ids = common_pb2.NamedEntityIdentifier(project="flytesnacks", domain="development")
        listed = await patiently(admin.ListExecutions, common_pb2.ResourceListRequest(id=ids, limit=100))
        assert {run.id.name for run in listed.executions} == {f"run{number}" for number in range(RUNS)}


PLACE = ("--project", "flytesnacks", "--domain", "development")
NO_CONFIGURATION = {"FLYTECTL_CONFIG": os.devnull, "FLYTE_SDK_LOGGING_LEVEL": "50"}


def request(number: int) -> execution_pb2.ExecutionCreateRequest:
    plan = identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN,
        project="flytesnacks",
        domain="development",
        name="basics.twice",
        version="1",
    )
    value = literals_pb2.Literal(
        scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=number)),
    )
    return execution_pb2.ExecutionCreateRequest(
        project="flytesnacks",
        domain="development",
        name=f"run{number}",
        spec=execution_pb2.ExecutionSpec(launch_plan=plan),
        inputs=literals_pb2.LiteralMap(literals={"x": value}),
    )


async def patiently(method: Any, asked: Any) -> Any:
    """A call as clients make it: what was unavailable is asked again, and what was done already counts."""
    while True:
        try:
            return await method(asked, timeout=60)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                name = core_id(asked)
                return execution_pb2.ExecutionCreateResponse(id=name)
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.1)


def core_id(asked: execution_pb2.ExecutionCreateRequest) -> identifier_pb2.WorkflowExecutionIdentifier:
    return identifier_pb2.WorkflowExecutionIdentifier(project=asked.project, domain=asked.domain, name=asked.name)


async def end(admin: Any, name: identifier_pb2.WorkflowExecutionIdentifier) -> Any:
    """The execution once it has ended."""
    over = (core.WorkflowExecution.SUCCEEDED, core.WorkflowExecution.FAILED, core.WorkflowExecution.ABORTED)
    async with asyncio.timeout(300):
        while True:
            found = await patiently(admin.GetExecution, execution_pb2.WorkflowExecutionGetRequest(id=name))
            if found.closure.phase in over:
                return found
            await asyncio.sleep(0.1)
