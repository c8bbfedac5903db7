"""Executions and the catalog together, in any order: whoever waits is answered, and one at a time makes a result.

Real engine, real entries; between them a log in miniature. Messages of one execution are handled in their order, those
of different ones in any; each may be handled again. Attempts succeed, fail and vanish, runs are aborted at any moment.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta

from flyteidl.core.identifier_pb2 import TaskExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog import entries
from services.catalog.entries import Entry
from services.catalog.requests import Asker, LookUp, Put, Release, Request, Reserve
from services.execution import engine
from tests.unit.engine.story import Flow, Story, error_document, literal_map

KEYS = 2


class Run:
    """One execution: its story, the questions on their way to the catalog, the answers on their way back."""

    def __init__(self, number: int, story: Story) -> None:
        self.number = number
        self.story = story
        self.questions: deque[tuple[Message, ...]] = deque()
        self.asked: list[tuple[Message, ...]] = []
        self.answers: deque[tuple[CacheAnswer, ...]] = deque()
        self.told: list[tuple[CacheAnswer, ...]] = []
        self.attempts: dict[tuple[str, int], bool] = {}

    def give(self, command: engine.Command) -> None:
        decided = self.story.decided(command)
        if decided:
            self.questions.append(decided)
        for fact in decided:
            match fact:
                case facts.AttemptScheduled():
                    self.attempts[fact.node_id, fact.attempt] = False
                case facts.AttemptAborting():
                    self.attempts[fact.node_id, fact.attempt] = True
                case facts.AttemptSucceeded() | facts.AttemptFailed() | facts.AttemptAborted():
                    del self.attempts[fact.node_id, fact.attempt]
                case _:
                    pass

    @property
    def over(self) -> bool:
        return self.story.state is not None and self.story.state.phase.terminal


@settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
class AnyOrder(RuleBasedStateMachine):
    """A few executions that want the same few results."""

    @initialize(
        count=st.integers(1, 4), nodes=st.integers(1, 3), parallelism=st.integers(0, 2), overwriting=st.integers(0, 5)
    )
    def begin(self, count: int, nodes: int, parallelism: int, overwriting: int) -> None:
        self.entries: dict[str, Entry] = {}
        self.keys: dict[str, CacheKey] = {}
        self.made = 0
        self.runs = [self._run(number, nodes, parallelism, number == overwriting) for number in range(count)]

    def _run(self, number: int, nodes: int, parallelism: int, overwrites: bool) -> Run:
        flow = Flow()
        for index in range(nodes):
            node_id = f"n{index}"
            flow.task(node_id, {"a": (index + number) % KEYS}, retries=1)
            template = flow.tasks[node_id]
            template.id.name = flow.nodes[-1].task_node.reference_id.name = "main.shared"
            metadata = template.metadata
            metadata.discoverable, metadata.discovery_version, metadata.cache_serializable = True, "1", True

        def change(created: facts.ExecutionCreated) -> None:
            created.id.name = f"run{number}"
            created.config.overwrite_cache = overwrites

        pauseless = engine.EngineSettings(max_system_failures=1, retry_backoff_base=timedelta())
        run = Run(number, Story(flow, parallelism=parallelism, settings=pauseless, change=change))
        run.give(engine.StartExecution())
        return run

    # -- the log in miniature

    def catalog_takes(self, run: Run, said: tuple[Message, ...], *, again: bool = False) -> None:
        answers: dict[int, list[CacheAnswer]] = {}
        for name, requests in self._requests(run, said).items():
            outcome = entries.decide(self.entries.get(name, Entry()), self.keys[name], requests, Timestamp())
            if again:
                # What it was caused to record is found on the log; only questions are answered anew.
                outcome = replace(outcome, facts=(), answers=outcome.answers if not outcome.facts else ())
            for fact in outcome.facts:
                self.entries[name] = entries.evolve(self.entries.get(name, Entry()), fact)
            for answer in outcome.answers:
                number = int(answer.node.execution_id.name.removeprefix("run"))
                answers.setdefault(number, []).append(answer)
        for number, told in answers.items():
            self.runs[number].answers.append(tuple(told))

    def _requests(self, run: Run, said: tuple[Message, ...]) -> dict[str, list[Request]]:
        found: dict[str, list[Request]] = {}
        for fact in said:
            match fact:
                case facts.CacheAsked():
                    key, node_id = fact.node.cache.key, fact.node.node_id
                case facts.ReservationAsked() | facts.ReservationReleased() | facts.CachePutRequested():
                    key, node_id = fact.key, fact.node_id
                case _:
                    continue
            self.keys[key.tag] = key
            asker = Asker("p", "d", f"run{run.number}", node_id)
            match fact:
                case facts.CacheAsked():
                    request: Request = LookUp(asker)
                case facts.ReservationAsked():
                    request = Reserve(asker)
                case facts.ReservationReleased():
                    request = Release(asker)
                case _:
                    assert isinstance(fact, facts.CachePutRequested)
                    source = TaskExecutionIdentifier(node_execution_id=asker.identifier, retry_attempt=fact.attempt)
                    result = CachedResult(artifact_id=f"{asker}", outputs=fact.outputs, source=source)
                    request = Put(asker, result, overwrites=fact.overwrites)
            found.setdefault(key.tag, []).append(request)
        return found

    def engine_takes(self, run: Run, told: tuple[CacheAnswer, ...]) -> None:
        for answer in told:
            uri = answer.result.outputs.uri
            if uri:
                # The object store is one for all.
                (data,) = {other.story.blobs[uri] for other in self.runs if uri in other.story.blobs}
                run.story.blobs[uri] = data
        run.give(engine.AnswerCache(told))

    # -- what happens

    def _one(self, data: st.DataObject, runs: list[Run]) -> Run:
        return data.draw(st.sampled_from(runs))

    @rule(data=st.data())
    @precondition(lambda self: any(run.questions for run in self.runs))
    def the_catalog_reads_on(self, data: st.DataObject) -> None:
        run = self._one(data, [run for run in self.runs if run.questions])
        said = run.questions.popleft()
        run.asked.append(said)
        self.catalog_takes(run, said)

    @rule(data=st.data())
    @precondition(lambda self: any(run.answers for run in self.runs))
    def an_execution_reads_on(self, data: st.DataObject) -> None:
        run = self._one(data, [run for run in self.runs if run.answers])
        told = run.answers.popleft()
        run.told.append(told)
        self.engine_takes(run, told)

    @rule()
    def all_that_was_said_is_heard(self) -> None:
        while busy := next((run for run in self.runs if run.questions or run.answers), None):
            self.hear(busy)
            self.one_at_a_time_makes_a_result()

    def hear(self, run: Run) -> None:
        if run.questions:
            self.catalog_takes(run, run.questions.popleft())
        else:
            self.engine_takes(run, run.answers.popleft())

    @rule(data=st.data())
    @precondition(lambda self: any(run.told for run in self.runs))
    def an_answer_comes_again(self, data: st.DataObject) -> None:
        run = self._one(data, [run for run in self.runs if run.told])
        self.engine_takes(run, data.draw(st.sampled_from(run.told)))

    @rule(data=st.data())
    @precondition(lambda self: any(run.asked for run in self.runs))
    def a_question_comes_again(self, data: st.DataObject) -> None:
        run = self._one(data, [run for run in self.runs if run.asked])
        self.catalog_takes(run, data.draw(st.sampled_from(run.asked)), again=True)

    @rule(data=st.data(), how=st.sampled_from(["ok", "fail", "fail", "retry", "lost"]))
    @precondition(lambda self: any(run.attempts for run in self.runs))
    def an_attempt_ends(self, data: st.DataObject, how: str) -> None:
        run = self._one(data, [run for run in self.runs if run.attempts])
        node_id, attempt = data.draw(st.sampled_from(sorted(run.attempts)))
        self.end(run, node_id, attempt, how)

    def end(self, run: Run, node_id: str, attempt: int, how: str) -> None:
        story = run.story
        if how == "ok":
            self.made += 1
            uri = f"{story.output_prefix(node_id)}-{run.number}/outputs.pb"
            result = engine.AttemptResult(outputs=story.put(uri, literal_map({"o0": self.made})))
            run.give(engine.ObserveAttempt(story.observation(node_id, "EXITED", attempt), result))
        elif how in ("fail", "retry"):
            result = engine.AttemptResult(error=error_document("E", recoverable=how == "retry"))
            run.give(engine.ObserveAttempt(story.observation(node_id, "EXITED", attempt), result))
        else:
            run.give(engine.ObserveAttempt(story.observation(node_id, "LOST", attempt)))

    @rule(data=st.data(), chance=st.integers(0, 3))
    def somebody_aborts(self, data: st.DataObject, chance: int) -> None:
        running = [run for run in self.runs if not run.over]
        if running and not chance:
            self._one(data, running).give(engine.TerminateExecution("enough", "me"))

    # -- what must hold

    @invariant()
    def one_at_a_time_makes_a_result(self) -> None:
        if not hasattr(self, "runs"):
            return
        makers: dict[str, list[str]] = {}
        for run in self.runs:
            for (node_id, _), stopping in run.attempts.items():
                state = run.story.node(node_id)
                if state.cache is not None and not state.cache.overwrites and not stopping:
                    makers.setdefault(state.cache.key.tag, []).append(f"run{run.number} {node_id}")
        assert all(len(set(names)) == 1 for names in makers.values()), makers

    def teardown(self) -> None:
        """From anywhere: when everybody does their part, all end, and nobody holds or awaits anything any more."""
        if not hasattr(self, "runs"):
            return
        for _ in range(1000):
            self.one_at_a_time_makes_a_result()
            busy = next((run for run in self.runs if run.questions or run.answers or run.attempts), None)
            if busy is None:
                break
            if busy.questions or busy.answers:
                self.hear(busy)
            else:
                (node_id, attempt), _ = min(busy.attempts.items())
                self.end(busy, node_id, attempt, "ok")
        for run in self.runs:
            assert run.over, f"run{run.number} waits for ever: {run.story.phases()}"
            assert run.story.state is not None
            assert run.story.state.slots == 0 or run.story.phase != "SUCCEEDED"
            assert engine.fold(run.story.history) == run.story.state
        for entry in self.entries.values():
            assert entry.holder is None
            assert entry.waiters == ()


TestAnyOrder = AnyOrder.TestCase
