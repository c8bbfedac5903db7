"""Trees of executions that share one max_parallelism, in any order: never more run than may, and all of them end.

Real engine, real entries of the cache; between them a log in miniature. What one execution tells another about places
arrives in any order and any number of times; what the service does about children arrives in order, and again. Tasks
succeed, fail and vanish; executions are aborted, by force too, at any moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import TaskExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.core.interface_pb2 import Parameter, ParameterMap, VariableMap
from flyteidl.core.tasks_pb2 import TaskTemplate
from flyteidl.core.types_pb2 import INTEGER
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightlog_compiler import EntityKey, LaunchPlanInterface
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog import entries
from services.catalog.entries import Asker, Entry, LookUp, Put, Release, Request, Reserve
from services.execution import engine
from services.execution.engine.state import SlotPhase
from tests.unit.engine.story import Flow, From, Story, error_document, identifier, literal_map

X, XS = From("", "x"), From("", "xs")
INPUTS = {"x": 4, "xs": [5, 5, 6]}
SETTINGS = engine.EngineSettings(max_system_failures=1, retry_backoff_base=timedelta())
ROOT = "root"
ALONE: dict[str, Any] = {"cache": "1", "serialize": True}


class Trees:
    """Workflows of launch plans that run one another, drawn at random."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.flows: dict[str, Flow] = {}
        # What dynamic tasks ask for, by the names of their tasks.
        self.asked: dict[str, Flow] = {}
        # Workflows that one node at a time runs, by how deep they go; each is a launch plan as well.
        self._shared: dict[int, Flow] = {}
        self._made = 0
        self.flows[ROOT] = self._flow(3)

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made}"

    def _flow(self, depth: int, *, inside: bool = False) -> Flow:
        random, flow = self._random, Flow(self._name("w"))
        for index in range(random.randint(1, 4)):
            after = [node.id for node in flow.nodes if random.random() < 0.2]
            self._node(flow, f"n{index}", after, depth, inside=inside)
        return flow.fails_after() if random.random() < 0.7 else flow

    def _node(self, flow: Flow, node_id: str, after: Sequence[str], depth: int, *, inside: bool) -> None:
        random = self._random
        kinds = ["task", "task", "alone", "alone", "alone", "map", "echo"]
        if depth:
            kinds += ["launch", "map launch"] * depth + ["sub"] + ([] if inside else ["dynamic"])
            kinds += ["shared sub", "shared launch", "shared map launch"]
        kind = random.choice(kinds)
        # In a dynamic workflow nothing is bound to inputs.
        x, xs = (4, [5, 5, 6]) if inside else (X, XS)
        match kind:
            case "echo":
                flow.echo(node_id, x, after=after)
            case "map":
                array = {"parallelism": random.choice([0, 1])}
                flow.map(node_id, {"a": xs}, after=after, original=random.random() < 0.5, array=array)
                if random.random() < 0.7:
                    # With the interface of one that is not mapped, it makes the same results.
                    name = "alone" if flow.nodes[-1].array_node.is_original_sub_node_interface.value else "mapped"
                    flow.nodes[-1].array_node.node.task_node.reference_id.name = name
                    self._share(flow.tasks[node_id], name)
            case "alone":
                flow.task(node_id, {"a": 5}, after=after)
                flow.nodes[-1].task_node.reference_id.name = "alone"
                self._share(flow.tasks[node_id], "alone")
            case "launch" | "map launch":
                plan = self._name("plan")
                self.flows[plan] = self._flow(depth - 1)
                if kind == "launch":
                    flow.launches(node_id, {"x": x, "xs": xs}, launch_plan=plan, after=after)
                else:
                    bound = {"x": xs, "xs": xs}
                    flow.map(node_id, bound, bound=("xs",), launch_plan=plan, original=True, after=after)
            case "shared sub":
                flow.sub(node_id, self._shared_flow(depth - 1), after=after, **ALONE)
            case "shared launch":
                plan = self._shared_flow(depth - 1).name
                flow.launches(node_id, {"x": 5, "xs": [5, 6]}, launch_plan=plan, after=after, **ALONE)
            case "shared map launch":
                plan = self._shared_flow(depth - 1).name
                bound = {"x": [5, 5], "xs": [5, 6]}
                flow.map(node_id, bound, bound=("xs",), launch_plan=plan, original=True, after=after, **ALONE)
            case "sub":
                flow.sub(node_id, self._flow(0, inside=inside), {} if inside else {"x": X, "xs": XS}, after=after)
            case "dynamic":
                flow.task(node_id, {"a": x}, after=after, outputs=(), retries=1)
                self.asked[flow.tasks[node_id].id.name] = self._flow(depth - 1, inside=True)
            case _:
                flow.task(node_id, {"a": x}, after=after, retries=random.choice([0, 1]))

    def _shared_flow(self, depth: int) -> Flow:
        if depth not in self._shared:
            flow = self._flow(depth, inside=True)
            flow.task("last", {"a": 5}, after=[node.id for node in flow.nodes]).returns(o0=From("last"))
            self._shared[depth] = self.flows[flow.name] = flow
        return self._shared[depth]

    @staticmethod
    def _share(template: TaskTemplate, name: str) -> None:
        """Makes it the task that many nodes are of, one of which at a time makes a result."""
        template.id.name = name
        metadata = template.metadata
        metadata.discoverable, metadata.discovery_version, metadata.cache_serializable = True, "1", True

    def interfaces(self) -> dict[EntityKey, LaunchPlanInterface]:
        parameters, outputs = ParameterMap(), VariableMap()
        outputs.variables["o0"].type.simple = INTEGER
        for name in ("x", "xs"):
            kind = parameters.parameters[name].var.type
            if name == "x":
                kind.simple = INTEGER
            else:
                kind.collection_type.simple = INTEGER
            parameters.parameters[name].MergeFrom(Parameter(required=True))
        known = [LaunchPlanInterface(identifier("LAUNCH_PLAN", name), parameters, outputs) for name in self.flows]
        return {EntityKey.of(launch_plan.id): launch_plan for launch_plan in known}


