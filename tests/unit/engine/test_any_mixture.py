"""Nodes of all kinds inside one another, and a world that does as it likes: no rule of one kind breaks another's.

Random workflows (tasks, echoes, maps, launch plans, nested and dynamic workflows, conditionals, gates, failure nodes of
all kinds; cached, serialized, with retries and deadlines; both failure policies, with and without a limit of places)
meet a random world: attempts and child executions end in every way, the catalog answers late and twice, alarms go off,
signals are set, data and workflows are lost, somebody aborts. What must hold of every state is checked after each
decision, and of the rows that clients see, however the history is cut into batches. Where an execution ended without
success, another one may recover it.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core import interface_pb2, types_pb2
from flyteidl.core.execution_pb2 import ExecutionError, NodeExecution, TaskExecution, WorkflowExecution
from google.protobuf.message import Message

from flightlog_compiler import EntityKey, LaunchPlanInterface
from flightlog_log import Head, Recorded, Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.execution import engine
from services.execution.projection import fold
from services.execution.projection.rows import Rows
from services.execution.projection.tables import ARRAY_ELEMENTS, EXECUTIONS, NODE_EXECUTIONS, TASK_EXECUTIONS
from tests.unit.engine.story import INPUT, Flow, From, Story, error_document, identifier, literal_map, when
from tests.unit.engine.test_caching import cached

_ATTEMPT_ENDS = (facts.AttemptSucceeded, facts.AttemptFailed, facts.AttemptAborted, facts.ChildExecutionEnded)
_AFTER_ALL = (facts.SignalSet, facts.SignalAwaited, facts.ReservationReleased)
_NODE_ENDS = {
    NodeExecution.SUCCEEDED,
    NodeExecution.FAILED,
    NodeExecution.ABORTED,
    NodeExecution.SKIPPED,
    NodeExecution.TIMED_OUT,
    NodeExecution.RECOVERED,
}
_ENDED = {"SUCCEEDED", "FAILED", "ABORTED"}
LEAVES = ["task", "task", "echo", "launch", "wait", "sleep"]
KINDS = ["task", "task", "echo", "sub", "dynamic", "branch", "map", "map", "launch", "wait", "approve", "sleep"]
ARMS = ["task", "sub", "dynamic", "map", "launch", "wait", "branch"]
HANDLERS = ["task", "echo", "sub", "dynamic", "launch", "map"]


def launch_plan(name: str, variable: str) -> LaunchPlanInterface:
    parameters, outputs = interface_pb2.ParameterMap(), interface_pb2.VariableMap()
    parameters.parameters[variable].var.type.simple = outputs.variables["o0"].type.simple = types_pb2.INTEGER
    parameters.parameters[variable].required = True
    return LaunchPlanInterface(identifier("LAUNCH_PLAN", name), parameters, outputs)


LAUNCH_PLANS = {EntityKey.of(known.id): known for known in (launch_plan("echo", "x"), launch_plan("lp", "a"))}


class Design:
    """Draws workflows; remembers what dynamic tasks ask for, by the task's name."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.dynamic: dict[str, Flow] = {}

    def workflow(self, name: str, depth: int, *, has_input: bool = True) -> Flow:
        rng, flow = self.rng, Flow(name)
        giving: list[str] = []
        known: list[str] = []
        for index in range(rng.randint(1 + (not depth), 7 - 2 * depth)):
            node_id = f"n{index}" if rng.random() < 0.9 else f"a-name-that-is-long-{index}"
            kind = rng.choice(KINDS if depth < 2 else LEAVES)
            source = self.source(giving, has_input)
            after = rng.sample(known, 1) if known and rng.random() < 0.3 else []
            if kind == "branch" and isinstance(source, From):
                self.branch(flow, node_id, source, depth, giving, has_input, after)
            else:
                self.add(flow, node_id, kind, source, depth, after)
            known.append(node_id)
            if kind not in ("sleep", "map"):
                giving.append(node_id)
        if has_input and rng.random() < 0.4:
            self.add(flow, "fn", rng.choice(HANDLERS if depth < 2 else HANDLERS[:2]), INPUT, depth, [])
            flow.on_failure()
        if rng.random() < 0.5:
            flow.fails_after()
        return flow.returns(o0=self.source(giving, has_input))

    def source(self, giving: Sequence[str], has_input: bool) -> Any:
        choices: list[Any] = [From(node) for node in giving[-2:]] + ([INPUT] if has_input else [])
        return self.rng.choice(choices) if choices and self.rng.random() < 0.9 else self.rng.randint(0, 1)

    def branch(
        self,
        flow: Flow,
        node_id: str,
        source: From,
        depth: int,
        giving: Sequence[str],
        has_input: bool,
        after: list[str],
    ) -> None:
        arms: list[Flow] = []
        for name in ("a", "b"):
            arm = Flow(f"{flow.name}.{node_id}.{name}")
            kind, read = self.rng.choice(ARMS if depth < 2 else LEAVES), self.source(giving, has_input)
            if kind == "branch" and isinstance(read, From):
                self.branch(arm, name, read, depth + 1, giving, has_input, [])
            else:
                self.add(arm, name, "task" if kind == "branch" else kind, read, depth, [])
            arms.append(arm)
        otherwise = self.rng.choice([arms[1], arms[1], arms[1], "no"])
        flow.branch(
            node_id, (when(source, "LT", self.rng.choice([3, 1000])), arms[0]), otherwise=otherwise, after=after
        )

    def add(self, flow: Flow, node_id: str, kind: str, source: Any, depth: int, after: list[str]) -> None:
        rng = self.rng
        more: dict[str, Any] = {"after": after}
        if kind not in ("echo", "sleep"):
            if rng.random() < 0.3:
                more["timeout"] = 8
            if rng.random() < 0.4:
                more["node_retries"] = rng.randint(1, 2)
        match kind:
            case "task" | "dynamic":
                flow.task(node_id, {"a": source}, **more)
                if kind == "dynamic":
                    below = f"{flow.name}.{node_id}.d"
                    self.dynamic[f"{flow.name}.{node_id}"] = self.workflow(below, depth + 1, has_input=False)
            case "echo":
                flow.echo(node_id, source, **more)
            case "sub":
                flow.sub(node_id, self.workflow(f"{flow.name}.{node_id}.s", depth + 1), {"x": source}, **more)
            case "map":
                criterion = rng.choice(
                    [{}, {"min_success_ratio": 0.5}, {"parallelism": 1}, {"run_all_sub_nodes": True}]
                )
                over: dict[str, Any] = rng.choice([{}, {}, {"task_type": "echo"}, {"launch_plan": "lp"}])
                elements = [source] * rng.choice([1, 2, 3, 3, 4])
                many = {"retries": rng.randint(0, 1), "seconds": rng.choice([0, 8])}
                flow.map(
                    node_id, {"a": elements}, array=criterion, original="launch_plan" in over, **over, **many, **more
                )
            case "launch":
                flow.launches(node_id, {"x": source}, **more)
            case "approve":
                flow.approves(node_id, rng.choice(["ok", "yes"]), source, **more)
            case "wait":
                flow.waits(node_id, rng.choice(["s0", "s1"]), **more)
            case _:
                flow.sleeps(node_id, 3, **more)
        if kind in ("task", "dynamic", "echo", "map") and rng.random() < 0.4:
            cached(flow, node_id, serialize=rng.random() < 0.5)


