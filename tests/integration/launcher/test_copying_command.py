"""The command that copies the data of raw containers, as it runs in pods and around programs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from flyteidl.core import errors_pb2, execution_pb2, interface_pb2, literals_pb2, types_pb2
from flytekit.core.type_engine import TypeEngine
from flytekit.types.file import FlyteFile

from flightlog_blobs import BlobSettings, BlobStore
from services.k8s_launcher.copying.interfaces import encoded
from services.k8s_launcher.copying.programs import hidden_from_program


@pytest_asyncio.fixture(loop_scope="session")
async def s3(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings.model_copy(update={"driver": "s3"}))
    yield store
    await store.close()


@pytest.fixture
def prefix(blob_settings: BlobSettings) -> str:
    return f"s3://{blob_settings.bucket}/tests/{uuid4().hex}"


def interface(**kinds: Any) -> interface_pb2.TypedInterface:
    """Outputs by name and Python type."""
    made = interface_pb2.TypedInterface()
    for name, kind in kinds.items():
        found = kind if isinstance(kind, types_pb2.LiteralType) else TypeEngine.to_literal_type(kind).to_flyte_idl()
        made.outputs.variables[name].type.CopyFrom(found)
    return made


def variables(literals: literals_pb2.LiteralMap) -> interface_pb2.VariableMap:
    return interface_pb2.VariableMap(variables={name: interface_pb2.Variable() for name in literals.literals})


def environment(settings: BlobSettings, **changed: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FLIGHTLOG_BLOBS__ENDPOINT": settings.endpoint,
        "FLIGHTLOG_BLOBS__BUCKET": settings.bucket,
        "FLIGHTLOG_BLOBS__REGION": settings.region,
        "FLIGHTLOG_BLOBS__ACCESS_KEY": settings.access_key,
        "FLIGHTLOG_BLOBS__SECRET_KEY": settings.secret_key.get_secret_value(),
        **changed,
    }


async def command(environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "services.k8s_launcher.copying", *arguments),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
    )


async def there(path: Path, process: asyncio.subprocess.Process) -> None:
    """Wait for a file, for as long as the process lives that is to make it."""
    while not await asyncio.to_thread(path.exists):
        assert process.returncode is None
        await asyncio.sleep(0.02)


async def error_of(store: BlobStore, prefix: str) -> errors_pb2.ContainerError:
    return errors_pb2.ErrorDocument.FromString(await store.get(f"{prefix}/out/error.pb")).error


def collecting(prefix: str, folder: Path, kinds: interface_pb2.TypedInterface, ready: Path) -> list[str]:
    return [
        *("collect", "--to-output-prefix", f"{prefix}/out", "--to-raw-output", f"{prefix}/raw"),
        *("--from-local-dir", str(folder), "--interface", encoded(kinds), "--ready-file", str(ready)),
    ]


def missing(prefix: str) -> literals_pb2.LiteralMap:
    literals = literals_pb2.LiteralMap()
    literals.literals["file"].scalar.blob.uri = f"{prefix}/missing"
    return literals


def downloading(prefix: str, folder: Path, literals: literals_pb2.LiteralMap) -> list[str]:
    return [
        *("download", "--from-remote", f"{prefix}/inputs.pb", "--to-output-prefix", f"{prefix}/out"),
        *("--to-local-dir", str(folder / "in"), "--format", "JSON"),
        *("--input-interface", encoded(variables(literals))),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def nobody_there(
    blob_settings: BlobSettings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A download from an object store that is away. It gives up after some seconds, while other tests run."""
    prefix = f"s3://{blob_settings.bucket}/tests/nobody-there"
    away = environment(blob_settings, FLIGHTLOG_BLOBS__ENDPOINT="http://127.0.0.1:9")
    folder = tmp_path_factory.mktemp("nobody-there")
    process = await command(away, *downloading(prefix, folder, missing(prefix)), "--patience", "0")
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_outputs_are_collected_when_the_container_has_ended(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    process = await command(environment(blob_settings), *collecting(prefix, tmp_path, interface(x=int), ready))
    await there(ready, process)
    (tmp_path / "x").write_text("5")
    process.send_signal(signal.SIGTERM)
    _, printed = await process.communicate()
    assert (process.returncode, printed) == (0, b"")
    outputs = literals_pb2.LiteralMap.FromString(await s3.get(f"{prefix}/out/outputs.pb"))
    assert outputs.literals["x"].scalar.primitive.integer == 5


async def test_the_programs_own_error_is_the_tasks(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "_ERROR").write_text("the data is bad\n")
    ready = tmp_path / "ready"
    process = await command(environment(blob_settings), *collecting(prefix, tmp_path, interface(x=int), ready))
    await there(ready, process)
    process.send_signal(signal.SIGTERM)
    _, printed = await process.communicate()
    assert process.returncode == 0
    assert b"the data is bad" in printed
    error = await error_of(s3, prefix)
    assert (error.code, error.message) == ("UserError", "the data is bad")
    assert error.kind == errors_pb2.ContainerError.NON_RECOVERABLE
    assert error.origin == execution_pb2.ExecutionError.USER
    assert await s3.get_or_none(f"{prefix}/out/outputs.pb") is None


async def test_failing_to_download_is_written_down(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    literals = missing(prefix)
    await s3.put(f"{prefix}/inputs.pb", literals.SerializeToString())
    process = await command(environment(blob_settings), *downloading(prefix, tmp_path, literals))
    _, printed = await process.communicate()
    assert process.returncode == 65
    assert b"InputDownloadFailed" in printed
    error = await error_of(s3, prefix)
    assert error.code == "InputDownloadFailed"
    assert error.kind == errors_pb2.ContainerError.RECOVERABLE

    # Kubernetes ends the sidecar too, which has nothing to add.
    ready = tmp_path / "ready"
    beside = await command(environment(blob_settings), *collecting(prefix, tmp_path, interface(x=int), ready))
    await there(ready, beside)
    beside.send_signal(signal.SIGTERM)
    await beside.communicate()
    assert beside.returncode == 0
    assert (await error_of(s3, prefix)).code == "InputDownloadFailed"


def around(prefix: str, folder: Path, kinds: interface_pb2.TypedInterface, *program: str) -> list[str]:
    return [
        *("run", "--to-output-prefix", f"{prefix}/out", "--to-raw-output", f"{prefix}/raw"),
        *("--to-local-dir", str(folder / "in"), "--from-local-dir", str(folder / "out")),
        *("--interface", encoded(kinds), "--", *program),
    ]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -9 $$", -9), ("kill -TERM $$", -15), ("touch out/x; exit 1", 1)]
)
async def test_a_program_that_fails_ends_as_it_did(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path, script: str, code: int
) -> None:
    program = ("sh", "-c", f"cd {tmp_path}; {script}")
    process = await command(environment(blob_settings), *around(prefix, tmp_path, interface(x=FlyteFile), *program))
    await process.communicate()
    assert process.returncode == code
    assert await s3.entries(f"{prefix}/out") == []


async def test_a_program_that_is_not_there_is_told(blob_settings: BlobSettings, prefix: str, tmp_path: Path) -> None:
    process = await command(environment(blob_settings), *around(prefix, tmp_path, interface(), "/no/such/tool"))
    _, printed = await process.communicate()
    assert (process.returncode, printed) == (127, b"/no/such/tool: No such file or directory\n")


async def test_a_program_decides_what_its_end_is_when_it_is_told_to_end(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    script = f"trap 'echo 5 > {tmp_path}/out/x; exit 0' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    arguments = around(prefix, tmp_path, interface(x=int), "sh", "-c", script)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "services.k8s_launcher.copying", *arguments),
        env=environment(blob_settings),
        start_new_session=True,
    )
    await there(tmp_path / "ready", process)
    os.killpg(process.pid, signal.SIGTERM)
    assert await process.wait() == 0
    outputs = literals_pb2.LiteralMap.FromString(await s3.get(f"{prefix}/out/outputs.pb"))
    assert outputs.literals["x"].scalar.primitive.integer == 5


async def test_a_program_has_its_own_variables_and_not_ours(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    own = {"PATH": os.environ["PATH"], "FLIGHTLOG_OF_THE_TASK": "1", "FLIGHTLOG_BLOBS__BUCKET": "the task's"}
    for_us = {key: value for key, value in environment(blob_settings).items() if key != "PATH"}
    script = f"env > {tmp_path}/out/x"
    process = await command(
        hidden_from_program(for_us, own), *around(prefix, tmp_path, interface(x=str), "sh", "-c", script)
    )
    await process.communicate()
    assert process.returncode == 0
    outputs = literals_pb2.LiteralMap.FromString(await s3.get(f"{prefix}/out/outputs.pb"))
    seen = dict(line.split("=", 1) for line in outputs.literals["x"].scalar.primitive.string_value.splitlines())
    assert {name: value for name, value in seen.items() if name not in ("PWD", "SHLVL", "_", "OLDPWD")} == own


async def test_an_object_store_that_is_away_is_waited_for(
    s3: BlobStore, blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    host, _, port = blob_settings.endpoint.removeprefix("http://").partition(":")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        own = held.getsockname()[1]
    away = environment(blob_settings, FLIGHTLOG_BLOBS__ENDPOINT=f"http://127.0.0.1:{own}")
    process = await command(away, *around(prefix, tmp_path, interface(x=str), "sh", "-c", f"echo 5 > {tmp_path}/out/x"))
    assert process.stderr is not None
    assert b"does not answer" in await process.stderr.readline()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store_reader, store_writer = await asyncio.open_connection(host, int(port))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
            target.close()

        await asyncio.gather(copy(reader, store_writer), copy(store_reader, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", own):
        assert await process.wait() == 0
    outputs = literals_pb2.LiteralMap.FromString(await s3.get(f"{prefix}/out/outputs.pb"))
    assert outputs.literals["x"].scalar.primitive.string_value == "5"


async def test_an_object_store_that_refuses_is_not_asked_again(
    blob_settings: BlobSettings, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("5")
    arguments = around(prefix, tmp_path, interface(x=str), "sh", "-c", f"echo 5 > {tmp_path}/out/x")
    process = await command(environment(blob_settings, FLIGHTLOG_BLOBS__SECRET_KEY="wrong"), *arguments)
    _, printed = await process.communicate()
    assert process.returncode == 1
    assert b"403" in printed
    assert b"does not answer" not in printed


async def test_what_can_be_written_nowhere_is_printed(
    nobody_there: asyncio.subprocess.Process, blob_settings: BlobSettings
) -> None:
    """Kubernetes shows it as the container's message."""
    _, printed = await nobody_there.communicate()
    assert nobody_there.returncode == 1
    assert b"could not be written" in printed
    assert blob_settings.secret_key.get_secret_value().encode() not in printed
