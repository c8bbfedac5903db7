"""An execution's facts as lines: what a person reads in `flightlog events`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from flyteidl.core import execution_pb2, identifier_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.history import FINAL, History, detail, document_of, is_final, place
from flightlog_log import Head, Recorded
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer
from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Usage
from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FACTS = [
    name for name, message in vars(facts_pb2).items() if isinstance(message, type) and issubclass(message, Message)
]


def recorded(
    position: int, *facts: Message, because: str = "", seconds: float = 0.0, actor: Actor | None = None
) -> Recorded:
    occurred = Timestamp()
    occurred.FromDatetime(BEGUN + timedelta(seconds=seconds))
    envelope = Envelope(
        event_id=f"event-{position}",
        position=position,
        occurred_at=occurred,
        causation_id=because,
        correlation_id="request",
        actor=actor or Actor(subject="execution", method="service"),
    )
    return Recorded("execution.00.p.d.n", position, envelope, tuple(facts), Head(position, position, b""))


def error(message: str) -> execution_pb2.ExecutionError:
    return execution_pb2.ExecutionError(code="ValueError", message=message, kind=execution_pb2.ExecutionError.USER)


def becauses(history: History, records: Sequence[Recorded]) -> list[str]:
    return [line.because for record in records for line in history.lines(record)]


def test_facts_of_one_decision_share_position_and_time_and_name_their_cause_once() -> None:
    history = History()
    history.lines(recorded(1, facts_pb2.ExecutionCreated(), because="request"))
    lines = history.lines(
        recorded(2, facts_pb2.ExecutionStarted(), facts_pb2.NodeQueued(node_id="n0"), because="event-1", seconds=1.5)
    )
    assert [(line.position, line.seconds, line.because) for line in lines] == [(2, 1.5, "#1"), (2, 1.5, "")]


def test_what_an_execution_waits_for_is_told() -> None:
    assert detail(facts_pb2.ExecutionWaiting(limits=["launch_plan/p", "domain"])) == "for launch_plan/p, domain"


def test_request_is_named_by_its_client() -> None:
    actor = Actor(subject="ada", method="none", client="flytekit/1.16 more")
    line = History().lines(recorded(1, facts_pb2.ExecutionCreated(), because="request", actor=actor))[0]
    assert line.because == "request by ada, flytekit/1.16"


def test_observation_is_named_by_what_the_launcher_saw() -> None:
    history = History()
    seen = AttemptObserved(node_id="n0", attempt=1, stage=AttemptObserved.EXITED)
    history.learn([recorded(7, seen)])
    lines = history.lines(recorded(3, facts_pb2.AttemptSucceeded(node_id="n0", attempt=1), because="event-7"))
    assert lines[0].because == "launcher: EXITED n0/1"


def test_answers_are_named_by_what_the_catalog_said() -> None:
    def answered(kind: CacheAnswer.Kind, node_id: str) -> CacheAnswer:
        answer = CacheAnswer(kind=kind)
        answer.node.node_id = node_id
        return answer

    history = History()
    history.learn([recorded(7, answered(CacheAnswer.FOUND, "n0"))])
    history.learn([recorded(8, answered(CacheAnswer.NOT_FOUND, "n1"), answered(CacheAnswer.FOUND, "n2"))])
    told = becauses(
        history,
        [
            recorded(3, facts_pb2.NodeSucceeded(node_id="n0"), because="event-7"),
            recorded(4, facts_pb2.NodeQueued(node_id="n1"), because="event-8"),
        ],
    )
    assert told == ["catalog: FOUND n0", "catalog: NOT_FOUND n1 and 1 more"]


def test_questions_to_the_catalog_tell_node_and_key() -> None:
    asked = facts_pb2.CacheAsked()
    asked.node.node_id = "n0"
    key = asked.node.cache.key
    key.dataset.name, key.dataset.version, key.tag = "flyte_task-t", "1-a-b", "flyte_cached-c"
    assert place(asked) == ("n0", None)
    assert detail(asked) == "flyte_task-t 1-a-b, flyte_cached-c"
    assert detail(facts_pb2.CachePutRequested(key=key, overwrites=True)).endswith("flyte_cached-c; overwrites")


def test_success_tells_where_a_cached_result_comes_from() -> None:
    fact = facts_pb2.NodeSucceeded(cache_status=CatalogCacheStatus.CACHE_HIT)
    source = fact.catalog_key.source_task_execution.node_execution_id
    source.node_id, source.execution_id.name = "n3", "earlier"
    assert detail(fact) == "CACHE_HIT by n3 of earlier"


def test_alarm_is_named_as_one() -> None:
    records = [
        recorded(1, facts_pb2.ExecutionCreated(), because="request", actor=Actor(method="none", client="c")),
        recorded(2, facts_pb2.TimerSet(timer_id="n0"), because="event-1"),
        recorded(3, facts_pb2.AttemptScheduled(node_id="n0"), because="event-2"),
    ]
    assert becauses(History(), records)[1:] == ["#1", "alarm of #2"]


def test_attempt_number_is_told_where_the_fact_has_one() -> None:
    assert place(facts_pb2.AttemptFailed(node_id="n0", attempt=0)) == ("n0", 0)
    assert place(facts_pb2.NodeSucceeded(node_id="n0")) == ("n0", None)
    assert place(facts_pb2.ExecutionStarted()) == ("", None)


def test_error_is_told_by_its_last_line() -> None:
    text = detail(facts_pb2.NodeFailed(node_id="n0", error=error("Traceback …\n  File x\n\nValueError: not 7\n")))
    assert text == "USER ValueError: ValueError: not 7"


def test_usage_is_told_in_seconds_and_megabytes() -> None:
    usage = Usage(peak_memory_bytes=200 * 2**20, wall_time=Duration(seconds=1, nanos=250_000_000))
    assert detail(facts_pb2.AttemptSucceeded(node_id="n0", usage=usage)) == "took 1.25 s, memory 200 MB"


def test_scheduled_attempt_tells_its_task() -> None:
    task = identifier_pb2.Identifier(name="training.train", version="v1")
    assert detail(facts_pb2.AttemptScheduled(node_id="n0", task_id=task)) == "task training.train@v1"
    assert detail(facts_pb2.AttemptScheduled(node_id="n0", task_id=task, in_engine=True)).endswith("in the engine")


def test_what_follows_a_failure_is_told() -> None:
    queued = facts_pb2.NodeQueued(node_id="fn0", kind=facts_pb2.TASK, name="clean_up", handles_failure=True)
    assert detail(queued) == "task clean_up; handles the failure"
    assert detail(facts_pb2.AbortRequested(cause="stuck", principal="ada", force=True)) == "stuck; by ada; by force"
    assert detail(facts_pb2.AttemptAborted(reason="Workflow aborted.", abandoned=True)) == (
        "Workflow aborted.; not waited for"
    )


def test_plan_of_a_dynamic_task_tells_its_workflow() -> None:
    workflow = identifier_pb2.Identifier(name="dynamic_n0", version="xnsctr945z")
    fact = facts_pb2.DynamicPlanned(node_id="n0", attempt=1, workflow_id=workflow)
    assert detail(fact) == "workflow dynamic_n0@xnsctr945z"
    assert place(fact) == ("n0", 1)


def test_what_users_wrote_does_not_command_the_terminal() -> None:
    said = detail(facts_pb2.NodeFailed(node_id="n0", error=error("\x1b[2Jgone\x07 \x9b2J")))
    assert said == "USER ValueError: �[2Jgone� �2J"


def test_long_detail_is_cut_and_stays_on_one_line() -> None:
    text = detail(facts_pb2.NodeFailed(error=error("x" * 5000)))
    assert len(text) == 300
    assert text.endswith("…")
    assert "\n" not in text


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_has_a_line(name: str) -> None:
    fact = getattr(facts_pb2, name)()
    line = History().lines(recorded(1, fact))[0]
    assert line.fact == name
    assert isinstance(line.detail, str)
    assert document_of(recorded(1, fact))["facts"][0]["fact"] == name


def test_history_ends_with_a_final_fact() -> None:
    assert set(FACTS) >= FINAL
    assert is_final(recorded(9, facts_pb2.NodeSucceeded(), facts_pb2.ExecutionSucceeded()))
    assert not is_final(recorded(9, facts_pb2.ExecutionFailing()))


def test_who_waits_for_a_place_says_where_and_who_has_them_says_whose_they_are() -> None:
    asked = facts_pb2.SlotAsked(node_id="n0", number=3)
    asked.root.name = "the root"
    assert (place(asked), detail(asked)) == (("n0", None), "place in the root")
    granted = facts_pb2.SlotGranted(number=3)
    granted.node.node_id, granted.node.execution_id.name = "n0", "below"
    assert (place(granted), detail(granted)) == (("", None), "place for n0 of below")