class World:
    """Everybody who acts on the facts of an execution, each as slowly and as badly as it likes."""

    def __init__(self, rng: random.Random, design: Design, story: Story, parallelism: int) -> None:
        self.rng = rng
        self.design = design
        self.story = story
        self.parallelism = parallelism
        # Attempts and child executions of which something runs, and whether they were told to stop.
        self.live: dict[tuple[str, int], bool] = {}
        self.asked_for: dict[tuple[str, int], Flow] = {}
        self.children: set[tuple[str, int]] = set()
        # What the catalog was asked and has not answered.
        self.questions: list[tuple[str, Message]] = []
        self.reserved: set[str] = set()
        self.signals: dict[str, Any] = {}
        self.given: list[engine.Command] = []
        self.decisions: list[tuple[Message, ...]] = [tuple(story.history)]
        self.values = 100
        # How often things go well.
        self.skill = rng.choice([5, 20, 60])

    def give(self, command: engine.Command) -> tuple[Message, ...]:
        before = self.story.phase
        if self.rng.random() < 0.2:
            self.story.state = engine.fold(self.story.history)
        decided = self.story.decided(command)
        self.given.append(command)
        if decided:
            self.decisions.append(decided)
        for fact in decided:
            assert before not in _ENDED or isinstance(fact, _AFTER_ALL), f"{type(fact).__name__} after the end"
            self.see(fact)
        self.check()
        return decided

    def see(self, fact: Message) -> None:
        match fact:
            case facts.AttemptScheduled() if not fact.in_engine:
                assert (fact.node_id, fact.attempt) not in self.live
                self.live[fact.node_id, fact.attempt] = False
                if fact.task_id.name in self.design.dynamic:
                    self.asked_for[fact.node_id, fact.attempt] = self.design.dynamic[fact.task_id.name]
            case facts.ChildExecutionRequested():
                self.live[fact.node_id, fact.attempt] = False
                self.children.add((fact.node_id, fact.attempt))
            case facts.AttemptAborting() | facts.ChildExecutionAborting():
                assert not self.live[fact.node_id, fact.attempt], "told twice to stop"
                self.live[fact.node_id, fact.attempt] = True
            case facts.CacheAsked():
                self.questions.append((fact.node.node_id, fact))
            case facts.ReservationAsked() | facts.CachePutRequested():
                self.questions.append((fact.node_id, fact))
            case facts.ReservationReleased():
                self.reserved.discard(fact.node_id)
            case facts.NodeSucceeded() if fact.cache_status in (1, 2, 3):
                self.reserved.discard(fact.node_id)
            case facts.SignalAwaited():
                self.signals.setdefault(fact.signal_id, fact.type.simple)
            case _:
                if isinstance(fact, _ATTEMPT_ENDS):
                    self.live.pop((fact.node_id, fact.attempt), None)

    def check(self) -> None:
        """What holds of every state."""
        state = self.story.state
        assert state is not None
        opened = Counter(node.parent_id for node in state.nodes.values() if not node.phase.terminal)
        for parent_id, scope in state.scopes.items():
            assert scope.open == opened[parent_id], parent_id
            assert scope.handler in ("", *state.nodes)
        assert set(opened) <= set(state.scopes)
        holding = [node for node in state.nodes.values() if node.holds_slot]
        assert state.slots == len(holding)
        assert not any(node.phase.terminal or node.element is not None for node in holding)
        for order, node_id in state.waiting.items():
            node = state.nodes[node_id]
            assert (node.order, node.phase.terminal, node.holds_slot, node.live_attempt) == (order, False, False, None)
        assert state.waiting_from <= min(state.waiting, default=state.queued)
        if state.phase.terminal:
            assert not opened
            assert not self.live
        elif state.waiting:
            assert 0 < self.parallelism <= state.slots, "there are places, and somebody waits for one"
        for node in state.nodes.values():
            assert node.phase != engine.NodePhase.FAILING or opened[node.node_id] or node.live_attempt, "never ends"

    # -- what may happen

    def step(self, chaos: float) -> None:
        rng, state = self.rng, self.story.state
        assert state is not None
        moves: list[Any] = [self.end] * (8 * bool(self.live)) + [self.answer] * (4 * bool(self.questions))
        moves += [self.fire] * bool(state.timers) + [self.set_signal] * bool(self.signals) + [self.again]
        if rng.random() < chaos:
            moves = [self.abort, self.abort, self.lose_data, self.lose_workflow]
        rng.choice(moves)()

    def end(self, how: str = "") -> None:
        (node, attempt), stopping = self.rng.choice(sorted(self.live.items()))
        how = how or self.rng.choice(["ok"] * self.skill + ["retry", "retry", "fail", "lost", "run"])
        if how == "run":
            if (node, attempt) not in self.children:
                self.give(engine.ObserveAttempt(self.story.observation(node, "RUNNING", attempt)))
            return
        if (node, attempt) in self.children:
            self.end_child(node, attempt, "lost" if stopping else how)
        elif stopping:
            stage = self.rng.choice(["KILLED", "EXITED", "LOST"])
            self.give(engine.ObserveAttempt(self.story.observation(node, stage, attempt)))
        elif how == "ok" and (asked := self.asked_for.get((node, attempt))) is not None:
            self.give(self.story.asking(node, asked, attempt, launch_plans=LAUNCH_PLANS))
        elif how == "ok":
            ref = self.story.put(f"{self.story.output_prefix(node)}/outputs.pb", self.outputs())
            result = engine.AttemptResult(outputs=ref)
            self.give(engine.ObserveAttempt(self.story.observation(node, "EXITED", attempt), result))
        elif how == "lost":
            self.give(engine.ObserveAttempt(self.story.observation(node, "LOST", attempt)))
        else:
            result = engine.AttemptResult(error=error_document("E", "no", recoverable=how == "retry"))
            self.give(engine.ObserveAttempt(self.story.observation(node, "EXITED", attempt), result))
        assert (node, attempt) not in self.live

    def end_child(self, node: str, attempt: int, how: str) -> None:
        match how:
            case "ok":
                ref = self.story.put(f"s3://bucket/children/{node}-{attempt}/outputs.pb", self.outputs())
                self.give(engine.ObserveChild(node, attempt, WorkflowExecution.SUCCEEDED, ref))
            case "lost":
                self.give(engine.ObserveChild(node, attempt, WorkflowExecution.ABORTED))
            case _:
                error = ExecutionError(code="C", message="no", kind=ExecutionError.USER)
                self.give(engine.ObserveChild(node, attempt, WorkflowExecution.FAILED, error=error))

    def outputs(self) -> Any:
        self.values += 1
        return literal_map({"o0": self.values})

    def answer(self, well: bool = False) -> None:
        """The catalog answers some of its questions, in one envelope."""
        count = self.rng.randint(1, len(self.questions))
        asked = self.questions[:count]
        del self.questions[:count]
        answers: list[CacheAnswer] = []
        for node_id, question in asked:
            match question:
                case facts.CacheAsked():
                    kinds, key = ["FOUND", "NOT_FOUND", "NOT_FOUND"], question.node.cache.key
                case facts.ReservationAsked():
                    kinds, key = ["RESERVED", "RESERVED", "FOUND", "NOT_RESERVED", "AWAITING"], question.key
                case facts.CachePutRequested():
                    kinds, key = ["STORED", "STORED", "NOT_STORED"], question.key
                case _:
                    raise AssertionError(question)
            kind = self.rng.choice(kinds[:3] if well else kinds)
            told = CacheAnswer(kind=kind, key=key)
            told.node.node_id = node_id
            if kind == "RESERVED":
                self.reserved.add(node_id)
            elif kind == "AWAITING":
                self.reserved.add(node_id)
                self.questions.append((node_id, question))
            elif kind in ("FOUND", "STORED"):
                ref = self.story.put(f"s3://bucket/cache/{key.tag}", literal_map({"o0": 7}))
                told.result.CopyFrom(CachedResult(artifact_id="found", outputs=ref))
                if isinstance(question, facts.ReservationAsked):
                    self.reserved.discard(node_id)
            elif kind == "NOT_RESERVED":
                self.reserved.discard(node_id)
            answers.append(told)
            if self.rng.random() < 0.1:
                answers.append(told)
        self.give(engine.AnswerCache(tuple(answers)))

    def fire(self) -> None:
        assert self.story.state is not None
        timers = self.story.state.timers
        timer_id = self.rng.choice(sorted(timers))
        self.story.now = max(self.story.now, timers[timer_id].due)
        self.give(engine.FireTimer(timer_id))

    def set_signal(self, well: bool = False) -> None:
        signal_id, kind = self.rng.choice(sorted(self.signals.items()))
        value: Any = 5
        if kind == types_pb2.BOOLEAN:
            value = well or self.rng.random() < 0.9
        self.give(engine.SetSignal(signal_id, literal_map({"v": value}).literals["v"], "me"))

    def again(self) -> None:
        command = self.rng.choice(self.given)
        if not isinstance(command, engine.TerminateExecution | engine.SetSignal):
            for fact in self.give(command):
                assert isinstance(fact, facts.ReservationReleased), f"{type(fact).__name__} by what was known"

    def abort(self) -> None:
        try:
            self.give(engine.TerminateExecution("enough", "me", force=self.rng.random() < 0.5))
        except engine.Refused:
            assert self.story.phase in _ENDED

    def lose_data(self) -> None:
        uri = self.rng.choice(sorted(self.story.blobs))
        self.story.lost[uri] = "gone"

    def lose_workflow(self) -> None:
        self.story.program = engine.Program.unrunnable("gone")

    # -- to the end

    def finish(self) -> None:
        for _ in range(600):
            assert self.story.state is not None
            if self.story.phase in _ENDED and not self.questions:
                break
            if self.live:
                self.end("ok")
            elif self.questions:
                self.answer(well=True)
            elif not self.fire_next():
                for signal_id, kind in sorted(self.signals.items()):
                    value = literal_map({"v": True if kind == types_pb2.BOOLEAN else 5}).literals["v"]
                    self.give(engine.SetSignal(signal_id, value, "me"))
        assert self.story.phase in _ENDED, "nothing moves any more, and it is not over"
        assert not self.live
        assert not self.reserved, "somebody waits for ever for what is reserved"

    def fire_next(self) -> bool:
        assert self.story.state is not None
        timers = self.story.state.timers
        for timer_id in sorted(timers, key=lambda key: (timers[key].due, key)):
            self.story.now = max(self.story.now, timers[timer_id].due)
            if self.give(engine.FireTimer(timer_id)):
                return True
        return False


