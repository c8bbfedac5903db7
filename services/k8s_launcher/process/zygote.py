"""A Python process with flytekit loaded, which forks a task process per order: no task pays for the imports again.

Runs as a script under the Python environment that runs the tasks: `<python> zygote.py <socket> <module>…`. It reads
orders from the socket, one JSON object a line, and hands each to a shepherd (see `shepherd`), which forks the task.
One such pair is always made ahead: it has paid for both forks and holds an S3 client when the order comes, and serves
that one order only. The zygote ends when the launcher closes the socket; the shepherds and their tasks go on.

The task's process calls the very click commands that the console scripts of flytekit call, with the arguments of the
container. Only `pyflyte-fast-execute` is different: it would start another Python for the task after fetching the
code, so its two steps are taken here in one process (fetch by flytekit's own function, then the inner command with the
arguments that flytekit inserts).

What a fork cannot have: variables that matter only when a process starts (`needs_own_process`), and another version of
a module already loaded here.

It imports nothing of ours but the shepherd beside it, because the environment may not have us.
"""

# Every task pays for what is imported and built here, hence plain os calls.
# ruff: noqa: PTH108, PTH109, PTH111, PTH112, PTH118, PTH119

from __future__ import annotations

import sys

# Python puts the script's directory first; names in there must not shadow a user's modules.
_HERE = sys.path.pop(0) if __name__ == "__main__" else ""

import contextlib  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import select  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402
from collections.abc import Mapping  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

if TYPE_CHECKING:
    from services.k8s_launcher.process import shepherd
else:
    _spec = importlib.util.spec_from_file_location("_flightlog_shepherd", os.path.join(_HERE, "shepherd.py"))
    shepherd = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(shepherd)

_FAST_EXECUTE = "pyflyte-fast-execute"
_COMMANDS = {
    "pyflyte-execute": "execute_task_cmd",
    "pyflyte-map-execute": "map_execute_task_cmd",
    _FAST_EXECUTE: "fast_execute_task_cmd",
}


def main(descriptor: int, modules: list[str]) -> None:
    """Load the modules, say so, then have orders carried out until the socket closes."""
    connection = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    try:
        missing = _load(modules)
    except BaseException:  # noqa: BLE001 (a broken environment may raise anything; the launcher tells the user)
        connection.sendall(_line({"failed": traceback.format_exc()}))
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended shepherds leave nothing behind
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # a collection in a fork would otherwise touch, hence copy, every page
    connection.sendall(_line({"ready": True, "missing": missing}))
    _serve(connection)


def _serve(connection: socket.socket) -> None:
    """Hand orders to shepherds, and say of each when its shepherd has answered, or cannot any more."""
    pending = b""
    busy: dict[int, tuple[socket.socket, int]] = {}
    spare = _new_shepherd(connection, busy)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll(None if spare is not None else 0) or [(-1, 0)]:
            if descriptor == connection.fileno():
                received = connection.recv(1 << 16)
                if not received:
                    return
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    chosen, spare = spare or _new_shepherd(connection, busy), None
                    # A dead one's socket closes, which is told below; the launcher orders again.
                    with contextlib.suppress(BrokenPipeError):
                        chosen.sendall(line + b"\n")
                    busy[chosen.fileno()] = (chosen, json.loads(line)["id"])
                    poll.register(chosen, 0)  # to hear of its end
            elif descriptor in busy:
                shepherds_end, number = busy.pop(descriptor)
                poll.unregister(descriptor)
                shepherds_end.close()
                connection.sendall(_line({"id": number, "over": True}))
            else:
                # Only now, with no order waiting: who waits goes first.
                spare = _new_shepherd(connection, busy)


