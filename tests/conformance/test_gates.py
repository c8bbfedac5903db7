"""Part F of the table: nodes that wait."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from flyteidl.admin import signal_pb2
from flyteidl.core.identifier_pb2 import SignalIdentifier
from flyteidl.core.types_pb2 import INTEGER, LiteralType

from tests.conformance.client import Start, refused
from tests.conformance.runs import Run
from tests.conformance.values import literal, moment, plain

rows, runs, differs = pytest.mark.rows, pytest.mark.runs, pytest.mark.differs


def signals(run: Run) -> dict[str, Any]:
    """Signals of an execution by id."""
    request = signal_pb2.SignalListRequest(workflow_execution_id=run.id, limit=100)
    return {signal.id.signal_id: signal for signal in run.backend.signals.ListSignals(request).signals}


def give(run: Run, signal_id: str, value: Any) -> None:
    """SetSignal as a bare call."""
    identifier = SignalIdentifier(signal_id=signal_id, execution_id=run.id)
    run.backend.signals.SetSignal(signal_pb2.SignalSetRequest(id=identifier, value=literal(value)))


@rows(70)
@runs(Start("gates.asked"))
def test_gate_waits_for_a_value(run: Run) -> None:
    signal = run.until(lambda: signals(run).get("value"), "the signal is listed")
    assert signal.type.simple == 1, "INTEGER"
    assert run.node("n0").phase == "RUNNING"
    assert "n1" not in run.nodes
    assert [one.id.signal_id for one in run.backend.remote.list_signals(run.name)] == ["value"]
    run.backend.remote.set_input("value", run.name, 41)
    assert run.succeed().output == 42
    assert run.node("n0").outputs == {"o0": 41}
    assert run.node("n0").tasks == []
    assert plain(signals(run)["value"].value) == 41
    assert run.synced().is_successful


@rows(71)
@runs(Start("gates.approved", {"x": 1}), Start("gates.approved", {"x": 2}))
def test_approval_lets_the_value_through_and_refusal_fails(runs: list[Run]) -> None:
    for run in runs:
        run.until(lambda run=run: "ok" in signals(run), "the signal is listed")
    runs[0].backend.remote.approve("ok", runs[0].name)
    runs[1].backend.remote.reject("ok", runs[1].name)
    assert runs[0].succeed().output == 2
    runs[1].fail()
    assert (runs[1].error.code, runs[1].error.kind) == ("ReceivedRejectSignal", 1)


@rows(72)
@runs(Start("gates.waiting"))
def test_values_that_nobody_asked_for_are_refused(run: Run) -> None:
    run.until(lambda: "for-ever" in signals(run), "the signal is listed")
    assert refused(lambda: give(run, "for-ever", "a text")) == grpc.StatusCode.INVALID_ARGUMENT
    assert refused(lambda: give(run, "unheard-of", 1)) == grpc.StatusCode.INVALID_ARGUMENT
    give(run, "for-ever", 3)
    assert run.succeed().output == 3


@rows(72)
@runs(Start("gates.asked_later"))
def test_signal_that_was_made_known_can_be_set_before_its_gate(run: Run) -> None:
    identifier = SignalIdentifier(signal_id="later", execution_id=run.id)
    made = signal_pb2.SignalGetOrCreateRequest(id=identifier, type=LiteralType(simple=INTEGER))
    run.until(lambda: "go" in signals(run), "the first gate waits")
    assert not run.backend.signals.GetOrCreateSignal(made).HasField("value")
    give(run, "later", 4)
    give(run, "go", True)
    assert run.succeed().output == 5
    assert run.node("n1").outputs == {"o0": 4}


@rows(73)
@runs(Start("gates.slept"))
def test_sleep_takes_its_time(run: Run) -> None:
    run.succeed()
    pause = run.node("n0").closure.duration.ToNanoseconds() / 1e9
    assert pause >= 1.45
    after = run.node("n1").closure.created_at
    assert moment(after) >= moment(run.node("n0").closure.updated_at) - 0.001


@rows(73)
@runs(Start("gates.too_late"))
def test_gate_gives_up_in_the_end(run: Run) -> None:
    run.fail()
    assert run.node("n0").phase == "FAILED"
    assert run.error.code == "RetriesExhausted|TimeoutExpired"


@rows(70)
@differs("a gate in an arm of a conditional never ends in Flyte")
@runs(Start("gates.in_conditional"))
def test_gate_in_an_arm_of_a_conditional(run: Run) -> None:
    run.until(lambda: "inner" in signals(run), "the signal is listed")
    give(run, "inner", 9)
    assert run.succeed().output == 10
