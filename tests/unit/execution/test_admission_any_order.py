"""Executions and their queue in any order: creates that die, messages that come twice, late or side by side.

The steps are those of `services.execution.admission.admission`, each a decision of one aggregate; between two of them
anything may happen, and a process may die.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flightlog_protos.execution.v1 import admission_pb2 as facts
from flightlog_protos.execution.v1.facts_pb2 import ConcurrencyLimit
from services.execution.admission.queue import Command, Decision, Enter, Leave, Queue, Take, decide, evolve
from services.execution.admission.snapshots import restored, stands

# Some ask for less.
MOST = {"plan": 1, "other": 2, "key": 1, "domain": 3}
BEHAVIORS = (ConcurrencyLimit.SKIP, ConcurrencyLimit.WAIT, ConcurrencyLimit.REPLACE)
PATIENCE = 3

Steps = Generator[None]


@dataclass
class Run:
    """An execution as its own history has it."""

    limits: tuple[ConcurrencyLimit, ...]
    arrived: int
    phase: str = "created"
    # Terminated by somebody, before or after it ran.
    terminated: bool = False
    ran: bool = False


@dataclass
class Task:
    """A handler on its way; when it dies, what it was called for comes again."""

    steps: Steps
    again: Callable[[], Steps] | None


@dataclass
class World:
    """The log: one queue, executions, and what is yet to be handled."""

    queue: Queue = field(default_factory=Queue)
    history: list[Message] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    todo: list[Callable[[], Steps]] = field(default_factory=list)
    done: list[Callable[[], Steps]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    clock: int = 0

    def give(self, command: Command) -> Decision:
        self.clock += 1
        decision = decide(self.queue, command, Timestamp(seconds=self.clock), PATIENCE)
        for fact in decision.facts:
            self.check_order(fact)
            self.queue = evolve(self.queue, fact)
            self.history.append(fact)
            match fact:
                case facts.PlaceTaken():
                    self.todo.append(partial(self.alarm, fact.execution))
                case facts.PlaceGiven():
                    self.todo.append(partial(self.start, fact.execution))
                case facts.PlaceReclaimed():
                    self.todo.append(partial(self.terminate, fact.execution))
                case _:
                    pass
        assert self.queue == decision.queue == restored(stands(decision.queue))
        return decision

    def check_order(self, fact: Message) -> None:
        """First come, first served: whoever is passed lacks a limit that the other does not need."""
        if not isinstance(fact, facts.PlaceGiven):
            return
        needed = {limit.name for limit in fact.limits}
        known = self.queue.members.get(fact.execution)
        if known is None or not known.in_line:
            return
        for arrived, execution in self.queue.line:
            theirs = {limit.name for limit in self.queue.members[execution].limits}
            if arrived < fact.arrived and theirs & needed:
                assert theirs - needed, f"{fact.execution} passes {execution}"

    # What processes do, step by step.

    def create(self, name: str, limits: tuple[ConcurrencyLimit, ...]) -> Steps:
        if any(limit.behavior == ConcurrencyLimit.SKIP for limit in limits):
            if name in self.runs:
                return
            yield
            if self.give(Take(name, limits)).standing == "refused":
                self.refused.add(name)
                return
            yield
        if name not in self.runs:
            self.runs[name] = Run(limits, arrived=len(self.runs) + 1)
            self.todo.append(partial(self.created, name))
        else:
            yield from self.give_back(name)

    def give_back(self, name: str) -> Steps:
        run = self.runs.get(name)
        needless = run is None or run.phase != "created"
        yield
        if needless:
            self.give(Leave(name, unclaimed=True))

    def alarm(self, name: str) -> Steps:
        yield from self.give_back(name)

    def created(self, name: str) -> Steps:
        run = self.runs[name]
        if run.phase == "ended":
            self.give(Leave(name))
        if run.phase != "created":
            return
        yield
        self.give(Enter(name, run.limits, run.arrived))
        yield
        if self.runs[name].phase == "ended":
            self.give(Leave(name))

    def start(self, name: str) -> Steps:
        yield
        run = self.runs[name]
        if run.phase == "created":
            run.phase, run.ran = "running", True

    def terminate(self, name: str) -> Steps:
        yield
        self.runs[name].terminated = True
        self.end(name)

    def ended(self, name: str) -> Steps:
        yield
        self.give(Leave(name))

    def end(self, name: str) -> None:
        run = self.runs[name]
        if run.phase != "ended":
            run.phase = "ended"
            self.todo.append(partial(self.ended, name))

    def advance(self, task: Task) -> bool:
        """One step; whether there are more."""
        try:
            next(task.steps)
        except StopIteration:
            if task.again is not None:
                self.done.append(task.again)
            return False
        return True


@st.composite
def limits(draw: st.DrawFn) -> tuple[ConcurrencyLimit, ...]:
    names = draw(st.lists(st.sampled_from(sorted(MOST)), min_size=1, max_size=3, unique=True))
    return tuple(
        ConcurrencyLimit(name=name, max=draw(st.integers(1, MOST[name])), behavior=draw(st.sampled_from(BEHAVIORS)))
        for name in names
    )


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.tasks: list[Task] = []
        self.asked: list[tuple[str, tuple[ConcurrencyLimit, ...]]] = []

    @rule(limits=limits())
    def ask(self, limits: tuple[ConcurrencyLimit, ...]) -> None:
        name = f"e{len(self.asked)}"
        self.asked.append((name, limits))
        self.tasks.append(Task(self.world.create(name, limits), None))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """Its caller has heard nothing."""
        name, limits = data.draw(st.sampled_from(self.asked))
        self.tasks.append(Task(self.world.create(name, limits), None))

    @precondition(lambda self: self.world.todo)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.world.todo) - 1))
        again = self.world.todo.pop(index)
        self.tasks.append(Task(again(), again))

    @precondition(lambda self: self.world.done)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.world.done))
        self.tasks.append(Task(again(), again))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.tasks) - 1))
        if not self.world.advance(self.tasks[index]):
            self.tasks.pop(index)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        task = self.tasks.pop(data.draw(st.integers(0, len(self.tasks) - 1)))
        if task.again is not None:
            self.world.todo.append(task.again)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        running = sorted(name for name, run in self.world.runs.items() if run.phase == "running")
        if running:
            self.world.end(data.draw(st.sampled_from(running)))

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data())
    def terminate(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.runs)))
        if self.world.runs[name].phase != "ended":
            self.world.runs[name].terminated = True
            self.world.end(name)

    @invariant()
    def never_more_than_a_limit_allows(self) -> None:
        running = Counter(
            limit.name for run in self.world.runs.values() if run.phase == "running" for limit in run.limits
        )
        assert all(count <= MOST[name] for name, count in running.items()), running

    def teardown(self) -> None:
        """Everything that was asked for is done in the end, and nobody is left in the queue."""
        world = self.world
        for _ in range(10_000):
            if self.tasks:
                task = self.tasks[-1]
                if not world.advance(task):
                    self.tasks.remove(task)
            elif world.todo:
                again = world.todo.pop()
                self.tasks.append(Task(again(), again))
            else:
                running = sorted(name for name, run in world.runs.items() if run.phase == "running")
                if not running:
                    break
                world.end(running[0])
            self.never_more_than_a_limit_allows()
        assert all(run.phase == "ended" for run in world.runs.values()), world.runs
        assert all(run.ran or run.terminated for run in world.runs.values())
        assert world.queue == Queue()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