# ---------------------------------------------------------------------------------------------------- rows


def in_batches(decisions: Sequence[tuple[Message, ...]], cuts: Sequence[int]) -> Rows:
    """As the projector does it: each batch loads what it needs from what the earlier ones stored."""
    created = decisions[0][0]
    assert isinstance(created, facts.ExecutionCreated)
    key = (created.id.project, created.id.domain, created.id.name)
    subject = str(Subject.of("EXECUTION", *key))
    stored = Rows()
    for start, end in itertools.pairwise([0, *sorted(set(cuts)), len(decisions)]):
        batch = [
            Recorded(subject, number, Envelope(), items, Head(number, number, b""))
            for number, items in enumerate(decisions[start:end], start=start + 1)
        ]
        needed = fold.needs(batch)
        rows = Rows()
        for name in ("executions", "nodes", "tasks", "signals"):
            kept: Mapping[Any, Any] = getattr(stored, name)
            getattr(rows, name).update({k: copy.deepcopy(kept[k]) for k in getattr(needed, name) if k in kept})
        for element, row in stored.elements.items():
            if element[:2] in needed.elements - rows.nodes.keys():
                rows.add_element(copy.deepcopy(row))
        for recorded in batch:
            fold.apply(rows, recorded)
        for name in ("executions", "nodes", "tasks", "signals", "elements"):
            for k, row in getattr(rows, name).items():
                row.stored = row.sequence
                getattr(stored, name)[k] = row
    return stored


