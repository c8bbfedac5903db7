"""The suite against an endpoint: register everything once, start everything at once, let each test wait for its own.

A test names the executions it wants with `@runs(...)`. Before the first test all that were collected are launched, so
they run side by side, and the suite takes about as long as the machine needs for the work, not the sum of the waits.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.client import Backend, Start
from tests.conformance.runs import DOMAIN, PROJECT, Run

HERE = Path(__file__).parent
WORKFLOWS = HERE / "workflows"
REQUESTS = "cpu=50m,mem=200Mi"
LIMITS = "cpu=1,mem=600Mi"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rows(*numbers): rows of the conformance table that the test is about")
    config.addinivalue_line("markers", "runs(*starts): executions that the test wants started")
    config.addinivalue_line("markers", "differs(reason): Flyte itself is known to behave otherwise, and why")


@pytest.fixture(scope="session")
def client_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Environment of an unmodified flytekit client of the endpoint under test."""
    endpoint = request.config.getoption("--endpoint")
    if endpoint:
        found = {"FLYTE_PLATFORM_URL": endpoint, "FLYTE_PLATFORM_INSECURE": "true"}
    else:
        found = request.getfixturevalue("stack").client_environment
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("FLYTE", "_F_", "FLIGHTLOG"))
    }
    return inherited | found | {"FLYTECTL_CONFIG": "/dev/null", "FLYTE_SDK_LOGGING_LEVEL": "50"}


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, client_environment: dict[str, str]) -> Iterator[Backend]:
    """The endpoint with all workflows of the suite registered, and everything started that any test wants."""
    version = f"conformance-{uuid4().hex[:12]}"
    image = request.config.getoption("--endpoint-image")
    register(client_environment, WORKFLOWS, version, image, [path.name for path in sorted(WORKFLOWS.glob("*.py"))])
    from flytekit.configuration import Config, PlatformConfig
    from flytekit.remote import FlyteRemote

    endpoint = client_environment["FLYTE_PLATFORM_URL"]
    remote = FlyteRemote(Config(PlatformConfig(endpoint=endpoint, insecure=True)), PROJECT, DOMAIN)
    backend = Backend(endpoint, remote, version)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(backend.try_to_launch, wanted(request.session.items)))
    yield backend
    for run in backend.runs:
        if run.phase in ("UNDEFINED", "QUEUED", "RUNNING"):
            run.terminate("the suite is over")
    backend.channel.close()
    keep_histories(request)


def keep_histories(request: pytest.FixtureRequest) -> None:
    """With --keep-histories: every decision on the log is made again, and written down for the unit tests."""
    folder = request.config.getoption("--keep-histories")
    if not folder:
        return
    assert not request.config.getoption("--endpoint"), "histories are read from the log of a stack of our own"
    from tests.conformance.histories import keep

    refused = asyncio.run(keep(request.getfixturevalue("stack").data, Path(folder)))
    assert not refused, "\n\n".join(refused)


def wanted(items: list[pytest.Item]) -> list[Start]:
    """What the collected tests want started, each once."""
    starts = [start for item in items for mark in item.iter_markers("runs") for start in mark.args]
    return list({start.key: start for start in starts}.values())


def register(environment: dict[str, str], folder: Path, version: str, image: str, files: list[str]) -> None:
    """`pyflyte register`. Entities that are refused are left out: the tests that want them fail, the others do not."""
    command = [
        str(Path(sys.executable).with_name("pyflyte")), "register",
        "--project", PROJECT, "--domain", DOMAIN, "--version", version, "--image", image,
        "--skip-errors", "--resource-requests", REQUESTS, "--resource-limits", LIMITS,
        *files,
    ]  # fmt: skip
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    if result.returncode:
        pytest.fail(f"pyflyte register exited {result.returncode}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")


@pytest.fixture
def runs(request: pytest.FixtureRequest, backend: Backend) -> list[Run]:
    """The executions that the test's `@runs` names."""
    marks = list(request.node.iter_markers("runs"))
    return [backend.launch(start) for mark in reversed(marks) for start in mark.args]


@pytest.fixture
def run(runs: list[Run]) -> Run:
    """The only execution that the test's `@runs` names."""
    (only,) = runs
    return only


@pytest.fixture(autouse=True)
def known_differences(request: pytest.FixtureRequest) -> None:
    """Against Flyte itself, what is known to differ may fail."""
    mark = request.node.get_closest_marker("differs")
    if mark is None or not request.config.getoption("--endpoint"):
        return
    backend: Any = request.getfixturevalue("backend")
    if backend.is_flyte:
        request.node.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=False))
