"""Whatever comes first: where what an attempt does depends on the attempt alone, the order of events changes nothing.

Every random workflow runs several times: the same attempts end in the same ways and with the same outputs, but
in another order, reported once or twice, with another number of places. All runs must end in the same state.
Failures are fatal only where the other nodes go on after one: else it depends on the order who is stopped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.types_pb2 import BOOLEAN
from google.protobuf.message import Message

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import Flow, Story, error_document, literal_map
from tests.unit.engine.test_any_mixture import LAUNCH_PLANS, Design

_RUNS = 4
_ENDED = ("SUCCEEDED", "FAILED")
# Deadlines never pass in these runs.
_TIMERS = (facts.RETRY, facts.SLEEP)


class Fate:
    """What becomes of each attempt, by its name: the same in every run."""

    def __init__(self, seed: int, *, fatal: bool) -> None:
        self.seed = seed
        self.fatal = fatal

    def number(self, *words: object) -> int:
        return crc32(repr((self.seed, *words)).encode())

    def outputs(self, node_id: str) -> Any:
        return literal_map({"o0": self.number("output", node_id) % 6})

    def lost(self, node_id: str, attempt: int) -> bool:
        return attempt == 0 and self.number("lost", node_id) % 4 == 0

    def fails(self, node_id: str) -> bool:
        return self.fatal and self.number("fails", node_id) % 6 == 0


class Run:
    """One way in which the same things happen."""

    def __init__(self, order: random.Random, design: Design, flow: Flow, fate: Fate) -> None:
        self.order = order
        self.design = design
        self.fate = fate
        settings = engine.EngineSettings(caching=False, max_system_failures=1)
        self.story = Story(flow, {"x": 5}, parallelism=order.choice([0, 1, 3]), settings=settings)
        # What can happen next: attempts and child executions that run, timers, signals.
        self.pending: dict[tuple[str, ...], Callable[[], engine.Command]] = {}
        self.give(engine.StartExecution())
        while self.pending and self.story.phase not in _ENDED:
            key = order.choice(sorted(self.pending))
            command = self.pending.pop(key)()
            self.give(command)
            if order.random() < 0.2 and not isinstance(command, engine.SetSignal):
                assert not self.story.decided(command)
        assert self.story.phase in _ENDED, "nothing is left to happen, and it is not over"

    def give(self, command: engine.Command) -> None:
        if self.order.random() < 0.2:
            self.story.state = engine.fold(self.story.history)
        for fact in self.story.decided(command):
            self.see(fact)

    def see(self, fact: Message) -> None:
        match fact:
            case facts.AttemptScheduled() if not fact.in_engine:
                self.pending["attempt", fact.node_id, str(fact.attempt)] = lambda: self.ended(fact)
            case facts.ChildExecutionRequested():
                self.pending["child", fact.node_id, str(fact.attempt)] = lambda: self.child_ended(fact)
            case facts.TimerSet() if fact.kind in _TIMERS:
                self.pending["timer", fact.timer_id] = lambda: engine.FireTimer(fact.timer_id)
            case facts.SignalAwaited():
                value = literal_map({"v": True if fact.type.simple == BOOLEAN else 5}).literals["v"]
                self.pending["signal", fact.signal_id] = lambda: engine.SetSignal(fact.signal_id, value, "me")
            case facts.AttemptAborting() | facts.ChildExecutionAborting():
                raise AssertionError(f"{fact.node_id} is stopped, though nothing stops others here")
            case _:
                pass

    def ended(self, fact: facts.AttemptScheduled) -> engine.Command:
        story, node_id, attempt = self.story, fact.node_id, fact.attempt
        if self.fate.lost(node_id, attempt):
            return engine.ObserveAttempt(story.observation(node_id, "LOST", attempt))
        if self.fate.fails(node_id) and story.node(node_id).element is None:
            result = engine.AttemptResult(error=error_document("E", f"{node_id} failed", recoverable=False))
            return engine.ObserveAttempt(story.observation(node_id, "EXITED", attempt), result)
        asked = self.design.dynamic.get(fact.task_id.name)
        if asked is not None:
            return story.asking(node_id, asked, attempt, launch_plans=LAUNCH_PLANS)
        ref = story.put(f"{fact.results_prefix or fact.output_prefix}/outputs.pb", self.fate.outputs(node_id))
        return engine.ObserveAttempt(story.observation(node_id, "EXITED", attempt), engine.AttemptResult(outputs=ref))

    def child_ended(self, fact: facts.ChildExecutionRequested) -> engine.Command:
        node_id, attempt = fact.node_id, fact.attempt
        if self.fate.fails(node_id) and self.story.node(node_id).element is None:
            error = ExecutionError(code="C", message=f"child of {node_id} failed", kind=ExecutionError.USER)
            return engine.ObserveChild(node_id, attempt, WorkflowExecution.FAILED, error=error)
        ref = self.story.put(f"s3://bucket/children/{node_id}/outputs.pb", self.fate.outputs(node_id))
        return engine.ObserveChild(node_id, attempt, WorkflowExecution.SUCCEEDED, ref)

    def outcome(self) -> dict[str, Any]:
        """How everything ended: the execution, and each node with its outputs and error."""
        story = self.story
        state = story.state
        assert state is not None
        nodes = {
            node_id: (
                node.phase.name,
                node.attempt_number,
                node.taken,
                node.error.SerializeToString() if node.error else b"",
                story.data(node.outputs) if node.outputs is not None and node.outputs.sha256 else None,
            )
            for node_id, node in state.nodes.items()
        }
        return {"": (story.phase, state.error.SerializeToString() if state.error else b""), **nodes}


@pytest.mark.parametrize("fatal", [False, True], ids=["all_succeed", "some_fail"])
@pytest.mark.parametrize("seed", range(60))
def test_the_order_of_events_changes_nothing(seed: int, fatal: bool) -> None:
    design = Design(random.Random(seed))
    flow = design.workflow("main", 0).fails_after()
    fate = Fate(seed, fatal=fatal)
    runs = [Run(random.Random(f"{seed}/{number}"), design, flow, fate) for number in range(_RUNS)]
    first, *others = (run.outcome() for run in runs)
    for other in others:
        assert other == first
