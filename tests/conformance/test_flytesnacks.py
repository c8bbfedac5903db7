"""The examples that Flyte's own functional tests run (flytesnacks, priority P0), unmodified.

They are taken from a checkout of flyteorg/flytesnacks that `--flytesnacks` names; nothing of it is in this repository.
docs/flytesnacks.md says which of them run.
"""

from __future__ import annotations

import json
import urllib.request
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
def started(request: pytest.FixtureRequest, backend: Backend, client_environment: dict[str, str]) -> dict[str, Start]:
    """All examples registered and started, but for those whose data cannot be had."""
    checkout = Path(request.config.getoption("--flytesnacks"))
    wanted = examples(checkout)
    folders: dict[str, set[str]] = {}
    for name in wanted:
        package, module, _ = name.split(".")
        folders.setdefault(package, set()).add(f"{package}/{module}.py")
    image = request.config.getoption("--endpoint-image")
    for package, files in folders.items():
        register(client_environment, checkout / "examples" / package, backend.version, image, sorted(files))
    starts = {name: Start(name, inputs) for name, inputs in wanted.items() if not unreachable(inputs)}
    for start in starts.values():
        backend.try_to_launch(start)
    return starts


def unreachable(inputs: Any) -> str:
    """An address in the inputs that cannot be read from here."""
    match inputs:
        case dict():
            found = map(unreachable, inputs.values())
        case list():
            found = map(unreachable, inputs)
        case str() if inputs.startswith(("http://", "https://")):
            try:
                urllib.request.urlopen(inputs, timeout=5).close()
            except OSError:
                return inputs
            return ""
        case _:
            return ""
    return next(filter(None, found), "")


def test_example_succeeds(example: str, request: pytest.FixtureRequest) -> None:
    checkout = request.config.getoption("--flytesnacks")
    if not checkout:
        pytest.skip("name a checkout of flyteorg/flytesnacks: --flytesnacks DIR")
    if address := unreachable(examples(Path(checkout))[example]):
        pytest.skip(f"its data cannot be reached from here: {address}")
    start = request.getfixturevalue("started")[example]
    run = request.getfixturevalue("backend").launch(start).succeed()
    assert run.synced().is_successful