class Told(Story):
    """An execution that tells what it decided."""

    def __init__(self, world: World, name: str, flow: Flow, config: facts.ResolvedConfig) -> None:
        self.world, self.name = world, name

        def change(created: facts.ExecutionCreated) -> None:
            created.id.name = name
            created.config.CopyFrom(config)
            created.config.metadata_prefix = f"s3://bucket/{name}"

        super().__init__(flow, INPUTS, settings=SETTINGS, change=change)
        world.blobs.update(self.blobs)
        self.blobs = world.blobs

    def decided(self, command: engine.Command) -> tuple[Message, ...]:
        decided = super().decided(command)
        self.world.heard(self, decided)
        return decided


class World:
    """All executions of a tree, what is on its way between them, and what runs."""

    def __init__(self, random: Random, limit: int) -> None:
        self.random, self.limit = random, limit
        self.trees = Trees(random)
        self.blobs: dict[str, bytes] = {}
        self.stories: dict[str, Told] = {}
        self.asked_for: dict[str, facts.ChildExecutionRequested] = {}
        # Of places: any order, any number of times. Of everything else: each execution's in its order.
        self.slots: list[tuple[str, tuple[Message, ...]]] = []
        self.others: dict[str, deque[Message]] = {}
        self.entries: dict[str, Entry] = {}
        self.keys: dict[str, CacheKey] = {}
        self.answers: dict[str, deque[tuple[CacheAnswer, ...]]] = {}
        # What runs: an attempt, and whether it is being stopped.
        self.attempts: dict[tuple[str, str, int], bool] = {}
        self.failing = random.choice([0, 0.02, 0.2])
        config = facts.ResolvedConfig(max_parallelism=limit, raw_output_prefix="s3://bucket/data")
        config.parallelism_root.CopyFrom(WorkflowExecutionIdentifier(project="p", domain="d", name=ROOT))
        self._begin(ROOT, self.trees.flows[ROOT], config)

    def _begin(
        self, name: str, flow: Flow, config: facts.ResolvedConfig, parent: facts.ParentAttempt | None = None
    ) -> None:
        story = Told(self, name, flow, config)
        assert story.state is not None
        if parent is not None:
            story.state.created.parent.CopyFrom(parent)
        self.stories[name] = story
        story.start()

    # -- what was decided

    def heard(self, story: Told, decided: tuple[Message, ...]) -> None:
        name = story.name
        places = tuple(
            fact for fact in decided if isinstance(fact, facts.SlotAsked | facts.SlotReturned | facts.SlotGranted)
        )
        if places:
            self.slots.append((name, places))
        for fact in decided:
            match fact:
                case facts.AttemptScheduled() if not fact.in_engine:
                    self.attempts[name, fact.node_id, fact.attempt] = False
                case facts.AttemptAborting():
                    self.attempts[name, fact.node_id, fact.attempt] = True
                case facts.AttemptSucceeded() | facts.AttemptFailed() | facts.AttemptAborted():
                    self.attempts.pop((name, fact.node_id, fact.attempt), None)
                case _:
                    pass
        self.others.setdefault(name, deque()).extend(decided)
        self.check(decided)

    def check(self, decided: tuple[Message, ...]) -> None:
        """Never more than may run: by what was ordered and has not ended, and by what each execution counts."""
        root = self.stories.get(ROOT)
        if root is None or root.state is None or root.state.phase.terminal or not decided:
            return
        running = {(name, self._holder(name, node_id)) for name, node_id, _ in self.attempts if name in self.stories}
        assert len(running) <= self.limit, running
        holding = sum(node.holds_slot for story in self.stories.values() for node in self.nodes(story))
        assert holding <= self.limit
        assert root.state.slots <= self.limit

    def _holder(self, name: str, node_id: str) -> str:
        """An array has the place of all its elements."""
        node = self.stories[name].node(node_id)
        return node_id if node.element is None else node.parent_id

    @staticmethod
    def nodes(story: Told) -> list[engine.NodeState]:
        assert story.state is not None
        return list(story.state.nodes.values())

    # -- what comes of it

    def tell_slots(self, *, again: bool = False) -> None:
        index = self.random.randrange(len(self.slots))
        name, said = self.slots[index] if again else self.slots.pop(index)
        asked = tuple((fact.node_id, fact.number) for fact in said if isinstance(fact, facts.SlotAsked))
        returned = tuple((fact.node_id, fact.number) for fact in said if isinstance(fact, facts.SlotReturned))
        if asked or returned:
            self.stories[ROOT].does(engine.MoveSlots(name, asked, returned))
        for fact in said:
            if isinstance(fact, facts.SlotGranted):
                child = self.stories[fact.node.execution_id.name]
                child.does(engine.TakeSlots(((fact.node.node_id, fact.number),)))

    def tell_next(self, name: str, *, again: bool = False) -> None:
        fact = self.others[name][0] if again else self.others[name].popleft()
        match fact:
            case facts.ChildExecutionRequested():
                self._create(name, fact)
            case facts.ChildExecutionAborting():
                self._abort(name, fact)
            case facts.ExecutionSucceeded() | facts.ExecutionFailed() | facts.ExecutionAborted():
                self._ended(name, fact)
            case (
                facts.CacheAsked() | facts.ReservationAsked() | facts.ReservationReleased() | facts.CachePutRequested()
            ):
                self._ask(name, fact)
            case _:
                pass

    def _create(self, name: str, fact: facts.ChildExecutionRequested) -> None:
        child = fact.execution_id.name
        node = self.stories[name].node(fact.node_id)
        attempt = node.live_attempt
        if child in self.stories or attempt is None or attempt.number != fact.attempt or attempt.stopping:
            return
        state = self.stories[name].state
        assert state is not None
        parent = facts.ParentAttempt(attempt=fact.attempt)
        parent.node.node_id = fact.node_id
        parent.node.execution_id.CopyFrom(state.created.id)
        self._begin(child, self.trees.flows[fact.launch_plan.name], state.created.config, parent)

    def _abort(self, name: str, fact: facts.ChildExecutionAborting) -> None:
        child = self.stories.get(fact.execution_id.name)
        if child is None:
            gone = engine.ObserveChild(fact.node_id, fact.attempt, WorkflowExecution.ABORTED)
            self.stories[name].does(gone)
        elif child.phase in ("CREATED", "RUNNING", "FAILING"):
            child.terminate()

    def _ended(
        self, name: str, fact: facts.ExecutionSucceeded | facts.ExecutionFailed | facts.ExecutionAborted
    ) -> None:
        if not fact.HasField("parent"):
            return
        match fact:
            case facts.ExecutionSucceeded():
                phase, outputs, error = WorkflowExecution.SUCCEEDED, fact.outputs, None
            case facts.ExecutionFailed():
                phase, outputs, error = WorkflowExecution.FAILED, None, fact.error
            case _:
                phase, outputs, error = WorkflowExecution.ABORTED, None, None
        parent = fact.parent
        observed = engine.ObserveChild(parent.node.node_id, parent.attempt, phase, outputs, error)
        self.stories[parent.node.execution_id.name].does(observed)

    def _ask(self, name: str, fact: Message) -> None:
        match fact:
            case facts.CacheAsked():
                key, node_id = fact.node.cache.key, fact.node.node_id
            case facts.ReservationAsked() | facts.ReservationReleased() | facts.CachePutRequested():
                key, node_id = fact.key, fact.node_id
            case _:
                raise AssertionError
        where, asker = str(key), Asker("p", "d", name, node_id)
        request: Request
        match fact:
            case facts.CacheAsked():
                request = LookUp(asker)
            case facts.ReservationAsked():
                request = Reserve(asker)
            case facts.ReservationReleased():
                request = Release(asker)
            case _:
                assert isinstance(fact, facts.CachePutRequested)
                source = TaskExecutionIdentifier(node_execution_id=asker.identifier, retry_attempt=fact.attempt)
                made = CachedResult(artifact_id=str(asker), outputs=fact.outputs, source=source)
                request = Put(asker, made, overwrites=fact.overwrites)
        outcome = entries.decide(self.entries.get(where, Entry()), key, [request], Timestamp())
        for changed in outcome.facts:
            self.entries[where] = entries.evolve(self.entries.get(where, Entry()), changed)
        for answer in outcome.answers:
            self.answers.setdefault(answer.node.execution_id.name, deque()).append((answer,))

    def tell_answer(self, name: str) -> None:
        self.stories[name].does(engine.AnswerCache(self.answers[name].popleft()))

    def end_attempt(self, *, well: bool = False) -> None:
        name, node_id, attempt = self.random.choice(sorted(self.attempts))
        story = self.stories[name]
        if self.attempts[name, node_id, attempt]:
            story.sees(node_id, "KILLED", attempt)
            return
        fails = not well and self.random.random() < self.failing
        how = self.random.choice(["fail", "retry", "lost"]) if fails else "ok"
        task = story.last(facts.AttemptScheduled, node_id=node_id, attempt=attempt).task_id.name
        if how == "lost":
            story.sees(node_id, "LOST", attempt)
        elif how in ("fail", "retry"):
            result = engine.AttemptResult(error=error_document("E", recoverable=how == "retry"))
            story.does(engine.ObserveAttempt(story.observation(node_id, "EXITED", attempt), result))
        elif task in self.trees.asked:
            story.asks(node_id, self.trees.asked[task], attempt, launch_plans=self.trees.interfaces())
        else:
            story.put(f"{story.output_prefix(node_id)}/outputs.pb", literal_map({"o0": 1}))
            story.succeeds(node_id, attempt)

    # -- what happens next

    def possible(self) -> list[str]:
        possible = ["slots"] * bool(self.slots) + ["attempt"] * bool(self.attempts)
        possible += [f"next {name}" for name, facts_ in self.others.items() if facts_]
        return possible + [f"answer {name}" for name, answers in self.answers.items() if answers]

    def step(self, possible: Sequence[str], *, calmly: bool = False) -> None:
        what, _, name = self.random.choice(possible).partition(" ")
        again = not calmly and self.random.random() < 0.2
        match what:
            case "slots":
                self.tell_slots(again=again)
            case "attempt":
                self.end_attempt(well=calmly)
            case "next":
                self.tell_next(name, again=again and not _is_question(self.others[name][0]))
            case _:
                self.tell_answer(name)

    def abort_something(self) -> None:
        story = self.random.choice([self.stories[name] for name in sorted(self.stories)])
        assert story.state is not None
        if not story.state.phase.terminal:
            story.terminate(force=self.random.random() < 0.3)


