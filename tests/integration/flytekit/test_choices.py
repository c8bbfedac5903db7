"""Conditionals and gates through unmodified flytekit: what users write, and what FlyteRemote does with signals."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.executions import ended


@pytest.fixture(scope="module")
def start(remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]) -> Callable[..., Any]:
    """Register `choices.<name>` and execute it."""
    module = workflow_module("choices")
    registered: dict[str, Any] = {}

    def execute(name: str, inputs: dict[str, Any] | None = None) -> Any:
        if name not in registered:
            registered[name] = register(getattr(module, name))
        return remote.execute(registered[name], inputs=inputs or {})

    return execute


@pytest.fixture(scope="module")
def finish(remote: Any) -> Callable[[Any], Any]:
    def wait(execution: Any) -> Any:
        return ended(remote, execution)

    return wait


def awaited(remote: Any, execution: Any, *signal_ids: str) -> None:
    """Returns once gates wait for these signals."""
    deadline = time.monotonic() + 60
    while not set(signal_ids) <= {signal.id.signal_id for signal in remote.list_signals(execution.id.name)}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "inputs", "output"),
    [
        ("optional", {"x": 0}, "none"),
        ("optional", {"x": 3}, "three"),
        ("optional", {"x": 4}, "other"),
        ("exact", {"micros": 1}, "later"),
        ("exact", {"micros": 0}, "same"),
        ("coloured", {"color": "blue"}, "blue"),
        ("coloured", {"color": "red"}, "short"),
        ("coloured", {"wait": timedelta(seconds=2)}, "long"),
        ("of_point", {"x": 3}, "p3"),
        ("late", {"x": 1}, "late"),
        ("late", {"x": 2}, "early"),
        ("silent", {"x": 1}, "awake"),
    ],
)
def test_conditions_as_users_write_them(
    name: str, inputs: dict[str, Any], output: str, start: Callable[..., Any], finish: Callable[[Any], Any]
) -> None:
    assert finish(start(name, inputs)).outputs["o0"] == output


def test_an_arm_is_synced_as_the_branches_child(start: Callable[..., Any], finish: Callable[[Any], Any]) -> None:
    done = finish(start("late"))
    assert set(done.node_executions) == {"start-node", "n0", "n1", "end-node"}
    branch = done.node_executions["n1"]
    (child,) = branch._underlying_node_executions
    assert (child.id.node_id, child.metadata.spec_node_id) == ("n1-0-n1-n0", "n1-n0")
    assert [data.get("o0", str) for data in (child.outputs, branch.outputs)] == ["late", "late"]


def test_an_else_that_fails(start: Callable[..., Any], finish: Callable[[Any], Any]) -> None:
    done = finish(start("of_point", {"x": 2}))
    assert (done.error.code, done.error.message) == ("UserProvidedError", "it is not three")


def test_an_input_may_be_set_by_its_python_type_or_as_a_literal(
    remote: Any, start: Callable[..., Any], finish: Callable[[Any], Any]
) -> None:
    from flytekit.models.literals import Literal, Primitive, Scalar

    first, second, third = (start("text_asked") for _ in range(3))
    for execution in (first, second, third):
        awaited(remote, execution, "text")
    remote.set_input("text", first.id.name, "abc")
    remote.set_signal("text", second.id.name, "abcd", python_type=str)
    remote.set_input("text", third.id.name, Literal(scalar=Scalar(primitive=Primitive(string_value="abcde"))))
    assert [finish(execution).outputs["o0"] for execution in (first, second, third)] == [3, 4, 5]


def test_an_input_of_another_type_is_refused(remote: Any, start: Callable[..., Any]) -> None:
    from flytekit.exceptions.user import FlyteInvalidInputException

    execution = start("text_asked")
    awaited(remote, execution, "text")
    with pytest.raises(FlyteInvalidInputException, match="does not fit signal"):
        remote.set_input("text", execution.id.name, 3)
    with pytest.raises(FlyteInvalidInputException, match="signal does not exist"):
        remote.set_input("other", execution.id.name, "abc")
    remote.terminate(execution, cause="done")


def test_approval_and_rejection(remote: Any, start: Callable[..., Any], finish: Callable[[Any], Any]) -> None:
    yes, no = start("approved"), start("approved")
    for execution in (yes, no):
        awaited(remote, execution, "ok")
    remote.approve("ok", yes.id.name)
    remote.reject("ok", no.id.name)
    assert finish(yes).outputs["o0"] == "fine"
    assert finish(no).error.code == "ReceivedRejectSignal"


def test_gates_of_one_name_share_their_value(
    remote: Any, start: Callable[..., Any], finish: Callable[[Any], Any]
) -> None:
    execution = start("asked_twice")
    awaited(remote, execution, "number")
    remote.set_input("number", execution.id.name, 7)
    done = finish(execution)
    assert (done.outputs["o0"], done.outputs["o1"]) == (7, 7)
    assert len(remote.list_signals(execution.id.name)) == 1


def test_a_gate_may_be_an_arm(remote: Any, start: Callable[..., Any], finish: Callable[[Any], Any]) -> None:
    execution = start("asked_in_arm")
    awaited(remote, execution, "number")
    remote.set_input("number", execution.id.name, 8)
    assert finish(execution).outputs["o0"] == 8
    assert finish(start("asked_in_arm", {"x": 2})).outputs["o0"] == 3


def test_conditionals_and_gates_made_at_run_time(
    remote: Any, start: Callable[..., Any], finish: Callable[[Any], Any]
) -> None:
    execution = start("made_at_run_time")
    awaited(remote, execution, "planned")
    remote.set_input("planned", execution.id.name, 6)
    assert finish(execution).outputs["o0"] == "more"
