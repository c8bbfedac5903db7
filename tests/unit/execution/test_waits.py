"""What an execution's nodes wait for, told of its state."""

from __future__ import annotations

from datetime import timedelta

from flyteidl.core.execution_pb2 import TaskExecution

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.execution.v1.queue_service_pb2 import Wait
from services.execution import engine
from services.execution.waits import waits
from tests.unit.engine import test_caching
from tests.unit.engine.story import INPUT, MORNING, Flow, From, Story


def started(flow: Flow, **options: object) -> Story:
    story = Story(flow, {"x": 1}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def told(story: Story, **later: float) -> list[Wait]:
    assert story.state is not None
    return list(waits(story.state, MORNING + timedelta(**later)))


def test_attempts_with_what_the_launcher_said_last() -> None:
    story = started(Flow().task("a", retries=1).task("b", after=["a"]))
    story.sees("a", "QUEUED", reason="Unschedulable:0/1 nodes")
    (wait,) = told(story)
    assert (wait.node_id, wait.kind, wait.attempt) == ("a", Wait.ATTEMPT, 0)
    assert (wait.phase, wait.reason) == (TaskExecution.QUEUED, "Unschedulable:0/1 nodes")
    story.terminate("enough")
    assert [wait.stopping for wait in told(story)] == ["Workflow aborted."]


def test_places_in_the_order_of_the_line() -> None:
    story = started(Flow().task("a").task("b").task("c"), parallelism=1)
    running, *waiting = told(story)
    assert (running.node_id, running.kind) == ("a", Wait.ATTEMPT)
    assert [(wait.node_id, wait.kind, wait.position, wait.limit) for wait in waiting] == [
        ("b", Wait.PLACE, 1, 1),
        ("c", Wait.PLACE, 2, 1),
    ]


def test_signals_and_sleep() -> None:
    story = started(Flow().waits("a", "go").sleeps("b", 60).approves("c", "fine", INPUT))
    first, second, third = sorted(told(story), key=lambda wait: wait.node_id)
    assert (first.kind, first.name) == (Wait.SIGNAL, "go")
    assert (second.kind, second.due.ToDatetime()) == (Wait.SLEEP, (MORNING + timedelta(minutes=1)).replace(tzinfo=None))
    assert (third.kind, third.name) == (Wait.SIGNAL, "fine")


def test_child_executions() -> None:
    story = started(Flow().launches("a"))
    (wait,) = told(story)
    requested = story.last(facts.ChildExecutionRequested)
    assert (wait.kind, wait.name) == (Wait.CHILD_EXECUTION, requested.execution_id.name)


def test_the_pause_before_another_attempt() -> None:
    settings = engine.EngineSettings(retry_backoff_base=timedelta(seconds=30), retry_backoff_max=timedelta(seconds=30))
    story = started(Flow().task("a", retries=1), settings=settings)
    story.fails("a", recoverable=True)
    (wait,) = told(story)
    assert (wait.kind, wait.attempt) == (Wait.RETRY, 1)
    assert wait.due.ToDatetime() == (MORNING + timedelta(seconds=30)).replace(tzinfo=None)
    # The alarm is late: nobody waits for the time any more.
    assert Wait.RETRY not in {wait.kind for wait in told(story, seconds=30)}


def test_the_answer_of_the_catalog_and_the_result_of_another_node() -> None:
    story = started(test_caching.chain(serialize=True))
    assert [wait.kind for wait in told(story)] == [Wait.CACHE]
    test_caching.answers(story, "n0", "NOT_FOUND")
    test_caching.answers(story, "n0", "AWAITING")
    (wait,) = told(story)
    assert wait.kind == Wait.RESERVATION
    assert wait.name.split()[1] == test_caching.key_of(story, "n0").tag


def test_elements_say_which_they_are_and_what_consists_of_others_says_nothing() -> None:
    story = started(
        Flow().map("m", {"a": [1, 2]}).sub("s", Flow("inner").task("i", {"x": INPUT}), {"x": From("", "x")})
    )
    elements = [wait for wait in told(story) if wait.HasField("element")]
    assert [wait.element for wait in elements] == [0, 1]
    assert {wait.parent_node_id for wait in elements} == {"m"}
    assert "s" not in {wait.node_id for wait in told(story)}


def test_nothing_is_waited_for_when_it_is_over() -> None:
    story = started(Flow().task("a"))
    story.succeeds("a")
    assert told(story) == []