def _is_question(fact: Message) -> bool:
    """The catalog recognises a question that comes again by its envelope, which this log does not have."""
    return isinstance(
        fact, facts.CacheAsked | facts.ReservationAsked | facts.ReservationReleased | facts.CachePutRequested
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 3), aborts=st.integers(0, 2))
def test_never_more_run_than_may_and_all_end(seed: int, limit: int, aborts: int) -> None:
    world = World(Random(seed), limit)
    for _ in range(400):
        possible = world.possible()
        if not possible:
            break
        if aborts and world.random.random() < 0.02:
            aborts -= 1
            world.abort_something()
        else:
            world.step(possible)
    # From anywhere: when everybody does their part, all end.
    for _ in range(20_000):
        possible = world.possible()
        if not possible:
            break
        world.step(possible, calmly=True)
    for name, story in world.stories.items():
        assert story.state is not None
        assert story.state.phase.terminal, f"{name} waits for ever: {story.phases()}"
        assert engine.fold(story.history) == story.state
        assert not any(node.slot or node.holds_slot for node in world.nodes(story))
    root = world.stories[ROOT].state
    assert root is not None
    assert (root.slots, len(root.waiting)) == (0, 0)
    assert all(known.phase is SlotPhase.FREED for known in root.lent.values())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 3))
def test_no_place_is_lost(seed: int, limit: int) -> None:
    """Whenever all that was said has been heard, nobody waits who could run."""
    world = World(Random(seed), limit)
    for _ in range(300):
        while heard := [what for what in world.possible() if what != "attempt"]:
            world.step(heard)
        root = world.stories[ROOT].state
        assert root is not None
        held = sum(node.holds_slot for story in world.stories.values() for node in world.nodes(story))
        assert root.slots == held
        assert not root.waiting or held >= limit
        if not world.attempts:
            break
        world.end_attempt()
    assert world.stories[ROOT].phase in ("SUCCEEDED", "FAILED", "ABORTED")
