"""Whatever happens, in whatever order, however often: what must hold of every execution.

Random workflows (tasks, echoes, nested and dynamic workflows, both failure policies, retries, timeouts, a parallelism
limit) run against a random outside world: attempts succeed, fail, crash, vanish; observations come late and twice;
alarms go off; somebody aborts. The rules are checked on the facts alone, with no help from the engine's own state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flyteidl.core.execution_pb2 import ExecutionError
from google.protobuf.message import Message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import Exit
from services.execution import engine
from services.execution.engine.names import unique_node_id
from tests.unit.engine.story import INPUT, Flow, From, Story, error_document, literal_map

_ENDS = (facts.NodeSucceeded, facts.NodeFailed, facts.NodeTimedOut, facts.NodeAborted, facts.NodeSkipped)
_ATTEMPT_ENDS = (facts.AttemptSucceeded, facts.AttemptFailed, facts.AttemptAborted)
_LAST = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)
SYSTEM_BUDGET = 2

# ---------------------------------------------------------------------------------------------------- workflows


@dataclass
class Plan:
    """A workflow beside what the test must know of it."""

    flow: Flow
    sources: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    before: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    subs: dict[str, Plan] = field(default_factory=lambda: dict[str, Plan]())
    budgets: dict[str, int] = field(default_factory=dict[str, int])
    returns: Mapping[str, Any] = field(default_factory=dict[str, Any])


@st.composite
def plans(draw: st.DrawFn, depth: int = 0, name: str = "main", has_input: bool = True, typed: bool = False) -> Plan:
    """`typed`: it is compiled during the run, which looks at types: nothing but numbers, and at least one node."""
    plan = Plan(Flow(name))
    node_ids: list[str] = []
    for index in range(draw(st.integers(0 if depth and not typed else 1, 5 - depth))):
        node_id = f"n{index}"
        kind = draw(st.sampled_from(["task", "task", "echo", "sub", "dynamic"] if depth < 2 else ["task", "echo"]))
        source = draw(sources(node_ids, has_input, typed))
        after = draw(st.sets(st.sampled_from(node_ids), max_size=2)) if node_ids else set[str]()
        metadata: dict[str, Any] = {}
        if kind != "echo" and draw(st.integers(0, 3)) == 0:
            metadata["timeout"] = 8
        budget = draw(st.integers(0, 2)) if kind != "echo" else 0
        if budget:
            metadata["node_retries"] = budget
        if kind in ("task", "dynamic"):
            plan.flow.task(node_id, {"a": source}, after=sorted(after), **metadata)
            if kind == "dynamic":
                plan.subs[node_id] = draw(plans(depth + 1, f"{name}.{node_id}", has_input=False, typed=True))
        elif kind == "echo":
            plan.flow.echo(node_id, source, after=sorted(after))
        else:
            plan.subs[node_id] = draw(plans(depth + 1, f"{name}.{node_id}", typed=typed))
            plan.flow.sub(node_id, plan.subs[node_id].flow, {"x": source}, after=sorted(after), **metadata)
        plan.kinds[node_id], plan.budgets[node_id] = kind, budget + 1
        plan.sources[node_id] = {"x" if kind == "sub" else "a": source}
        plan.before[node_id] = after | named(source)
        node_ids.append(node_id)
    plan.returns = {"o0": draw(sources(node_ids, has_input, typed))}
    plan.flow.returns(**plan.returns)
    if draw(st.booleans()):
        plan.flow.fails_after()
    return plan


def sources(node_ids: list[str], has_input: bool, typed: bool) -> st.SearchStrategy[Any]:
    single: st.SearchStrategy[Any] = st.integers(0, 9)
    if has_input:
        single |= st.just(INPUT)
    if node_ids:
        single |= st.sampled_from([From(node_id) for node_id in node_ids])
    if typed:
        return single
    return single | st.lists(single, max_size=3) | st.dictionaries(st.sampled_from("abc"), single, max_size=2)


def named(source: Any) -> set[str]:
    match source:
        case From(node=node):
            return {node} if node else set()
        case list() | dict():
            return {node for item in (source if isinstance(source, list) else source.values()) for node in named(item)}
        case _:
            return set()


# ---------------------------------------------------------------------------------------------------- the machine


@settings(max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
class AnyHistory(RuleBasedStateMachine):
    """An execution and the world around it."""

    story: Story
    plan: Plan

    @initialize(plan=plans(), parallelism=st.integers(0, 2), pause=st.sampled_from([0, 1]))
    def create(self, plan: Plan, parallelism: int, pause: int) -> None:
        self.plan = plan
        self.parallelism = parallelism
        self.story = Story(
            plan.flow,
            {"x": 5},
            parallelism=parallelism,
            settings=engine.EngineSettings(SYSTEM_BUDGET, timedelta(seconds=pause)),
        )
        # Attempts that a launcher would have: key to whether it was told to stop.
        self.launched: dict[tuple[str, int], bool] = {}
        self.values: dict[str, int] = {}
        self.given: list[engine.Command] = []
        self.held_back: list[engine.Command] = []
        self.checked = 0
        self.versions = 0
        self.watch = Watch(plan, parallelism)
        self.give(engine.StartExecution())

    def give(self, command: engine.Command) -> tuple[Message, ...]:
        decided = self.story.decided(command)
        self.given.append(command)
        for fact in decided:
            if isinstance(fact, facts.AttemptScheduled) and not fact.in_engine:
                self.launched[fact.node_id, fact.attempt] = False
            elif isinstance(fact, facts.AttemptAborting):
                self.launched[fact.node_id, fact.attempt] = True
            elif isinstance(fact, _ATTEMPT_ENDS):
                self.launched.pop((fact.node_id, fact.attempt), None)
        return decided

    def over(self) -> bool:
        return self.story.state is not None and self.story.state.phase.terminal

    @rule(data=st.data())
    @precondition(lambda self: self.launched)
    def attempt_progresses(self, data: st.DataObject) -> None:
        node, attempt = data.draw(st.sampled_from(sorted(self.launched)))
        stage = data.draw(st.sampled_from(["WAITING_FOR_RESOURCES", "QUEUED", "INITIALIZING", "RUNNING"]))
        command = engine.ObserveAttempt(self.story.observation(node, stage, attempt, reason="because"))
        if data.draw(st.booleans()):
            self.give(command)
        else:
            self.held_back.append(command)

    @rule(data=st.data())
    @precondition(lambda self: self.launched)
    def attempt_ends(self, data: st.DataObject) -> None:
        node, attempt = data.draw(st.sampled_from(sorted(self.launched)))
        how = data.draw(st.sampled_from(["ok", "ok", "ok", "fail", "retry", "crash", "lost", "refused", "killed"]))
        self.end(node, attempt, how)

    def end(self, node: str, attempt: int, how: str) -> None:
        self.rules_hold()
        story, before = self.story, len(self.story.history)
        match how:
            case "ok" if (asked := self.watch.asked_for(node)) is not None:
                self.give(story.asking(node, asked.flow, attempt))
            case "ok":
                value = 100 + len(self.values)
                ref = story.put(f"{story.output_prefix(node)}/outputs.pb", literal_map({"o0": value}))
                found = engine.AttemptResult(outputs=ref)
                decided = self.give(engine.ObserveAttempt(story.observation(node, "EXITED", attempt), found))
                if any(isinstance(fact, facts.AttemptSucceeded) for fact in decided):
                    self.values[node] = value
            case "fail" | "retry":
                found = engine.AttemptResult(error=error_document("E", recoverable=how == "retry"))
                self.give(engine.ObserveAttempt(story.observation(node, "EXITED", attempt), found))
            case "crash":
                self.give(engine.ObserveAttempt(story.observation(node, "EXITED", attempt, exit=Exit(code=1))))
            case "refused":
                error = ExecutionError(code="R", kind=ExecutionError.USER)
                observation = story.observation(node, "NOT_LAUNCHED", attempt, error=error, recoverable=True)
                self.give(engine.ObserveAttempt(observation))
            case _:
                stage = {"lost": "LOST", "killed": "KILLED"}[how]
                self.give(engine.ObserveAttempt(story.observation(node, stage, attempt)))
        assert len(story.history) > before, "the end of a live attempt always matters"
        assert (node, attempt) not in self.launched

    @rule(data=st.data())
    def alarm_goes_off(self, data: st.DataObject) -> None:
        state = self.story.state
        if state is not None and state.timers:
            timer_id = data.draw(st.sampled_from(sorted(state.timers)))
            self.story.now = max(self.story.now, state.timers[timer_id].due)
            self.give(engine.FireTimer(timer_id))

    @rule(data=st.data())
    def something_is_delivered_again(self, data: st.DataObject) -> None:
        command = data.draw(st.sampled_from(self.given))
        if not isinstance(command, engine.TerminateExecution):
            assert self.story.decided(command) == ()

    @rule(data=st.data())
    @precondition(lambda self: self.held_back)
    def something_is_delivered_late(self, data: st.DataObject) -> None:
        self.give(self.held_back.pop(data.draw(st.integers(0, len(self.held_back) - 1))))

    @rule(chance=st.integers(0, 5))
    def somebody_aborts(self, chance: int) -> None:
        if chance:
            return
        try:
            self.give(engine.TerminateExecution("enough", "me"))
        except engine.Refused:
            assert self.over()

    @rule(chance=st.integers(0, 9))
    def the_workflow_is_lost(self, chance: int) -> None:
        if not chance:
            self.story.program = engine.Program.unrunnable("gone")

    @invariant()
    def rules_hold(self) -> None:
        if not hasattr(self, "watch"):
            return
        for fact in self.story.history[self.checked :]:
            self.watch.see(fact)
        self.checked = len(self.story.history)
        self.watch.check()

    def teardown(self) -> None:
        """From anywhere, the execution comes to its end when the world does its part."""
        if not hasattr(self, "watch"):
            return
        for _ in range(400):
            if self.over():
                break
            if self.launched:
                (node, attempt), stopping = min(self.launched.items())
                self.end(node, attempt, "killed" if stopping else "ok")
            else:
                self._fire_next()
        assert self.over(), "nothing moves any more, and it is not over"
        self.rules_hold()
        assert not self.launched
        assert engine.fold(self.story.history) == self.story.state
        if self.story.phase == "SUCCEEDED":
            assert self.story.outputs() == evaluated(self.plan, {"x": 5}, "", 0, self.values, self.watch.attempts)

    def _fire_next(self) -> None:
        state = self.story.state
        assert state is not None
        for timer_id, timer in sorted(state.timers.items(), key=lambda item: (item[1].due, item[0])):
            self.story.now = max(self.story.now, timer.due)
            if self.give(engine.FireTimer(timer_id)):
                return
        raise AssertionError("nothing runs and no timer helps, but it is not over")


# ---------------------------------------------------------------------------------------------------- the rules


class Watch:
    """Reads facts as they come and complains about what must never be."""

    def __init__(self, plan: Plan, parallelism: int) -> None:
        self.plan = plan
        self.parallelism = parallelism
        self.plans: dict[str, Plan] = {"": plan}
        self.where: dict[str, tuple[str, str]] = {}
        self.outcomes: dict[str, type[Message]] = {}
        self.live: dict[str, int] = {}
        self.in_engine: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.user_failures: Counter[str] = Counter()
        self.system_failures: Counter[str] = Counter()
        self.timed_out: set[tuple[str, int]] = set()
        self.ended: Message | None = None

    def see(self, fact: Message) -> None:
        assert self.ended is None, f"{type(fact).__name__} after the end"
        match fact:
            case facts.NodeQueued():
                self._starts(fact)
                if fact.kind == facts.SUB_WORKFLOW:
                    self.plans[fact.node_id] = self.plans[fact.parent_node_id].subs[fact.spec_node_id]
            case facts.NodeSkipped():
                self._skipped(fact)
            case facts.DynamicPlanned():
                asked = self.asked_for(fact.node_id)
                assert asked is not None
                assert fact.node_id not in self.live
                self.plans[fact.node_id] = asked
            case facts.AttemptScheduled():
                assert fact.node_id not in self.live, "two attempts at once"
                assert fact.node_id in self.where
                assert fact.node_id not in self.outcomes
                assert fact.attempt == self.attempts[fact.node_id]
                self.live[fact.node_id] = fact.attempt
                if fact.in_engine:
                    self.in_engine.add(fact.node_id)
            case facts.RetryScheduled():
                assert fact.node_id not in self.live
                assert fact.attempt == self.attempts[fact.node_id] + 1
                self.attempts[fact.node_id] += 1
            case facts.AttemptAborting():
                assert self.live[fact.node_id] == fact.attempt
                if fact.timed_out:
                    self.timed_out.add((fact.node_id, fact.attempt))
            case facts.AttemptSucceeded() | facts.AttemptFailed() | facts.AttemptAborted():
                assert self.live.pop(fact.node_id) == fact.attempt
                self._count(fact)
            case facts.ExecutionSucceeded() | facts.ExecutionFailed() | facts.ExecutionAborted():
                self.ended = fact
            case _:
                pass
        if isinstance(fact, _ENDS):
            assert fact.node_id not in self.live, "a node ended under its attempt"
            assert fact.node_id not in self.outcomes, "a node ended twice"
            self.outcomes[fact.node_id] = type(fact)

    def asked_for(self, node_id: str) -> Plan | None:
        """The nodes that a dynamic node's task asks for."""
        parent, spec = self.where[node_id]
        plan = self.plans[parent]
        return plan.subs[spec] if plan.kinds.get(spec) == "dynamic" else None

    def check(self) -> None:
        """What must hold between two decisions."""
        assert not self.in_engine & set(self.live), "an echo is still running"
        if self.parallelism:
            assert len(self.live) <= self.parallelism
        for node_id, (parent, spec) in self.where.items():
            if spec in self.plans[parent].budgets:
                assert self.user_failures[node_id] <= self.plans[parent].budgets[spec]
                assert self.system_failures[node_id] <= SYSTEM_BUDGET + 1
        if self.ended is not None:
            assert not self.live
            assert set(self.where) <= set(self.outcomes), "a node is left open"
            if isinstance(self.ended, facts.ExecutionSucceeded):
                top = {node for node, (parent, _) in self.where.items() if not parent}
                assert {self.outcomes[node] for node in top} == {facts.NodeSucceeded}
                assert top == {"start-node", "end-node", *self.plan.kinds}

    def _starts(self, fact: facts.NodeQueued) -> None:
        assert fact.node_id not in self.where, "queued twice"
        for before in self._before(fact.parent_node_id, fact.retry_group, fact.spec_node_id):
            assert self.outcomes.get(before) is facts.NodeSucceeded, f"{fact.node_id} before {before}"
        if fact.parent_node_id:
            assert fact.parent_node_id in self.where
            assert fact.parent_node_id not in self.outcomes
            assert fact.retry_group == str(self.attempts[fact.parent_node_id])
        self.where[fact.node_id] = (fact.parent_node_id, fact.spec_node_id)

    def _skipped(self, fact: facts.NodeSkipped) -> None:
        before = self._before(fact.parent_node_id, fact.retry_group, fact.spec_node_id)
        assert {self.outcomes.get(node_id) for node_id in before} - {facts.NodeSucceeded}
        assert None not in {self.outcomes.get(node_id) for node_id in before}
        self.where[fact.node_id] = (fact.parent_node_id, fact.spec_node_id)

    def _before(self, parent: str, group: str, spec: str) -> set[str]:
        plan = self.plans[parent]
        if spec == "end-node":
            # Data for the outputs, and every node that no other node follows.
            followed = set[str]().union(*plan.before.values())
            names = named(dict(plan.returns)) | (set(plan.kinds) - followed)
        else:
            names = plan.before.get(spec, set())
        return {unique_node_id(parent, int(group or 0), name) for name in names}

    def _count(self, fact: facts.AttemptSucceeded | facts.AttemptFailed | facts.AttemptAborted) -> None:
        if isinstance(fact, facts.AttemptFailed):
            system = fact.error.kind == ExecutionError.SYSTEM
            (self.system_failures if system else self.user_failures)[fact.node_id] += 1
        elif isinstance(fact, facts.AttemptAborted) and (fact.node_id, fact.attempt) in self.timed_out:
            self.user_failures[fact.node_id] += 1


