"""One trace from the client's call through every service and back, over gRPC metadata and NATS headers."""

from __future__ import annotations

from flyteidl.core.execution_pb2 import WorkflowExecution

from flightlog_cli.access import Access, open_log
from flightlog_cli.stack_process import StackProcess
from flightlog_log import Subject
from tests.integration.observability.collector import Collector, Span
from tests.integration.observability.conftest import Client

REGISTRY, EXECUTION, LAUNCHER = "flightlog-registry", "flightlog-execution", "flightlog-k8s-launcher"
SCHEDULER = "flightlog-scheduler"
CREATE = "AdminService/CreateExecution"


def appended(spans: list[Span], fact: str) -> list[Span]:
    return [span for span in spans if fact in span.facts]


def path_of(client: Client, collector: Collector, fact: str) -> list[tuple[str, str]]:
    """The way from the append of a fact up to the client's call, once all of it has arrived."""

    def path(spans: list[Span]) -> list[tuple[str, str]]:
        found = appended(spans, fact)
        return collector.path(found[0]) if found else []

    return path(collector.wait_for(client.trace_id, lambda spans: ("client", client.span_id) in path(spans)))


def test_registration_is_one_trace_from_the_public_port_to_the_log_of_its_owner(
    client: Client, collector: tuple[str, Collector]
) -> None:
    client.run()
    assert path_of(client, collector[1], "TaskRegistered") == [
        (REGISTRY, "append REGISTRY"),
        (REGISTRY, "AdminService/CreateTask"),
        (EXECUTION, "AdminService/CreateTask"),
        ("client", client.span_id),
    ]


def test_run_of_an_echo_task_is_one_trace(client: Client, collector: tuple[str, Collector]) -> None:
    assert client.run().closure.phase == WorkflowExecution.SUCCEEDED
    assert path_of(client, collector[1], "ExecutionSucceeded") == [
        (EXECUTION, "append EXECUTION"),
        (EXECUTION, "consume EXECUTION execution"),
        (EXECUTION, "append EXECUTION"),
        (EXECUTION, CREATE),
        ("client", client.span_id),
    ]


def test_run_of_a_process_is_one_trace_through_the_launcher_and_back(
    client: Client, collector: tuple[str, Collector]
) -> None:
    assert client.run("true").closure.phase == WorkflowExecution.SUCCEEDED

    path = path_of(client, collector[1], "ExecutionSucceeded")
    assert path == [
        (EXECUTION, "append EXECUTION"),
        (EXECUTION, "consume LAUNCHER execution"),
        (LAUNCHER, "append LAUNCHER"),
        (LAUNCHER, "attempt"),
        (EXECUTION, "append EXECUTION"),
        (EXECUTION, "consume EXECUTION execution"),
        (EXECUTION, "append EXECUTION"),
        (EXECUTION, CREATE),
        ("client", client.span_id),
    ]
    ordering = "consume EXECUTION launcher"
    spans = collector[1].wait_for(client.trace_id, lambda spans: ordering in {span.name for span in spans})
    # The scheduler, which looks whether anybody is to be told of the end, comes when it comes.
    assert {span.service for span in spans} - {SCHEDULER} == {REGISTRY, EXECUTION, LAUNCHER}
    (scheduled,) = appended(spans, "AttemptScheduled")
    # It is told of the execution's end, too.
    assert scheduled.span_id in {span.parent_id for span in spans if span.name == ordering}
    (attempt,) = [span for span in spans if span.name == "attempt"]
    assert attempt.parent_id == scheduled.span_id


async def test_retry_after_an_alarm_stays_in_the_trace_and_in_the_chain_of_causes(
    client: Client, collector: tuple[str, Collector], traced_stack: StackProcess
) -> None:
    # A process that fails without a word has failed for the system's reasons, which are given further attempts.
    execution = client.run("false")
    assert execution.closure.phase == WorkflowExecution.FAILED
    path_of(client, collector[1], "ExecutionFailed")
    spans = collector[1].of_trace(client.trace_id)
    retried = [collector[1].path(span) for span in appended(spans, "AttemptScheduled")]
    retried = [path for path in retried if (EXECUTION, "consume LAUNCHER execution") in path]
    assert retried
    for path in retried:
        assert path[:3] == [
            (EXECUTION, "append EXECUTION"),
            (EXECUTION, "consume ALARM execution"),
            (EXECUTION, "append EXECUTION"),
        ]
        assert path[-1] == ("client", client.span_id)
    async with open_log(Access.of(traced_stack.data)) as log:
        parts = (execution.id.project, execution.id.domain, execution.id.name)
        envelopes = [recorded.envelope for recorded in await log.load(Subject.of("EXECUTION", *parts))]
        assert {envelope.correlation_id for envelope in envelopes} == {envelopes[0].correlation_id}
        assert {envelope.traceparent.split("-")[1] for envelope in envelopes} == {client.trace_id}


def test_log_lines_are_for_people_where_that_is_set(traced_stack: StackProcess) -> None:
    first = (traced_stack.data / "logs" / "execution.log").read_text().splitlines()[0]
    assert "service.starting" in first
    assert not first.startswith("{")
