"""The command line of what copies the data of raw containers; `__main__` says what it is for."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from flyteidl.core import interface_pb2, tasks_pb2
from pydantic_settings import BaseSettings, SettingsConfigDict

from flightlog_blobs import BlobError, BlobMissing, BlobRefused, BlobSettings, BlobStore, BlobTooLarge
from services.k8s_launcher.copying.collecting import collect
from services.k8s_launcher.copying.downloading import download
from services.k8s_launcher.copying.failures import FAILED_EXIT_CODE, INPUTS, OUTPUTS, CopyingFailed
from services.k8s_launcher.copying.interfaces import decoded
from services.k8s_launcher.copying.programs import run_program

_DOWNLOAD_SECONDS: Final = 3600.0


class _Settings(BaseSettings):
    """Variables of the services that this command needs."""

    model_config = SettingsConfigDict(env_prefix="FLIGHTLOG_", env_nested_delimiter="__", extra="ignore")

    blobs: BlobSettings


def main(terminated: list[int], arguments: Sequence[str] | None = None) -> None:
    """Entry of the process. `terminated` grows with each SIGTERM that has come so far."""
    options = parser().parse_args(arguments)
    if options.command != "collect":
        # The first process of a container is not ended by a signal that it leaves to the system.
        signal.signal(signal.SIGTERM, _exit if os.getpid() == 1 else signal.SIG_DFL)
        if terminated:
            os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(asyncio.run(_run(options, terminated)))


def _exit(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


async def _run(options: argparse.Namespace, terminated: list[int]) -> int:
    blobs = BlobStore.open(_Settings().blobs)  # pyright: ignore[reportCallIssue]  # filled from the environment
    try:
        match options.command:
            case "download":
                return await _download(blobs, options)
            case "collect":
                await _until_terminated(terminated, options.ready_file)
                # Written is what it was, so all is said; the pod's end is the container's.
                return 0 if await _collect(blobs, options) in (0, FAILED_EXIT_CODE) else 1
            case _:
                return await _around(blobs, options)
    finally:
        await blobs.close()


async def _around(blobs: BlobStore, options: argparse.Namespace) -> int:
    failed = await _download(blobs, options) if options.from_remote else 0
    if failed:
        return failed
    folder = Path(options.from_local_dir)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    code = await run_program(options.program, os.environ)
    return await _collect(blobs, options) if code == 0 and options.interface.outputs.variables else code


async def _download(blobs: BlobStore, options: argparse.Namespace) -> int:
    async def work() -> None:
        await download(
            blobs,
            inputs_uri=options.from_remote,
            interface=options.input_interface,
            folder=Path(options.to_local_dir),
            form=options.format,
        )

    return await _told(blobs, options.to_output_prefix, INPUTS, work, _DOWNLOAD_SECONDS, options.patience)


async def _collect(blobs: BlobStore, options: argparse.Namespace) -> int:
    async def work() -> None:
        if await blobs.stat(_error_uri(options.to_output_prefix)) is not None:
            return  # there were no inputs, so there can be no outputs, and that is known already
        await collect(
            blobs,
            folder=Path(options.from_local_dir),
            interface=options.interface,
            raw_prefix=options.to_raw_output,
            output_prefix=options.to_output_prefix,
        )

    return await _told(blobs, options.to_output_prefix, OUTPUTS, work, options.timeout, options.patience)


async def _told(
    blobs: BlobStore,
    output_prefix: str,
    code: str,
    work: Callable[[], Awaitable[None]],
    seconds: float,
    patience: float,
) -> int:
    """Do the work; what fails goes to the attempt's error document, and is printed for the pod's log."""
    try:
        async with asyncio.timeout(seconds):
            await _patiently(work, patience)
        return 0
    except CopyingFailed as error:
        failure = error
    except TimeoutError:
        failure = CopyingFailed(code, f"copying took more than {seconds:.0f} seconds", system=True)
    except (BlobError, OSError) as error:
        failure = CopyingFailed(code, str(error), system=True)
    _print(f"{failure.code}: {failure.message}")

    async def tell() -> None:
        await blobs.put(_error_uri(output_prefix), failure.document().SerializeToString())

    try:
        await _patiently(tell, patience)
    except BlobError as error:
        _print(f"this could not be written to the object store: {error}")
        return 1
    return FAILED_EXIT_CODE


async def _patiently(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do the work, and do it again while the object store is away: what a program has made in hours is worth it."""
    loop = asyncio.get_running_loop()
    deadline, delay = loop.time() + seconds, 1.0
    while True:
        try:
            await work()
            return
        except (BlobRefused, BlobMissing, BlobTooLarge):
            raise
        except BlobError as error:
            if loop.time() + delay > deadline:
                raise
            _print(f"the object store does not answer, again in {delay:.0f} s: {error}")
        await asyncio.sleep(delay)
        delay = min(delay * 2, 30.0)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _error_uri(output_prefix: str) -> str:
    return f"{output_prefix.rstrip('/')}/error.pb"


async def _until_terminated(terminated: list[int], ready_file: str) -> None:
    came = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, came.set)
    if terminated:
        came.set()
    if ready_file:
        await asyncio.to_thread(Path(ready_file).touch)
    await came.wait()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="copying", description="Copies the inputs and outputs of a raw container.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("download", "collect", "run"):
        command = commands.add_parser(name)
        command.add_argument("--to-output-prefix", required=True, help="where outputs.pb and error.pb go")
        command.add_argument(
            "--patience", type=float, default=900.0, help="seconds to go on for while the object store is away"
        )
        if name != "collect":
            command.add_argument("--from-remote", default="", help="address of inputs.pb")
            command.add_argument("--to-local-dir", required=True, help="folder of the inputs")
            command.add_argument("--format", type=_format, default=tasks_pb2.DataLoadingConfig.JSON)
            command.add_argument("--input-interface", type=_variables, default=interface_pb2.VariableMap())
        if name != "download":
            command.add_argument("--to-raw-output", required=True, help="where files go")
            command.add_argument("--from-local-dir", required=True, help="folder of the outputs")
            command.add_argument("--interface", type=_interface, default=interface_pb2.TypedInterface())
            command.add_argument("--timeout", type=float, default=3600.0, help="seconds for the outputs")
        if name == "collect":
            command.add_argument("--ready-file", default="", help="made when SIGTERM would be noticed")
        if name == "run":
            command.add_argument("program", nargs="+", help="after `--`")
    return parser


def _format(name: str) -> int:
    return tasks_pb2.DataLoadingConfig.LiteralMapFormat.Value(name)


def _variables(text: str) -> interface_pb2.VariableMap:
    return decoded(interface_pb2.VariableMap, text)


def _interface(text: str) -> interface_pb2.TypedInterface:
    return decoded(interface_pb2.TypedInterface, text)
