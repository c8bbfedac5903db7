"""Fixtures for all tests: real servers, started once per test process, on a folder of their own.

`servers` gives the bare parts; `log_settings`, `blob_settings` and `database_settings` are what the libraries take.
Tests share the servers, so each uses names (subjects, prefixes, schemas) of its own. `stack` is a whole `flightlog up`,
shared likewise; `own_stack` belongs to one test, which may kill and restart what it likes.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from flightlog_cli.embedded.servers import Servers, run_servers
from flightlog_cli.stack_process import StackProcess
from tests.warm_scripts import WarmFlightlog, WarmPyflyte

if TYPE_CHECKING:
    from flightlog_blobs import BlobSettings
    from flightlog_log import LogSettings
    from flightlog_read import DatabaseSettings

# Bytecode is kept, whatever is set elsewhere: hundreds of processes would each compile all that they import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    suite = parser.getgroup("conformance", "tests/conformance")
    for option, variable, default, text in (
        (
            "--endpoint",
            "FLIGHTLOG_CONFORMANCE_ENDPOINT",
            "",
            "host:port of the Flyte to test; default: a stack of our own",
        ),
        ("--endpoint-image", "FLIGHTLOG_CONFORMANCE_IMAGE", "localhost/flytekit:1", "image of the suite's tasks"),
        ("--flytesnacks", "FLIGHTLOG_FLYTESNACKS", "", "checkout of flyteorg/flytesnacks whose examples are to be run"),
        ("--keep-histories", "FLIGHTLOG_KEEP_HISTORIES", "", "folder that the runs' histories are written to"),
    ):
        suite.addoption(option, default=os.environ.get(variable, default), help=f"{text} [{variable}]")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: it is not looked through for garbage, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        atexit.register(gc.unfreeze)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The Kubernetes tests come last: their control plane may have to be built first, which takes minutes."""
    items.sort(key=lambda item: item.nodeid.startswith("tests/kubernetes/"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where time is limited (.ci/run), Kubernetes tests that come too late are skipped, and it is said."""
    deadline = float(os.environ.get("FLIGHTLOG_TEST_DEADLINE", "inf"))
    if item.nodeid.startswith("tests/kubernetes/") and time.time() > deadline:
        pytest.skip("no time is left for it: `make test-k8s` runs it")


_KEPT_TOGETHER = {
    "tests/conformance": ("tests/conformance/*",),
    "a stack and operators on Kubernetes": (
        "tests/kubernetes/test_connectors.py",
        "tests/kubernetes/test_operator_lives.py",
        "tests/kubernetes/test_plugins.py",
        "tests/kubernetes/test_runtime_cleaning.py",
        "tests/kubernetes/test_whole_*.py",
    ),
}
"""Files whose tests share what is dear to start."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes, one takes all tests of a file, or of files that share what is dear to start."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            together = (name for name, files in _KEPT_TOGETHER.items() if any(fnmatch(path, each) for each in files))
            return next(together, path)

    return ByFile(config, log)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """nats-server, Postgres and S3 of this test process. A test that kills one restarts it (`servers.restart`)."""
    async with run_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def log_settings(servers: Servers) -> LogSettings:
    """How to reach the test servers' JetStream."""
    from flightlog_log import LogSettings

    return LogSettings(nats_url=servers.nats_url, user=servers.nats_user, password=servers.nats_password)


@pytest.fixture(scope="session")
def blob_settings(servers: Servers) -> BlobSettings:
    """The embedded object store: written as a folder, served over S3 at the same time."""
    from flightlog_blobs import BlobSettings

    return BlobSettings.model_validate(
        {
            "driver": "directory",
            "bucket": servers.bucket,
            "endpoint": servers.s3_endpoint,
            "access_key": servers.s3_access_key,
            "secret_key": servers.s3_secret_key,
            "directory": servers.object_directory,
        }
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database_settings(servers: Servers) -> DatabaseSettings:
    """An empty database of this test process."""
    import asyncpg

    from flightlog_read import DatabaseSettings

    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(servers.dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return DatabaseSettings(dsn=servers.dsn.replace("/flightlog?", f"/{name}?"))


@pytest.fixture(scope="session")
def receiver_ports() -> tuple[int, int]:
    """Where the stack sends e-mails, and events of the launch plan `notifying`: nobody listens unless a test does."""
    with socket.socket() as mail, socket.socket() as web:
        for one in (mail, web):
            one.bind(("127.0.0.1", 0))
        return mail.getsockname()[1], web.getsockname()[1]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, receiver_ports: tuple[int, int]) -> Iterator[StackProcess]:
    """A running `flightlog up` shared by the tests of this process: leave it as you found it.

    Its tasks may ask for secrets that tests put into `secrets` of its folder.
    """
    data = tmp_path_factory.mktemp("stack")
    mail_port, web_port = receiver_ports
    deliveries = "FLIGHTLOG_SCHEDULER__DELIVERIES__"
    webhook = {"name": "ops", "url": f"http://127.0.0.1:{web_port}/hook", "launch_plans": ["notifying"]}
    environment = {
        "FLIGHTLOG_LAUNCHER__SECRETS__DIRECTORY": str(data / "secrets"),
        f"{deliveries}SMTP__HOST": "127.0.0.1",
        f"{deliveries}SMTP__PORT": str(mail_port),
        f"{deliveries}SMTP__TLS": "none",
        f"{deliveries}WEBHOOKS": json.dumps([webhook]),
    }
    with StackProcess(data, environment=environment) as running:
        yield running


@pytest.fixture(scope="session")
def warm_pyflyte() -> Iterator[WarmPyflyte]:
    """The unmodified `pyflyte`, without the seconds that importing flytekit takes."""
    with WarmPyflyte.open() as warm:
        yield warm


@pytest.fixture(scope="session", autouse=True)
def _warm_flightlog() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]  # pytest calls it
    """`StackProcess.cli` without the second that importing takes."""
    with WarmFlightlog.open() as warm, pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackProcess, "run_command", staticmethod(warm))
        yield


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A running `flightlog up` of one test: empty at first, and free to be killed and restarted.

    Nothing is loaded ahead for Python tasks: they are slow, and all else is spared three seconds.
    """
    with StackProcess(
        tmp_path_factory.mktemp("own-stack"), environment={"FLIGHTLOG_PROCESS__PRELOAD": "[]"}
    ) as running:
        yield running


@pytest.fixture
def own_python_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Likewise, for tests with many Python tasks."""
    with StackProcess(tmp_path_factory.mktemp("own-stack")) as running:
        yield running
