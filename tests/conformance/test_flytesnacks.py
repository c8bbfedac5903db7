"""The examples that Flyte's own functional tests run (flytesnacks, priority P0), unmodified.

They are taken from a checkout of flyteorg/flytesnacks that `--flytesnacks` names; nothing of it is in this repository.
docs/flytesnacks.md says which of them run.
"""

from __future__ import annotations

import functools
import http.server
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.client import Backend, Start
from tests.conformance.conftest import register

MANIFEST = "flyte_tests_manifest.json"


def examples(checkout: Path) -> dict[str, dict[str, Any]]:
    """Inputs of the P0 examples, by workflow name."""
    groups = json.loads((checkout / MANIFEST).read_text())
    return {name: inputs for group in groups if group["priority"] == "P0" for name, inputs in group["examples"]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    checkout = metafunc.config.getoption("--flytesnacks")
    names = list(examples(Path(checkout))) if checkout else ["no checkout given"]
    metafunc.parametrize("example", names)


@pytest.fixture(scope="module")
def data_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Where the data at an address can be had: there, or from the copy in the checkout, served on this machine."""
    folder = Path(request.config.getoption("--flytesnacks")) / "examples" / "data_types_and_io" / "test_data"
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def at(address: str) -> str:
            name = address.rpartition("/")[2]
            if request.config.getoption("--endpoint") or not (folder / name).exists() or reachable(address):
                return address
            return f"http://127.0.0.1:{server.server_port}/{name}"

        yield at
        server.shutdown()
        thread.join()


def reachable(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def moved(inputs: Any, at: Callable[[str], str]) -> Any:
    """The same inputs with addresses at which their data can be had."""
    match inputs:
        case dict():
            return {name: moved(value, at) for name, value in inputs.items()}
        case list():
            return [moved(value, at) for value in inputs]
        case str() if inputs.startswith(("http://", "https://")):
            return at(inputs)
    return inputs


@pytest.fixture(scope="module")
def started(
    request: pytest.FixtureRequest,
    backend: Backend,
    client_environment: dict[str, str],
    data_of: Callable[[str], str],
) -> dict[str, Start]:
    """All examples, registered and started."""
    checkout = Path(request.config.getoption("--flytesnacks"))
    wanted = examples(checkout)
    folders: dict[str, set[str]] = {}
    for name in wanted:
        package, module, _ = name.split(".")
        folders.setdefault(package, set()).add(f"{package}/{module}.py")
    image = request.config.getoption("--endpoint-image")
    for package, files in folders.items():
        register(client_environment, checkout / "examples" / package, backend.version, image, sorted(files))
    starts = {name: Start(name, moved(inputs, data_of)) for name, inputs in wanted.items()}
    for start in starts.values():
        backend.try_to_launch(start)
    return starts


def test_example_succeeds(example: str, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--flytesnacks"):
        pytest.skip("name a checkout of flyteorg/flytesnacks: --flytesnacks DIR")
    start = request.getfixturevalue("started")[example]
    run = request.getfixturevalue("backend").launch(start).succeed()
    assert run.synced().is_successful