def _new_shepherd(connection: socket.socket, busy: dict[int, tuple[socket.socket, int]]) -> socket.socket:
    """Fork a shepherd that waits for its order on the socket returned."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        try:
            ours.close()
            for other, _ in busy.values():
                other.close()
            _tend(theirs, connection)
        finally:
            os._exit(0)
    theirs.close()
    return ours


def _load(modules: list[str]) -> list[str]:
    """Import what tasks will need. The first module must be there; of the others the missing ones are returned."""
    for name in modules[:1]:
        importlib.import_module(name)
    missing: list[str] = []
    for name in modules[1:]:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    for name, warm in (("flytekit", _warm_flytekit), ("s3fs", _warm_object_store)):
        if name in sys.modules:
            try:
                warm()
            except Exception:  # noqa: BLE001 (another version than we know: tasks will run, but start later)
                traceback.print_exc()
    # Threads started by an import would not exist in the forks; what they hold would stay locked there.
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        raise RuntimeError(f"a pre-imported module started threads ({', '.join(names)}); take it off the list")
    return missing


def _warm_flytekit() -> None:
    """What flytekit loads and compiles when the first task is defined."""
    import dataclasses

    from flytekit.core.docstring import Docstring
    from flytekit.core.type_engine import TypeEngine

    TypeEngine.lazy_import_transformers()  # it looks again at every use, so modules loaded later are seen
    Docstring(docstring="Words.")
    # For the first data class it builds a generator of schemas, which takes longer than a small task runs.
    TypeEngine.to_literal_type(dataclasses.make_dataclass("Warm", [("x", int)]))
    importlib.import_module("flytekit.configuration.plugin")


def _warm_object_store() -> None:
    """Use an S3 client once: what it parses and compiles first is there for all tasks, which share the descriptions."""
    import asyncio
    import mimetypes

    import botocore.session
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession
    from botocore.loaders import create_loader

    mimetypes.init()
    loaders: dict[Any, Any] = {}

    def shared_loader(search_path: Any = None) -> Any:
        if search_path not in loaders:
            loaders[search_path] = create_loader(search_path)
        return loaders[search_path]

    botocore.session.create_loader = shared_loader
    _keep_ssl_contexts()

    async def use_client() -> None:
        # Nobody listens there: the requests are made, signed and refused.
        session: Any = AioSession()
        async with session.create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:9",
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=AioConfig(retries={"max_attempts": 0}, connect_timeout=1),
        ) as client:
            with contextlib.suppress(Exception):
                await client.list_objects_v2(Bucket="warm")
            with contextlib.suppress(Exception):
                await client.head_bucket(Bucket="warm")
            with contextlib.suppress(Exception):
                await client.get_object(Bucket="warm", Key="key")
            with contextlib.suppress(Exception):
                await client.put_object(Bucket="warm", Key="key", Body=b"")

    asyncio.run(use_client())


def _keep_ssl_contexts() -> None:
    """Keep the SSL contexts of the S3 clients made here: reading certificates takes longer than a small task runs.

    In each fork the first client with the same certificates gets it, so no two clients of a process share one.
    """
    import aiobotocore.httpsession as http

    build: Any = http.AIOHTTPSession._build_verify_context  # pyright: ignore[reportPrivateUsage]
    made: dict[Any, Any] = {}
    here = os.getpid()

    def take(self: Any) -> Any:
        if os.getpid() != here:
            return made.pop(self._verify, None) or build(self)
        return made.setdefault(self._verify, build(self))

    setattr(http.AIOHTTPSession, build.__name__, take)


def _tend(orders: socket.socket, connection: socket.socket) -> None:
    def receive() -> shepherd.Order | None:
        with orders.makefile("rb") as lines:
            line = lines.readline()
        return shepherd.Order(line) if line.endswith(b"\n") else None

    def started(message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the launcher died in between; the claim tells its successor
            connection.sendall(_line(message))
        connection.close()
        orders.close()

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    shepherd.tend(receive, _run, started, prepare=_prepare)


def _prepare() -> None:
    """What a task does first that does not depend on which task it is. It is not worth failing for."""
    with contextlib.suppress(Exception):
        if "s3fs" in sys.modules and "FLYTE_AWS_ACCESS_KEY_ID" in os.environ:
            _open_object_store()


def _open_object_store() -> None:
    """Make the S3 client that flytekit will ask fsspec for: the same arguments, in flytekit's own event loop."""
    from flytekit.core.context_manager import FlyteContextManager
    from flytekit.utils.asyn import run_sync

    async def open_it() -> None:
        access = FlyteContextManager.current_context().file_access
        filesystem: Any = await access.get_async_filesystem_for_path("s3://")
        await filesystem.set_session()

    run_sync(open_it)


