"""Whatever becomes of an array's elements, in whatever order: what must hold of every array.

Random sizes, parallelism, criteria and retries; elements succeed, fail, are lost and run out of time; somebody aborts.
The rules are checked on the facts alone.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flyteidl.core.execution_pb2 import TaskExecution
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, Flow, From, Story

SYSTEM_BUDGET = 1


@dataclass
class Elements:
    """What the facts say of the elements of an array's current attempt."""

    array: facts.ArrayPlanned
    # Element node ids in the order in which they were queued.
    queued: list[str] = field(default_factory=list[str])
    live: dict[str, int] = field(default_factory=dict[str, int])
    ended: dict[str, type[Any]] = field(default_factory=dict[str, type[Any]])
    attempts: Counter[str] = field(default_factory=Counter[str])
    # How many had failed when the array did; one that was running out of time may follow.
    lost_after: int = 0
    # The array's own time was over.
    timed_out: bool = False

    @property
    def open(self) -> int:
        return len(self.queued) - len(self.ended)

    @property
    def failed(self) -> list[str]:
        return [node for node, how in self.ended.items() if how in (facts.NodeFailed, facts.NodeTimedOut)]


class World:
    """One array, its facts as they come, and who runs its attempts."""

    def __init__(self, story: Story, node_id: str) -> None:
        self.story = story
        self.node_id = node_id
        self.elements: Elements | None = None
        self.values: dict[str, int] = {}
        self.stopping: set[str] = set()
        self.seen = 0

    def see(self) -> None:
        for fact in self.story.history[self.seen :]:
            self.take(fact)
        self.seen = len(self.story.history)
        if self.elements is not None and self.elements.array.parallelism:
            assert self.elements.open <= self.elements.array.parallelism

    def take(self, fact: Any) -> None:
        if isinstance(fact, facts.ArrayPlanned):
            assert self.elements is None or not self.elements.live
            self.elements = Elements(fact)
        elements = self.elements
        if elements is None:
            return
        if isinstance(fact, facts.NodeQueued) and fact.HasField("element"):
            assert fact.element == len(elements.queued), "elements start in order, none left out"
            elements.queued.append(fact.node_id)
        if isinstance(fact, facts.NodeFailing) and fact.node_id == self.node_id:
            elements.lost_after = len(elements.failed)
            elements.timed_out |= fact.ending != facts.ENDS_FAILED
        if getattr(fact, "node_id", "") not in elements.queued:
            return
        match fact:
            case facts.AttemptScheduled():
                assert fact.node_id not in elements.live, "two attempts at once"
                assert fact.attempt == elements.attempts[fact.node_id]
                elements.attempts[fact.node_id] += 1
                elements.live[fact.node_id] = fact.attempt
            case facts.AttemptSucceeded() | facts.AttemptFailed() | facts.AttemptAborted():
                assert elements.live.pop(fact.node_id) == fact.attempt
                self.stopping.discard(fact.node_id)
            case facts.AttemptAborting():
                self.stopping.add(fact.node_id)
            case facts.NodeSucceeded() | facts.NodeFailed() | facts.NodeTimedOut() | facts.NodeAborted():
                assert fact.node_id not in elements.ended, "an element ended twice"
                assert fact.node_id not in elements.live, "an element ended under its attempt"
                elements.ended[fact.node_id] = type(fact)
            case _:
                pass

    def ends(self, node: str, how: str) -> None:
        assert self.elements is not None
        attempt = self.elements.live[node]
        if node in self.stopping and how != "ok":
            how = "killed"
        match how:
            case "ok":
                self.values[node] = 10 * len(self.values) + attempt
                self.story.succeeds(node, attempt, outputs={"o0": self.values[node]})
            case "fail" | "retry":
                self.story.fails(node, attempt, message=f"{how}!", recoverable=how == "retry")
            case "lost":
                self.story.sees(node, "LOST", attempt)
            case _:
                self.story.sees(node, "KILLED", attempt)
        self.see()


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    array: dict[str, Any] = {}
    if draw(st.booleans()):
        array["parallelism"] = draw(st.integers(0, 4))
    criterion = draw(st.sampled_from(["all", "ratio", "count"]))
    if criterion == "ratio":
        array["min_success_ratio"] = draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0]))
    elif criterion == "count":
        array["min_successes"] = draw(st.integers(0, 7))
    array["run_all_sub_nodes"] = draw(st.booleans())
    return array


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    array=arrays(),
    size=st.integers(0, 6),
    retries=st.integers(0, 2),
    seconds=st.sampled_from([0, 0, 5]),
    limited=st.sampled_from([False, False, True]),
    nested=st.booleans(),
    pause=st.sampled_from([0, 1]),
    data=st.data(),
)
def test_any_array_comes_to_the_end_it_must_have(
    array: dict[str, Any],
    size: int,
    retries: int,
    seconds: int,
    limited: bool,
    nested: bool,
    pause: int,
    data: st.DataObject,
) -> None:
    limit = {"timeout": 20, "node_retries": 1} if limited else {}
    flow = Flow("inner").map("n0", {"a": INPUT}, array=array, retries=retries, seconds=seconds, **limit)
    flow.returns(o0=From("n0"))
    if nested:
        flow = Flow().sub("n1", flow, {"x": INPUT}).returns(o0=From("n1"))
    limits = engine.EngineSettings(max_system_failures=SYSTEM_BUDGET, retry_backoff_base=timedelta(seconds=pause))
    story = Story(flow, {"x": list(range(size))}, settings=limits)
    world = World(story, "n1-0-n0" if nested else "n0")
    story.start()
    world.see()
    if array.get("min_successes", 0) > size > 0:
        assert story.error().code == "InvalidArrayLength"
        return
    aborts = data.draw(st.integers(0, 9)) == 0
    for _ in range(200):
        if story.phase in ("SUCCEEDED", "FAILED", "ABORTED"):
            break
        step(story, world, data, aborts=aborts)
    assert story.phase in ("SUCCEEDED", "FAILED", "ABORTED"), "nothing moves any more, and it is not over"
    assert engine.fold(story.history) == story.state
    check_end(story, world, size, array)


