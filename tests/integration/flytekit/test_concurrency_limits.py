"""Concurrency limits of launch plans of unmodified flytekit: exact, first come first served, and visible."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import grpc
import pytest
from flyteidl.admin import execution_pb2, signal_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier, WorkflowExecutionIdentifier
from flyteidl.service import admin_pb2_grpc, signal_pb2_grpc

from flightlog_cli.access import Access, open_log
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from tests.unit.engine.story import literal

Phase = WorkflowExecution
PLACE = ("flytesnacks", "development")
IMAGE = "localhost/flytekit:1"
ENDS = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)


class Runs:
    """Executions of the launch plans in `limits.py`."""

    def __init__(self, stack: StackProcess, channel: grpc.Channel, plans: dict[str, Identifier]) -> None:
        self.stack = stack
        self.admin: Any = admin_pb2_grpc.AdminServiceStub(channel)
        self.signals: Any = signal_pb2_grpc.SignalServiceStub(channel)
        self.plans = plans

    def create(self, plan: str, inputs: dict[str, int] | None = None, **said: str) -> str:
        name = f"l{uuid4().hex[:19]}"
        request = execution_pb2.ExecutionCreateRequest(project=PLACE[0], domain=PLACE[1], name=name)
        request.spec.launch_plan.CopyFrom(self.plans[plan])
        request.spec.annotations.values.update({f"flightlog.concurrency/{key}": text for key, text in said.items()})
        for key, value in (inputs or {}).items():
            request.inputs.literals[key].CopyFrom(literal(value))
        self.admin.CreateExecution(request)
        return name

    def get(self, name: str) -> Any:
        return self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=identifier(name)))

    def until(self, name: str, *phases: int) -> Any:
        deadline = time.monotonic() + 60
        while (found := self.get(name)).closure.phase not in phases:
            assert found.closure.phase < Phase.SUCCEEDED, found.closure
            assert time.monotonic() < deadline, found.closure
            time.sleep(0.02)
        return found

    def go(self, name: str) -> None:
        """Lets one that is held end."""
        signal = signal_pb2.SignalSetRequest(value=literal(1))
        signal.id.signal_id = "go"
        signal.id.execution_id.CopyFrom(identifier(name))
        self.signals.SetSignal(signal)

    def terminate(self, name: str) -> None:
        self.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=identifier(name), cause="enough"))

    def waits(self, name: str) -> str:
        """What GetExecution says of one that waits."""
        return self.get(name).spec.annotations.values.get("flightlog.waiting", "")

    def spans(self, names: list[str]) -> list[tuple[int, int]]:
        """Of each execution, the sequences on the stream of its start and its end."""

        async def read() -> list[tuple[int, int]]:
            found: list[tuple[int, int]] = []
            async with open_log(Access.of(self.stack.data)) as log:
                for name in names:
                    span = [0, 0]
                    for record in await log.load(Subject.of("EXECUTION", *PLACE, name)):
                        for fact in record.facts:
                            if isinstance(fact, facts.ExecutionStarted):
                                span[0] = record.sequence
                            elif isinstance(fact, ENDS):
                                span[1] = record.sequence
                    found.append((span[0], span[1]))
            return found

        return asyncio.run(read())

    def queue(self, *arguments: str) -> str:
        shown = self.stack.cli("queue", *arguments)
        assert shown.returncode == 0, shown.stderr
        return shown.stdout


def identifier(name: str) -> WorkflowExecutionIdentifier:
    return WorkflowExecutionIdentifier(project=PLACE[0], domain=PLACE[1], name=name)


@pytest.fixture(scope="module")
def runs(
    stack: Any, remote: Any, workflow_module: Callable[[str], Any], register: Callable[..., Any]
) -> Iterator[Runs]:
    from flytekit.configuration import ImageConfig, SerializationSettings

    module = workflow_module("limits")
    for entity in (module.held, module.brief):
        register(entity)
    images = ImageConfig.auto(img_name=IMAGE)
    settings = SerializationSettings(project=PLACE[0], domain=PLACE[1], version="remote-1", image_config=images)
    plans: dict[str, Identifier] = {}
    for name in ("skipping", "waiting", "first_of_key", "second_of_key", "replacing"):
        plan = getattr(module, name)
        remote.register_launch_plan(plan, version="remote-1", serialization_settings=settings)
        plans[name] = Identifier(
            resource_type=LAUNCH_PLAN, project=PLACE[0], domain=PLACE[1], name=plan.name, version="remote-1"
        )
    with grpc.insecure_channel(stack.grpc) as channel:
        yield Runs(stack, channel, plans)


def test_of_many_creates_at_once_exactly_as_many_pass_as_there_are_places(runs: Runs) -> None:
    refused: list[grpc.RpcError] = []

    def create(_: int) -> str:
        try:
            return runs.create("skipping")
        except grpc.RpcError as error:
            refused.append(error)
            return ""

    with ThreadPoolExecutor(20) as pool:
        made = [name for name in pool.map(create, range(20)) if name]
    assert len(made) == 3
    for error in refused:
        told: Any = error
        assert told.code() == grpc.StatusCode.ALREADY_EXISTS
        assert told.details() == "concurrency limit (3) reached for launch plan limits.skipping; skipping execution"
    for name in made:
        runs.until(name, Phase.RUNNING)
        runs.go(name)
    for name in made:
        runs.until(name, Phase.SUCCEEDED)
    # Whoever has seen the end of one finds its place free.
    again = runs.create("skipping")
    runs.until(again, Phase.RUNNING)
    runs.go(again)
    runs.until(again, Phase.SUCCEEDED)


def test_who_waits_runs_in_turn_and_never_more_than_allowed(runs: Runs) -> None:
    names = [runs.create("waiting", {"x": number}) for number in range(6)]
    for number, name in enumerate(names):
        found = runs.until(name, Phase.SUCCEEDED)
        assert "flightlog.waiting" not in found.spec.annotations.values
        data = runs.admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=identifier(name)))
        assert data.full_outputs.literals["o0"].scalar.primitive.integer == 2 * number
    spans = runs.spans(names)
    assert spans == sorted(spans)
    for start, _ in spans:
        assert sum(begun <= start < ended for begun, ended in spans) <= 2


def test_launch_plans_share_a_key_and_what_waits_is_seen(runs: Runs) -> None:
    first, second = runs.create("first_of_key"), runs.create("second_of_key")
    third, fourth = runs.create("first_of_key"), runs.create("second_of_key")
    runs.until(first, Phase.RUNNING)
    for name in (second, third, fourth):
        runs.until(name, Phase.QUEUED)
    assert runs.waits(first) == ""
    assert runs.waits(third) == "place 2 of key licence (at most 1)"

    shown = runs.queue()
    assert "key licence, flytesnacks/development: 1 of at most 1 run, 3 wait" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert [line[:2] for line in lines if line[1] in (first, second, third, fourth)] == [
        ["runs", first],
        ["1.", second],
        ["2.", third],
        ["3.", fourth],
    ]
    (queue,) = json.loads(runs.queue(f"flytesnacks/development/{third}", "--json"))
    assert queue["limit"] == {"name": "key/licence", "max": 1, "behavior": "WAIT"}
    assert [place["execution_id"]["name"] for place in queue["waiting"]] == [second, third, fourth]

    # One that is terminated while it waits leaves the line, and never runs.
    runs.terminate(second)
    ended = runs.until(second, Phase.ABORTED)
    assert not ended.closure.HasField("started_at")
    assert runs.waits(third) == "place 1 of key licence (at most 1)"
    runs.terminate(first)
    runs.until(third, Phase.RUNNING)
    assert runs.get(fourth).closure.phase == Phase.QUEUED
    runs.go(third)
    runs.until(fourth, Phase.RUNNING)
    runs.go(fourth)
    runs.until(fourth, Phase.SUCCEEDED)
    missing = runs.stack.cli("queue", fourth)
    assert missing.returncode == 1
    assert "stands in no queue" in missing.stderr


def test_the_newest_replaces_the_one_that_runs(runs: Runs) -> None:
    old = runs.create("replacing")
    runs.until(old, Phase.RUNNING)
    new = runs.create("replacing")
    runs.until(new, Phase.RUNNING)
    replaced = runs.until(old, Phase.ABORTED)
    cause = replaced.closure.abort_metadata.cause
    assert cause == f"replaced by execution {new}: launch plan limits.replacing has room for 1"
    runs.go(new)
    runs.until(new, Phase.SUCCEEDED)


def test_what_cannot_be_understood_is_refused_when_it_is_asked_for(runs: Runs) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        runs.create("waiting", {"x": 1}, behavior="later")
    error: Any = caught.value
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "flightlog.concurrency/behavior must be one of skip, wait, replace, not [later]"