# ---------------------------------------------------------------------------------------------------- evaluation


def evaluated(
    plan: Plan,
    inputs: Mapping[str, Any],
    parent: str,
    attempt: int,
    values: Mapping[str, int],
    attempts: Mapping[str, int],
) -> dict[str, Any]:
    """What a workflow returns, given what its tasks returned: straight evaluation, one node after the other."""
    results: dict[str, Any] = {}

    def value(source: Any) -> Any:
        match source:
            case From(node="", var=var):
                return inputs[var]
            case From(node=node):
                return results[node]
            case list():
                return [value(item) for item in source]
            case dict():
                return {key: value(item) for key, item in sorted(source.items())}
            case _:
                return source

    for node_id, kind in plan.kinds.items():
        unique = unique_node_id(parent, attempt, node_id)
        given = {name: value(source) for name, source in plan.sources[node_id].items()}
        if kind == "task":
            results[node_id] = values[unique]
        elif kind == "echo":
            results[node_id] = given["a"]
        else:
            given = {} if kind == "dynamic" else given
            sub = evaluated(plan.subs[node_id], given, unique, attempts[unique], values, attempts)
            results[node_id] = sub["o0"]
    return {name: value(source) for name, source in plan.returns.items()}


TestAnyHistory = AnyHistory.TestCase