def step(story: Story, world: World, data: st.DataObject, *, aborts: bool) -> None:
    assert story.state is not None
    assert world.elements is not None
    live = sorted(world.elements.live)
    what = data.draw(st.sampled_from(["end", "end", "end", "alarm", "abort" if aborts else "end"]))
    timers = [key for key in sorted(story.state.timers) if key.split("/")[0] not in world.elements.ended]
    if what == "abort":
        if story.phase == "RUNNING":
            story.terminate()
            world.see()
    elif live and (what == "end" or not timers):
        how = data.draw(st.sampled_from(["ok", "ok", "fail", "retry", "lost"]))
        world.ends(data.draw(st.sampled_from(live)), how)
    elif timers:
        timer = data.draw(st.sampled_from(timers))
        story.now = max(story.now, story.state.timers[timer].due)
        story.fire(timer)
        world.see()


def check_end(story: Story, world: World, size: int, array: dict[str, Any]) -> None:
    elements = world.elements
    assert elements is not None
    assert (elements.array.size, elements.live, elements.open) == (size, {}, 0)
    needed = min(needed_of(array, size), size)
    assert elements.array.min_successes == needed
    ended = story.last(facts.ArrayEnded)
    if story.phase == "ABORTED" or elements.timed_out:
        return
    lost = len(elements.failed) > size - needed
    assert (story.phase == "FAILED") == lost
    assert ended.phase == (TaskExecution.FAILED if lost else TaskExecution.SUCCEEDED)
    if lost:
        if array.get("run_all_sub_nodes"):
            assert len(elements.ended) == size
        else:
            assert elements.lost_after == size - needed + 1, "it fails as soon as it must"
        first = min(map(elements.queued.index, elements.failed[: elements.lost_after]))
        assert story.error().message.startswith((f"[{first}]", f"[{first}-"))
    else:
        assert len(elements.ended) == size
        values = [
            world.values[node] if elements.ended[node] is facts.NodeSucceeded else None for node in elements.queued
        ]
        assert story.outputs() == {"o0": values}


def needed_of(array: dict[str, Any], size: int) -> int:
    if "min_successes" in array:
        return array["min_successes"]
    return math.ceil(round(array.get("min_success_ratio", 1.0) * size, 6))