def columns(rows: Rows) -> list[tuple[Any, ...]]:
    return [
        *(EXECUTIONS.values(row) for row in rows.executions.values()),
        *(NODE_EXECUTIONS.values(rows.nodes[key]) for key in sorted(rows.nodes)),
        *(TASK_EXECUTIONS.values(rows.tasks[key]) for key in sorted(rows.tasks)),
        *(ARRAY_ELEMENTS.values(rows.elements[key]) for key in sorted(rows.elements)),
    ]


def check_rows(world: World) -> None:
    decisions = world.decisions
    whole = in_batches(decisions, ())
    for cuts in (range(1, len(decisions)), world.rng.sample(range(1, len(decisions)), min(3, len(decisions) - 1))):
        assert columns(in_batches(decisions, cuts)) == columns(whole)
    state = world.story.state
    assert state is not None
    seen = {fact.node_id for fact in world.story.history if isinstance(fact, facts.NodeQueued | facts.NodeSkipped)}
    assert {key[1] for key in whole.nodes} == {node_id for node_id in seen if state.nodes[node_id].element is None}
    for (_, node_id), row in whole.nodes.items():
        assert row.message.closure.phase in _NODE_ENDS, NodeExecution.Phase.Name(row.message.closure.phase)
        if row.parent_node_id:
            assert row.parent_id is not None, node_id
    ended = {TaskExecution.SUCCEEDED, TaskExecution.FAILED, TaskExecution.ABORTED}
    assert all(row.message.closure.phase in ended for row in whole.tasks.values())
    assert all(row.message.phase in ended for row in whole.elements.values())


