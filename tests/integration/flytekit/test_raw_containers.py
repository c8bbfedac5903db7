"""flytekit's ContainerTask on the process runtime: typed inputs and outputs, errors, variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.executions import ended


@pytest.fixture(scope="module")
def run(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Callable[..., Any]:
    """Register `raw.<name>`, execute it and wait for its end."""
    module = workflow_module("raw")

    def execute(name: str, **inputs: Any) -> Any:
        execution = remote.execute(register(getattr(module, name)), inputs=inputs)
        return ended(remote, execution)

    return execute


def test_a_program_between_two_tasks(run: Callable[..., Any]) -> None:
    done = run("between", lines=7)
    assert done.error is None, done.error.message
    assert done.outputs["o0"] == "7 lines"


def test_a_program_whose_container_is_in_a_pod_template(run: Callable[..., Any]) -> None:
    done = run("of_pod")
    assert done.error is None, done.error.message
    assert done.outputs["o0"] == 3


def test_a_program_sees_its_secrets_and_nothing_of_the_store_settings(run: Callable[..., Any], stack: Any) -> None:
    folder = stack.data / "secrets" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text("s3cret")
    done = run("own_variables")
    assert done.error is None, done.error.message
    assert (done.outputs["o0"], done.outputs["o1"]) == ("", "s3cret")


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("with_says_error", "UserError", "the data is bad"),
        ("with_forgets", "RetriesExhausted|OutputUploadFailed", "the output 'x' has to be a file or folder"),
        ("with_unknown", "BadTaskSpecification", "the output 'many' is a collection"),
    ],
)
def test_what_fails_says_why(run: Callable[..., Any], name: str, code: str, says: str) -> None:
    done = run(name)
    assert done.error is not None
    assert done.error.code.startswith(code)
    assert says in done.error.message