def _run(order: shepherd.Order) -> int:
    """Run the ordered command in this process as its console script would; returns the exit code."""
    _become(order)
    code = 0
    try:
        _execute(order.argv, order.code)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (what an interpreter does at the top)
        traceback.print_exc()
        code = 1
    _finish()
    return code & 0xFF


def _become(order: shepherd.Order) -> None:
    """Give the fork what a new process would have of its own: environment, streams, paths, random state."""
    if "s3fs" in sys.modules and _store_variables(os.environ) != _store_variables(order.environment):
        sys.modules["s3fs"].S3FileSystem.clear_instance_cache()
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    sys.argv = list(order.argv)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    # Lines are written as they come: a log is read while the task runs.
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.modules["__main__"] = types.ModuleType("__main__")
    paths = [entry for entry in order.environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*paths, *(entry for entry in sys.path if entry not in paths)]
    tempfile.tempdir = None
    gc.enable()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # forks of one process would all draw the same numbers
    _reset_flytekit()


def _reset_flytekit() -> None:
    """What flytekit reads from the environment when it is imported, it reads again."""
    import logging

    from flytekit import loggers
    from flytekit.configuration import DataConfig
    from flytekit.core import context_manager, data_persistence

    for logger in (logging.getLogger(), loggers.logger, loggers.user_space_logger):
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
    loggers.initialize_global_loggers()
    folder = tempfile.mkdtemp(prefix="flyte-")
    provider = data_persistence.FileAccessProvider(
        local_sandbox_dir=os.path.join(folder, "sandbox"),
        raw_output_prefix=os.path.join(folder, "raw"),
        data_config=DataConfig.auto(),
    )
    data_persistence.flyte_tmp_dir = folder
    data_persistence.default_local_file_access_provider = provider
    context_manager.default_local_file_access_provider = provider
    context_manager.FlyteContextManager.initialize()


def _store_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What an S3 client reads when it is made."""
    prefixes = ("AWS_", "BOTO", "FLYTE_AWS_", "HOME")
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(prefixes) or name.lower().endswith("_proxy")
    }


def _execute(argv: list[str], code: str = "") -> None:
    from flytekit.bin import entrypoint

    name = os.path.basename(argv[0])
    command = getattr(entrypoint, _COMMANDS[name])
    if name != _FAST_EXECUTE:
        command.main(args=argv[1:], prog_name=name)
        return
    options = command.make_context(name, argv[1:]).params
    inner = list(options["task_execute_cmd"])
    if not inner or os.path.basename(inner[0]) not in _COMMANDS:
        command.main(args=argv[1:], prog_name=name)
        return
    distribution, destination = options["additional_distribution"], options["dest_dir"]
    if distribution is not None:
        destination = destination or os.getcwd()
        _fetch(distribution, destination, code)
        if "--resolver" in inner:
            at = inner.index("--resolver")
            inner[at:at] = ["--dynamic-addl-distro", distribution, "--dynamic-dest-dir", destination]
    if destination:
        resolved = os.path.realpath(os.path.expanduser(destination))
        given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        os.environ["PYTHONPATH"] = os.pathsep.join([*given, resolved])
        sys.path.insert(len(given), resolved)
        importlib.invalidate_caches()
    sys.argv = inner
    _execute(inner)


def _fetch(distribution: str, destination: str, code: str) -> None:
    if code and os.path.isdir(destination):
        # Copied, not linked: what the task does to its files is its own affair. Gone for want of room: fetched.
        with contextlib.suppress(OSError, shutil.Error):
            _copy_into(code, destination)
            return
    from flytekit.tools.fast_registration import download_distribution

    download_distribution(distribution, destination)


def _copy_into(source: str, destination: str) -> None:
    for entry in os.scandir(source):
        target = os.path.join(destination, entry.name)
        if entry.is_dir(follow_symlinks=False):
            shutil.copytree(entry.path, target, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
        else:
            _copy(entry.path, target)


def _copy(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    shutil.copy2(source, target, follow_symlinks=False)


def _finish() -> None:
    """What an interpreter does at its end, but for tearing down what the kernel frees anyway."""
    import atexit

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the user's threads and pools
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
