"""The Prometheus pages of a running stack: every promised number is there, and moves when its matter does."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from secrets import token_hex

import asyncpg
import nats
from flyteidl.admin import execution_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from prometheus_client.parser import text_string_to_metric_families

from flightlog_cli.access import Access, open_log
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Cause, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStateChanged
from tests.integration.observability.conftest import Client

SERVICES = ("registry", "execution", "k8s_launcher")


class Pages:
    """What the services' pages say now."""

    def __init__(self, stack: StackProcess) -> None:
        self._urls = stack.endpoints["metrics"]

    def value(self, service: str, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have these labels."""
        with urllib.request.urlopen(self._urls[service], timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
            found = [
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == name and labels.items() <= sample.labels.items()
            ]
        assert found, f"{service} has no {name} {labels}"
        return sum(found)

    def wait_for(self, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not wanted():
            assert time.monotonic() < deadline, "the numbers do not become what they should be"
            time.sleep(0.05)


def test_a_run_moves_appends_decisions_projection_and_attempts(traced_stack: StackProcess, client: Client) -> None:
    moving = [
        ("registry", "flightlog_append_total", {"stream": "REGISTRY"}),
        ("registry", "flightlog_projection_applied_total", {"projection": "registry"}),
        ("registry", "flightlog_rpc_requests_total", {"method": "AdminService/CreateTask", "code": "OK"}),
        ("execution", "flightlog_append_total", {"stream": "EXECUTION"}),
        ("execution", "flightlog_append_seconds_count", {}),
        ("execution", "flightlog_decision_seconds_count", {"command": "StartExecution"}),
        ("execution", "flightlog_decision_seconds_count", {"command": "ObserveAttempt"}),
        ("execution", "flightlog_execution_facts_total", {}),
        ("execution", "flightlog_executions_created_total", {}),
        ("execution", "flightlog_projection_applied_total", {"projection": "execution"}),
        ("execution", "flightlog_projection_sequence", {"projection": "execution"}),
        ("execution", "flightlog_rpc_seconds_count", {"method": "AdminService/CreateExecution"}),
        ("k8s_launcher", "flightlog_append_total", {"stream": "LAUNCHER"}),
        ("k8s_launcher", "flightlog_launcher_observations_total", {"stage": "EXITED"}),
    ]
    pages = Pages(traced_stack)
    client.run("true")  # so that all series exist
    before = [pages.value(service, name, **labels) for service, name, labels in moving]
    assert client.run("true").closure.phase == WorkflowExecution.SUCCEEDED
    for value, (service, name, labels) in zip(before, moving, strict=True):
        pages.wait_for(lambda: pages.value(service, name, **labels) > value)  # noqa: B023 (called at once)


def test_tables_that_show_a_run_are_not_behind_it(traced_stack: StackProcess, client: Client) -> None:
    """Whatever the moment: `flightlog status` asks once."""
    pages = Pages(traced_stack)
    for _ in range(3):
        client.run()
        assert pages.value("execution", "flightlog_projection_lag") == 0


def test_lag_is_there_from_the_start_and_returns_to_nothing(traced_stack: StackProcess, client: Client) -> None:
    pages = Pages(traced_stack)
    client.run()
    for service in ("registry", "execution"):
        pages.wait_for(lambda: pages.value(service, "flightlog_projection_lag") == 0)  # noqa: B023 (called at once)
        assert pages.value(service, "flightlog_projection_leading") == 1
    consumers = [("execution", "EXECUTION", "execution"), ("execution", "LAUNCHER", "execution")]
    consumers += [("execution", "ALARM", "execution"), ("k8s_launcher", "EXECUTION", "launcher")]
    consumers += [("execution", "CATALOG", "execution"), ("catalog", "EXECUTION", "catalog")]
    for service, stream, consumer in consumers:
        labels = {"stream": stream, "consumer": consumer}
        pages.wait_for(lambda: pages.value(service, "flightlog_consumer_lag", **labels) == 0)  # noqa: B023


async def test_lag_grows_while_tables_cannot_be_written(traced_stack: StackProcess, client: Client) -> None:
    pages = Pages(traced_stack)
    connection = await asyncpg.connect(traced_stack.endpoints["postgres"])
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE execution.executions")
            client.create()
            pages.wait_for(lambda: pages.value("execution", "flightlog_projection_lag", projection="execution") > 0)
    finally:
        await connection.close()
    pages.wait_for(lambda: pages.value("execution", "flightlog_projection_lag", projection="execution") == 0)


async def test_a_message_nobody_can_read_is_counted_as_parked(traced_stack: StackProcess) -> None:
    pages = Pages(traced_stack)
    parked = [("execution", "execution"), ("k8s_launcher", "launcher"), ("catalog", "catalog")]
    before = [pages.value(service, "flightlog_parked_total", consumer=consumer) for service, consumer in parked]
    tables = pages.value("execution", "flightlog_projection_parked_total", projection="execution")
    endpoints = traced_stack.endpoints
    user, password = endpoints["credentials"]["nats_user"], endpoints["credentials"]["nats_password"]
    connection = await nats.connect(endpoints["nats"], user=user, password=password)
    await connection.jetstream().publish(str(Subject.of("EXECUTION", "p", "d", token_hex(8))), b"no envelope")
    await connection.close()
    for value, (service, consumer) in zip(before, parked, strict=True):
        pages.wait_for(
            lambda: pages.value(service, "flightlog_parked_total", consumer=consumer) > value  # noqa: B023
        )
    pages.wait_for(
        lambda: pages.value("execution", "flightlog_projection_parked_total", projection="execution") > tables
    )


async def test_an_append_that_comes_second_is_counted_as_a_conflict(traced_stack: StackProcess, client: Client) -> None:
    identifier = client.run().id
    subject = Subject.of("EXECUTION", identifier.project, identifier.domain, identifier.name)
    archived = ExecutionStateChanged(state=execution_pb2.EXECUTION_ARCHIVED)
    async with open_log(Access.of(traced_stack.data)) as log:
        await log.append(subject, [archived], head=await log.head(subject), cause=Cause.service("test"))
    client.call("UpdateExecution", execution_pb2.ExecutionUpdateRequest(id=identifier, state=archived.state))
    pages = Pages(traced_stack)
    assert pages.value("execution", "flightlog_append_conflicts_total", stream="EXECUTION") >= 1