# ---------------------------------------------------------------------------------------------------- stories


@pytest.mark.parametrize("seed", range(200))
def test_any_mixture_comes_to_an_end(seed: int) -> None:
    rng = random.Random(seed)
    design = Design(rng)
    flow = design.workflow("main", 0)
    parallelism = rng.choice([0, 1, 2])
    limits = engine.EngineSettings(
        max_system_failures=1,
        queueing_budget=timedelta(seconds=rng.choice([0, 0, 3])),
        retry_backoff_base=timedelta(seconds=rng.choice([0, 1])),
    )

    def overwrite(created: facts.ExecutionCreated) -> None:
        created.config.overwrite_cache = rng.random() < 0.15

    story = Story(flow, {"x": 5}, parallelism=parallelism, settings=limits, change=overwrite)
    world = run(rng, design, story, parallelism)
    if story.phase != "SUCCEEDED" and not story.lost and rng.random() < 0.7:
        again = story.recovered(flow, parallelism=parallelism)
        run(rng, design, again, parallelism)
    assert world.decisions


def run(rng: random.Random, design: Design, story: Story, parallelism: int) -> World:
    world = World(rng, design, story, parallelism)
    chaos = rng.choice([0, 0, 0, 0.03])
    world.give(engine.StartExecution())
    for _ in range(rng.randint(0, 100)):
        if story.phase in _ENDED:
            break
        world.step(chaos)
    world.finish()
    check_rows(world)
    return world
