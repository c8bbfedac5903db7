"""Whatever happens, in whatever order, however often: what must hold of every execution.

Random workflows (tasks, echoes, nested and dynamic workflows, launch plans, conditionals, gates, failure nodes, both
failure policies, retries of one budget or two, timeouts, queueing budgets, a parallelism limit) run against a random
outside world: attempts and child executions succeed, fail, crash, vanish; observations come late and twice; alarms go
off; signals are set; somebody aborts, perhaps by force; the engine may begin anew from the log before every command.
The rules are checked on the facts alone, with no help from the engine's own state.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core import types_pb2
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from google.protobuf.message import Message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import Exit
from services.execution import engine
from services.execution.engine.names import unique_node_id
from tests.unit.engine.story import INPUT, Flow, From, Story, error_document, literal, literal_map, plain, when

_ENDS = (facts.NodeSucceeded, facts.NodeFailed, facts.NodeTimedOut, facts.NodeAborted, facts.NodeSkipped)
_ATTEMPT_ENDS = (facts.AttemptSucceeded, facts.AttemptFailed, facts.AttemptAborted, facts.ChildExecutionEnded)
_LAST = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)
SYSTEM_BUDGET = 2
HANDLER = "fn"
LEAVES = ["task", "echo", "launch", "wait", "approve", "sleep"]
KINDS = ["task", "task", "echo", "launch", "sub", "dynamic", "branch", "branch", "wait", "approve", "sleep"]
ARMS = ["task", "task", "echo", "sub", "dynamic", "branch", "wait", "approve"]
SIGNS = {"EQ": operator.eq, "NEQ": operator.ne, "LT": operator.lt, "GTE": operator.ge}
INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)

# ---------------------------------------------------------------------------------------------------- workflows


Case = tuple[tuple[Any, str, int], str]
"""Both sides and sign of a comparison, and the arm that is taken when it is true."""


@dataclass
class Plan:
    """A workflow beside what the test must know of it."""

    flow: Flow
    sources: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    before: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    subs: dict[str, Plan] = field(default_factory=lambda: dict[str, Plan]())
    budgets: dict[str, int] = field(default_factory=dict[str, int])
    # Signals of gates, by node.
    signals: dict[str, str] = field(default_factory=dict[str, str])
    # It is a conditional's arms, by their compiled ids; what they read and wait for is in the workflow around.
    arms: bool = False
    cases: list[tuple[tuple[Any, str, int], str]] = field(
        default_factory=lambda: list[tuple[tuple[Any, str, int], str]]()
    )
    otherwise: str = ""
    # What kind of node handles its failure; "": none.
    handler: str = ""
    returns: Mapping[str, Any] = field(default_factory=dict[str, Any])


@st.composite
def plans(draw: st.DrawFn, depth: int = 0, name: str = "main", has_input: bool = True, typed: bool = False) -> Plan:
    """`typed`: it is compiled during the run, which looks at types: nothing but numbers, and at least one node."""
    plan = Plan(Flow(name))
    node_ids: list[str] = []
    for index in range(draw(st.integers(0 if depth and not typed else 1, 5 - depth))):
        node_id = f"n{index}"
        kind = draw(st.sampled_from(KINDS if depth < 2 else LEAVES))
        after = draw(st.sets(st.sampled_from(node_ids), max_size=2)) if node_ids else set[str]()
        giving = [before for before in node_ids if plan.kinds[before] != "sleep"]
        source = draw(sources(giving, has_input, typed))
        if kind == "branch":
            _branch(draw, plan, plan.flow, node_id, node_id, depth, giving, has_input, typed, after)
        else:
            _add(draw, plan, plan.flow, node_id, node_id, kind, depth, source, typed, after)
        node_ids.append(node_id)
    giving = [node_id for node_id in node_ids if plan.kinds[node_id] != "sleep"]
    if has_input and draw(st.booleans()):
        _handle(draw, plan, depth, typed)
    plan.returns = {"o0": draw(sources(giving, has_input, typed))}
    plan.flow.returns(**plan.returns)
    if draw(st.booleans()):
        plan.flow.fails_after()
    return plan


def _add(
    draw: st.DrawFn,
    plan: Plan,
    flow: Flow,
    node_id: str,
    key: str,
    kind: str,
    depth: int,
    source: Any,
    typed: bool,
    after: set[str],
) -> None:
    """Adds any node but a conditional; the plan knows it as `key`."""
    metadata: dict[str, Any] = {}
    if kind == "launch" and typed:
        # What takes part in compiling a dynamic workflow would have to be registered.
        kind = "task"
    if kind not in ("echo", "sleep") and draw(st.integers(0, 3)) == 0:
        metadata["timeout"] = 8
    budget = draw(st.integers(0, 2)) if kind not in ("echo", "sleep") else 0
    if budget:
        metadata["node_retries"] = budget
    below = f"{flow.name}.{node_id}"
    read = {"x" if kind == "sub" else "a": source}
    match kind:
        case "task" | "dynamic":
            flow.task(node_id, read, after=sorted(after), **metadata)
            if kind == "dynamic":
                plan.subs[key] = draw(plans(depth + 1, below, has_input=False, typed=True))
        case "echo":
            flow.echo(node_id, source, after=sorted(after))
        case "launch":
            flow.launches(node_id, read, after=sorted(after), **metadata)
        case "sub":
            plan.subs[key] = draw(plans(depth + 1, below, typed=typed))
            flow.sub(node_id, plan.subs[key].flow, read, after=sorted(after), **metadata)
        case "approve":
            plan.signals[key] = draw(st.sampled_from(["ok", "ok", "s0"]))
            flow.approves(node_id, plan.signals[key], source, after=sorted(after), **metadata)
        case "wait":
            read = {}
            plan.signals[key] = draw(st.sampled_from(["s0", "s1", "s2"]))
            flow.waits(node_id, plan.signals[key], after=sorted(after), **metadata)
        case _:
            read = {}
            flow.sleeps(node_id, 3, after=sorted(after))
    plan.kinds[key], plan.budgets[key], plan.sources[key] = kind, budget + 1, read
    plan.before[key] = after.union(*map(named, read.values()))


def _branch(
    draw: st.DrawFn,
    plan: Plan,
    flow: Flow,
    node_id: str,
    key: str,
    depth: int,
    giving: list[str],
    has_input: bool,
    typed: bool,
    after: set[str],
) -> None:
    """Adds a conditional. Its arms may take what the conditions do not ask for, and may be conditionals."""
    inner = plan.subs[key] = Plan(Flow(), arms=True)
    constant = draw(st.integers(0, 102))
    asked: list[Any] = [INPUT] if has_input else []
    asked += [From(node) for node in giving]
    if not asked:
        _add(draw, plan, flow, node_id, key, "wait", depth, 0, typed, after)
        return

    def arm(name: str) -> Flow:
        made = Flow(f"{flow.name}.{node_id}.{name}")
        kind = draw(st.sampled_from(ARMS if depth < 2 else LEAVES[:2]))
        if kind == "branch":
            _branch(draw, inner, made, name, f"{key}-{name}", depth + 1, giving, has_input, typed, set())
        else:
            source = draw(sources(giving, has_input, typed))
            _add(draw, inner, made, name, f"{key}-{name}", kind, depth + 1, source, typed, set())
        return made

    cases: list[tuple[Any, Flow]] = []
    read: set[str] = set()
    for number in range(draw(st.integers(1, 2))):
        left, sign = draw(st.sampled_from(asked)), draw(st.sampled_from(sorted(SIGNS)))
        cases.append((when(left, sign, constant), arm(f"a{number}")))
        inner.cases.append(((left, sign, constant), f"{key}-a{number}"))
        read |= named(left)
    otherwise: Flow | str | None = draw(st.sampled_from(["no", "arm", "arm"]))
    if otherwise == "arm":
        otherwise, inner.otherwise = arm("z"), f"{key}-z"
    flow.branch(node_id, *cases, otherwise=otherwise, after=sorted(after))
    plan.kinds[key], plan.budgets[key], plan.sources[key] = "branch", 1, {}
    plan.before[key] = after | read


def _handle(draw: st.DrawFn, plan: Plan, depth: int, typed: bool) -> None:
    """Gives a workflow a failure node."""
    plan.handler = draw(st.sampled_from(["task", "task", "echo", "sub"] if depth < 2 else ["task", "echo"]))
    metadata: dict[str, Any] = {}
    if plan.handler != "echo" and draw(st.booleans()):
        metadata["timeout"] = 8
    plan.budgets[HANDLER] = draw(st.integers(1, 2)) if plan.handler == "task" else 1
    if plan.budgets[HANDLER] > 1:
        metadata["node_retries"] = plan.budgets[HANDLER] - 1
    told: dict[str, Any] = {} if typed else {"err": None}
    if plan.handler == "task":
        plan.flow.task(HANDLER, {"a": INPUT, **told}, **metadata)
    elif plan.handler == "echo":
        plan.flow.echo(HANDLER)
    else:
        plan.subs[HANDLER] = draw(plans(depth + 1, f"{plan.flow.name}.{HANDLER}", typed=typed))
        plan.flow.sub(HANDLER, plan.subs[HANDLER].flow, {"x": INPUT}, **metadata)
    plan.flow.on_failure()


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

    @initialize(
        plan=plans(),
        parallelism=st.integers(0, 2),
        pause=st.sampled_from([0, 1]),
        unified=st.booleans(),
        queueing=st.sampled_from([0, 0, 3]),
        forgetful=st.booleans(),
    )
    def create(self, plan: Plan, parallelism: int, pause: int, unified: bool, queueing: int, forgetful: bool) -> None:
        self.plan = plan
        self.parallelism = parallelism
        self.forgetful = forgetful
        self.story = Story(
            plan.flow,
            {"x": 5},
            parallelism=parallelism,
            settings=engine.EngineSettings(
                max_system_failures=SYSTEM_BUDGET,
                ignore_retry_cause=unified,
                queueing_budget=timedelta(seconds=queueing),
                retry_backoff_base=timedelta(seconds=pause),
            ),
        )
        # Attempts that a launcher would have: key to whether it was told to stop.
        self.launched: dict[tuple[str, int], bool] = {}
        self.values: dict[str, int] = {}
        self.numbers = 0
        self.given: list[engine.Command] = []
        self.held_back: list[engine.Command] = []
        self.checked = 0
        self.versions = 0
        self.watch = Watch(plan, parallelism, unified)
        self.give(engine.StartExecution())

    def give(self, command: engine.Command) -> tuple[Message, ...]:
        if self.forgetful:
            self.story.state = engine.fold(self.story.history)
        decided = self.story.decided(command)
        self.given.append(command)
        for fact in decided:
            if isinstance(fact, facts.ChildExecutionRequested) or (
                isinstance(fact, facts.AttemptScheduled) and not fact.in_engine
            ):
                self.launched[fact.node_id, fact.attempt] = False
            elif isinstance(fact, facts.AttemptAborting | facts.ChildExecutionAborting):
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
        if self.watch.is_child(node):
            return
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
        ends = ["ok", "ok", "ok", "fail", "retry", "crash", "lost", "refused", "failed", "killed"]
        how = data.draw(st.sampled_from(ends))
        self.end(node, attempt, how)

    def end(self, node: str, attempt: int, how: str) -> None:
        self.rules_hold()
        story, before = self.story, len(self.story.history)
        match how:
            case _ if self.watch.is_child(node):
                self.end_child(node, attempt, how)
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
            case "refused" | "failed":
                stage, kind = {"refused": ("NOT_LAUNCHED", "USER"), "failed": ("FAILED", "SYSTEM")}[how]
                error = ExecutionError(code="R", kind=ExecutionError.ErrorKind.Value(kind))
                observation = story.observation(node, stage, attempt, error=error, recoverable=True)
                self.give(engine.ObserveAttempt(observation))
            case _:
                stage = {"lost": "LOST", "killed": "KILLED"}[how]
                self.give(engine.ObserveAttempt(story.observation(node, stage, attempt)))
        assert len(story.history) > before, "the end of a live attempt always matters"
        assert (node, attempt) not in self.launched

    def end_child(self, node: str, attempt: int, how: str) -> None:
        match how:
            case "ok":
                value = 100 + len(self.values)
                ref = self.story.put(f"s3://bucket/children/{node}/{attempt}/outputs.pb", literal_map({"o0": value}))
                found = engine.ObserveChild(node, attempt, WorkflowExecution.SUCCEEDED, ref)
                if any(isinstance(fact, facts.NodeSucceeded) and fact.node_id == node for fact in self.give(found)):
                    self.values[node] = value
            case "killed" | "lost":
                self.give(engine.ObserveChild(node, attempt, WorkflowExecution.ABORTED))
            case _:
                error = ExecutionError(code="C", kind=ExecutionError.USER)
                self.give(engine.ObserveChild(node, attempt, WorkflowExecution.FAILED, error=error))

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
        if not isinstance(command, engine.TerminateExecution | engine.SetSignal):
            if self.watch.lost:
                # Whatever comes first finds out that the workflow is gone.
                self.give(command)
            assert self.story.decided(command) == ()

    @rule(data=st.data())
    @precondition(lambda self: self.held_back)
    def something_is_delivered_late(self, data: st.DataObject) -> None:
        self.give(self.held_back.pop(data.draw(st.integers(0, len(self.held_back) - 1))))

    @rule(data=st.data())
    @precondition(lambda self: hasattr(self, "watch") and self.watch.awaited)
    def a_signal_is_set(self, data: st.DataObject) -> None:
        signal_id, kind = data.draw(st.sampled_from(sorted(self.watch.awaited.items())))
        self.set_signal(signal_id, data.draw(st.integers(0, 3)) > 0 if kind == types_pb2.BOOLEAN else None)
        with pytest.raises(engine.Refused):
            self.give(engine.SetSignal(signal_id, literal("text"), "me"))

    def set_signal(self, signal_id: str, value: bool | None) -> None:
        self.numbers += 1
        self.give(engine.SetSignal(signal_id, literal(500 + self.numbers if value is None else value), "me"))
        self.rules_hold()

    @rule(signal_id=st.sampled_from(["s0", "s1", "s3"]))
    def a_signal_is_made_known(self, signal_id: str) -> None:
        known = self.watch.awaited.get(signal_id)
        if known in (None, types_pb2.INTEGER):
            assert bool(self.give(engine.AwaitSignal(signal_id, INTEGER))) == (known is None)
        else:
            with pytest.raises(engine.Refused):
                self.give(engine.AwaitSignal(signal_id, INTEGER))

    @rule(chance=st.integers(0, 9))
    def somebody_aborts(self, chance: int) -> None:
        if chance > 1:
            return
        try:
            self.give(engine.TerminateExecution("enough", "me", force=bool(chance)))
            assert self.over() or not chance, "force waits for nothing"
        except engine.Refused:
            assert self.over()

    @rule(chance=st.integers(0, 9))
    def the_workflow_is_lost(self, chance: int) -> None:
        if not chance:
            self.story.program = engine.Program.unrunnable("gone")
            self.watch.lost = True

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
            elif unset := sorted(self.watch.awaited.keys() - self.watch.signals.keys()):
                self.set_signal(unset[0], True if self.watch.awaited[unset[0]] == types_pb2.BOOLEAN else None)
            else:
                self._fire_next()
            self.rules_hold()
        assert self.over(), "nothing moves any more, and it is not over"
        self.rules_hold()
        assert not self.launched
        assert engine.fold(self.story.history) == self.story.state
        if self.story.phase == "SUCCEEDED":
            assert self.story.outputs() == evaluated(
                self.plan, {"x": 5}, "", 0, self.values | self.watch.given, self.watch.attempts
            )

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

    def __init__(self, plan: Plan, parallelism: int, unified: bool) -> None:
        self.plan = plan
        self.unified = unified
        # The workflow itself can no longer be read.
        self.lost = False
        self.failing: facts.ExecutionFailing | None = None
        self.aborting = False
        self.errors: dict[str, ExecutionError] = {}
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
        # Signals that were asked for, with their types, and their latest values; what gates took of them.
        self.awaited: dict[str, int] = {}
        self.signals: dict[str, Any] = {}
        self.given: dict[str, Any] = {}
        self.taken: dict[str, str] = {}

    def see(self, fact: Message) -> None:
        after_all = isinstance(fact, facts.SignalSet | facts.SignalAwaited)
        assert self.ended is None or after_all, f"{type(fact).__name__} after the end"
        match fact:
            case facts.NodeQueued():
                self._starts(fact)
                if fact.handles_failure:
                    self._handles(fact)
                if fact.kind in (facts.SUB_WORKFLOW, facts.BRANCH):
                    self.plans[fact.node_id] = self.plans[fact.parent_node_id].subs[fact.spec_node_id]
            case facts.NodeSkipped():
                self._skipped(fact)
            case facts.DynamicPlanned():
                asked = self.asked_for(fact.node_id)
                assert asked is not None
                assert fact.node_id not in self.live
                self.plans[fact.node_id] = asked
            case facts.BranchTaken():
                assert fact.node_id not in self.taken
                assert fact.spec_node_id in self.plans[fact.node_id].kinds
                self.taken[fact.node_id] = fact.spec_node_id
            case facts.SignalAwaited():
                assert self.awaited.setdefault(fact.signal_id, fact.type.simple) == fact.type.simple
            case facts.SignalSet():
                self.signals[fact.signal_id] = plain(fact.value)
            case facts.AttemptScheduled() | facts.ChildExecutionRequested():
                assert fact.node_id not in self.live, "two attempts at once"
                assert fact.node_id in self.where
                assert fact.node_id not in self.outcomes
                assert fact.attempt == self.attempts[fact.node_id]
                self.live[fact.node_id] = fact.attempt
                if isinstance(fact, facts.AttemptScheduled) and fact.in_engine:
                    self.in_engine.add(fact.node_id)
            case facts.RetryScheduled():
                assert fact.node_id not in self.live
                assert fact.attempt == self.attempts[fact.node_id] + 1
                self.attempts[fact.node_id] += 1
                self.taken.pop(fact.node_id, None)
            case facts.AttemptAborting() | facts.ChildExecutionAborting():
                assert self.live[fact.node_id] == fact.attempt
                if fact.timed_out:
                    self.timed_out.add((fact.node_id, fact.attempt))
            case (
                facts.AttemptSucceeded() | facts.AttemptFailed() | facts.AttemptAborted() | facts.ChildExecutionEnded()
            ):
                assert self.live.pop(fact.node_id) == fact.attempt
                self._count(fact)
            case facts.ExecutionFailing():
                assert self.failing is None, "an execution fails once"
                self.failing = fact
            case facts.AbortRequested():
                self.aborting = True
            case facts.ExecutionSucceeded() | facts.ExecutionFailed() | facts.ExecutionAborted():
                self.ended = fact
                assert isinstance(fact, facts.ExecutionAborted) == self.aborting
            case _:
                pass
        if isinstance(fact, _ENDS):
            assert fact.node_id not in self.live, "a node ended under its attempt"
            assert fact.node_id not in self.outcomes, "a node ended twice"
            self.outcomes[fact.node_id] = type(fact)
            if isinstance(fact, facts.NodeFailed):
                self.errors[fact.node_id] = fact.error
            elif isinstance(fact, facts.NodeSucceeded):
                self._opened(fact.node_id)

    def _opened(self, node_id: str) -> None:
        """A gate succeeds when its signal has a value, and approval only when that is true."""
        parent, spec = self.where[node_id]
        plan = self.plans[parent]
        if spec in plan.signals:
            value = self.signals[plan.signals[spec]]
            assert plan.kinds[spec] == "wait" or value is True
            self.given[node_id] = value

    def is_child(self, node_id: str) -> bool:
        """Whether a node runs a launch plan."""
        parent, spec = self.where[node_id]
        return self.plans[parent].kinds.get(spec) == "launch"

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
                user, system = self.user_failures[node_id], self.system_failures[node_id]
                assert user + system * self.unified <= self.plans[parent].budgets[spec]
                assert system <= SYSTEM_BUDGET + 1 or self.unified
        if self.ended is not None:
            assert not self.live
            assert set(self.where) <= set(self.outcomes), "a node is left open"
            if isinstance(self.ended, facts.ExecutionSucceeded):
                top = {node for node, (parent, _) in self.where.items() if not parent}
                assert {self.outcomes[node] for node in top} == {facts.NodeSucceeded}
                assert top == {"start-node", "end-node", *self.plan.kinds}
            elif isinstance(self.ended, facts.ExecutionFailed):
                self._failed(self.ended)

    def _failed(self, ended: facts.ExecutionFailed) -> None:
        """The execution ends with its first error, unless its failure node did not succeed."""
        assert self.failing is not None
        outcome = self.outcomes.get(HANDLER)
        if outcome is facts.NodeFailed:
            assert ended.error == self.errors[HANDLER]
        elif outcome is facts.NodeTimedOut:
            assert ended.error.code == "TimedOut"
        else:
            assert outcome is facts.NodeSucceeded or self.lost or not self.plan.handler, "its failure was not handled"
            assert ended.error == self.failing.error

    def _handles(self, fact: facts.NodeQueued) -> None:
        """A failure node runs when something failed, nothing else of the workflow runs, and nobody aborts."""
        parent = fact.parent_node_id
        assert fact.spec_node_id == HANDLER
        assert self.plans[parent].handler
        assert not self.aborting
        assert parent or self.failing is not None
        beside = [node for node, (above, _) in self.where.items() if above == parent and node != fact.node_id]
        assert set(beside) <= set(self.outcomes), "something still runs beside a failure node"
        if parent:
            assert self.failing is None or self.where[self._topmost(parent)][1] == HANDLER
            assert {self.outcomes[node] for node in beside} & {facts.NodeFailed, facts.NodeTimedOut}

    def _topmost(self, node_id: str) -> str:
        while self.where[node_id][0]:
            node_id = self.where[node_id][0]
        return node_id

    def _starts(self, fact: facts.NodeQueued) -> None:
        assert fact.node_id not in self.where, "queued twice"
        for before in self._before(fact.parent_node_id, fact.retry_group, fact.spec_node_id):
            assert self.outcomes.get(before) is facts.NodeSucceeded, f"{fact.node_id} before {before}"
        if self.plans[fact.parent_node_id].arms:
            assert self.taken[fact.parent_node_id] == fact.spec_node_id, "an arm that was not taken"
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
        while self.plans[parent].arms:
            parent = self.where[parent][0]
            group = str(self.attempts[parent])
        return {unique_node_id(parent, int(group or 0), name) for name in names}

    def _count(
        self,
        fact: facts.AttemptSucceeded | facts.AttemptFailed | facts.AttemptAborted | facts.ChildExecutionEnded,
    ) -> None:
        if isinstance(fact, facts.AttemptFailed):
            system = fact.error.kind == ExecutionError.SYSTEM
            (self.system_failures if system else self.user_failures)[fact.node_id] += 1
        elif (
            isinstance(fact, facts.AttemptAborted | facts.ChildExecutionEnded)
            and (fact.node_id, fact.attempt) in self.timed_out
        ):
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

    def result(within: Plan, node_id: str, unique: str) -> Any:
        given = {name: value(source) for name, source in within.sources[node_id].items()}
        match within.kinds[node_id]:
            case "task" | "launch" | "wait":
                return values[unique]
            case "echo" | "approve":
                return given["a"]
            case "sleep":
                return None
            case "branch":
                inner = within.subs[node_id]
                true = (arm for (left, sign, right), arm in inner.cases if SIGNS[sign](value(left), right))
                arm = next(true, inner.otherwise)
                return result(inner, arm, unique_node_id(unique, attempts[unique], arm))
            case kind:
                given = {} if kind == "dynamic" else given
                return evaluated(within.subs[node_id], given, unique, attempts[unique], values, attempts)["o0"]

    for node_id in plan.kinds:
        results[node_id] = result(plan, node_id, unique_node_id(parent, attempt, node_id))
    return {name: value(source) for name, source in plan.returns.items()}


TestAnyHistory = AnyHistory.TestCase
