"""Golden histories: what the log has of the suite's executions, made into files that the unit tests decide again.

    python -m tests.conformance.histories [pytest arguments]

runs the suite against a stack of its own and, if it passes, writes tests/unit/engine/histories/ anew. For every
decision on the log the command is found from what the envelope says of its cause; then it is decided again with what
lies in the object store, and must give the recorded facts, or the history is refused. Names of this machine are
replaced by neutral ones.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import Message

from flightlog_blobs import BlobStore
from flightlog_cli.access import Access, open_log
from flightlog_log import Log, Recorded, Subject, Unreadable
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer
from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.execution.v1.admission_pb2 import PlaceGiven
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import engine
from services.execution.literals import load_offloaded
from services.execution.lookup import Lookup
from services.execution.results import load_result
from services.execution.settings import ExecutionSettings
from services.execution.deciding import engine_settings
from tests.unit.engine.replaying import HISTORIES, History, Player, Step, dumped, loaded, write

_STREAMS = ("EXECUTION", "LAUNCHER", "CATALOG", "ADMISSION")


class NotRedecided(Exception):
    """A decision on the log does not follow from its cause."""


@dataclass
class Given:
    """What decisions looked at: loaded from the object store when the engine asks."""

    blobs: BlobStore
    settings: ExecutionSettings
    closures: dict[bytes, CompiledWorkflowClosure] = field(default_factory=dict[bytes, CompiledWorkflowClosure])
    programs: dict[bytes, engine.Program] = field(default_factory=dict[bytes, engine.Program])
    literals: dict[str, LiteralMap] = field(default_factory=dict[str, LiteralMap])
    offloaded: dict[str, Literal] = field(default_factory=dict[str, Literal])
    lost: dict[str, str] = field(default_factory=dict[str, str])
    recovery: facts_pb2.RecoveryPlan | None = None

    async def program(self, closure: DataRef) -> engine.Program:
        if closure.sha256 not in self.programs:
            found = CompiledWorkflowClosure.FromString(await self.blobs.verified(closure))
            self.closures[closure.sha256] = found
            self.programs[closure.sha256] = engine.Program.parse(found)
        return self.programs[closure.sha256]

    async def read(self, need: engine.NeedData) -> None:
        for uri in need.uris:
            content = await self.blobs.get_or_none(uri)
            if content is None:
                self.lost[uri] = "it does not exist"
            else:
                self.literals[uri] = LiteralMap.FromString(content)
        for uri in need.offloaded:
            found = await load_offloaded(self.blobs, uri, self.settings.offloading.read_bytes)
            if isinstance(found, str):
                self.lost[uri] = found
            else:
                self.offloaded[uri] = found


class Historian:
    """Makes histories of the executions on a log.

    Args:
        events: everything on the streams that decisions name as causes, by event id.
    """

    def __init__(self, log: Log, blobs: BlobStore, events: Mapping[str, Recorded]) -> None:
        self._blobs = blobs
        self._events = events
        self._settings = ExecutionSettings()
        self._lookup = Lookup(log, self._settings.domains)
        self._engine = engine_settings(self._settings)

    async def history(self, records: Iterable[Recorded]) -> History:
        """The history of one execution. Raises `NotRedecided`."""
        given = Given(self._blobs, self._settings)
        steps: list[Step] = []
        state: engine.Execution | None = None
        for record in records:
            step = await self._step(record, state, given)
            steps.append(step)
            state = engine.fold(step.facts, state)
        return History(
            self._engine, tuple(steps), given.closures, given.literals, given.offloaded, given.lost, given.recovery
        )

    async def _step(self, record: Recorded, state: engine.Execution | None, given: Given) -> Step:
        created = record.facts[0] if state is None else state.created
        assert isinstance(created, facts_pb2.ExecutionCreated)
        program = await given.program(created.closure)
        seen: list[str] = []
        for bare in self.commands(record, state):
            command = await self._with_result(bare, state)
            for now in moments(record):
                decision = await self._decide(state, command, now, program, given)
                if decision.facts == record.facts:
                    return Step(record.envelope.position, now, command, record.facts)
                seen.append(f"{command}: {[fact.DESCRIPTOR.name for fact in decision.facts]}")
        names = [fact.DESCRIPTOR.name for fact in record.facts]
        tried = "\n".join(seen) or "no command is known for its cause"
        raise NotRedecided(f"{record.subject} #{record.envelope.position}, {names}\n{tried}")

    async def _decide(
        self,
        state: engine.Execution | None,
        command: engine.Command,
        now: datetime,
        program: engine.Program,
        given: Given,
    ) -> engine.Decision:
        while True:
            recovery = engine.Recovery.of(given.recovery) if given.recovery is not None else None
            context = engine.Context(
                now, program, given.literals, self._engine, given.lost, given.programs, given.offloaded, recovery
            )
            try:
                return engine.decide(state, command, context)
            except engine.NeedData as need:
                await given.read(need)
            except engine.NeedProgram as need:
                await given.program(need.closure)
            except engine.NeedRecovery as need:
                given.recovery = facts_pb2.RecoveryPlan.FromString(await self._blobs.verified(need.plan))

    def commands(self, record: Recorded, state: engine.Execution | None) -> Iterator[engine.Command]:
        """What may have been commanded, by the envelope's cause; of attempts without what they left."""
        first = record.facts[0]
        if isinstance(first, facts_pb2.ExecutionCreated):
            yield engine.CreateExecution(first)
            return
        cause = self._events.get(record.envelope.causation_id)
        seen = cause.facts if cause is not None else ()
        if answers := tuple(fact for fact in seen if isinstance(fact, CacheAnswer)):
            yield engine.AnswerCache(answers)
        if cause is not None:
            yield from places(cause, record)
        for fact in seen:
            if isinstance(fact, facts_pb2.ExecutionCreated | PlaceGiven):
                yield engine.StartExecution()
            elif isinstance(fact, AttemptObserved):
                yield engine.ObserveAttempt(fact)
            elif isinstance(fact, facts_pb2.TimerSet):
                yield engine.FireTimer(fact.timer_id)
        yield from told(record.facts)

    async def _with_result(self, command: engine.Command, state: engine.Execution | None) -> engine.Command:
        if not isinstance(command, engine.ObserveAttempt) or command.observation.stage != AttemptObserved.EXITED:
            return command
        node = state.nodes.get(command.observation.node_id) if state is not None else None
        attempt = node.live_attempt if node is not None else None
        if attempt is None or attempt.number != command.observation.attempt:
            return command
        result = await load_result(
            self._blobs,
            self._lookup,
            attempt.output_prefix,
            limit=self._settings.read_bytes,
            futures_limit=self._settings.futures_bytes,
            plugin=command.observation.plugin,
        )
        return replace(command, result=result)


def places(cause: Recorded, record: Recorded) -> Iterator[engine.Command]:
    """What one execution of a tree said to another about places to run."""
    said, name = Subject.parse(cause.subject).parts[-1], Subject.parse(record.subject).parts[-1]
    asked = [fact for fact in cause.facts if isinstance(fact, facts_pb2.SlotAsked)]
    returned = [fact for fact in cause.facts if isinstance(fact, facts_pb2.SlotReturned)]
    if asked or returned:
        moved = (tuple((fact.node_id, fact.number) for fact in facts) for facts in (asked, returned))
        yield engine.MoveSlots(said, *moved)
    granted = tuple(
        (fact.node.node_id, fact.number)
        for fact in cause.facts
        if isinstance(fact, facts_pb2.SlotGranted) and fact.node.execution_id.name == name
    )
    if granted:
        yield engine.TakeSlots(granted)


def told(facts: Iterable[Message]) -> Iterator[engine.Command]:
    """What somebody outside of this execution said, as its facts repeat it."""
    for fact in facts:
        match fact:
            case facts_pb2.AbortRequested():
                yield engine.TerminateExecution(fact.cause, fact.principal, fact.force)
            case facts_pb2.ExecutionWaiting():
                yield engine.AwaitPlace()
            case facts_pb2.ExecutionStateChanged():
                yield engine.ChangeState(fact.state, fact.principal)
            case facts_pb2.SignalAwaited():
                yield engine.AwaitSignal(fact.signal_id, fact.type)
            case facts_pb2.SignalSet():
                yield engine.SetSignal(fact.signal_id, fact.value, fact.principal)
            case facts_pb2.ChildExecutionEnded():
                outputs = fact.outputs if fact.HasField("outputs") else None
                error = fact.error if fact.HasField("error") else None
                yield engine.ObserveChild(fact.node_id, fact.attempt, fact.phase, outputs, error)
            case _:
                pass


def moments(record: Recorded) -> list[datetime]:
    """When it may have been decided: what most facts say, then what others say, then what the envelope says."""
    found = Counter(
        fact.occurred_at.ToDatetime(UTC)  # type: ignore[attr-defined]
        for fact in record.facts
        if "occurred_at" in fact.DESCRIPTOR.fields_by_name
    )
    return list(dict.fromkeys([*(moment for moment, _ in found.most_common()), record.occurred_at]))


def neutral(history: History, places: Mapping[str, str]) -> History:
    """The same history with other names for places of this machine.

    They are replaced in what the engine was given; what follows from that is decided anew, for a hash of data that
    named a place is another one now.
    """
    text = json.dumps(dumped(history), ensure_ascii=False)
    for place, name in sorted(places.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(place, name)
    given = loaded(json.loads(text))
    player = Player(given)
    state: engine.Execution | None = None
    steps: list[Step] = []
    for step in given.steps:
        decision = player.decide(step, state)
        steps.append(replace(step, facts=decision.facts))
        state = decision.state
    return replace(given, steps=tuple(steps))


async def all_events(log: Log) -> AsyncIterator[Recorded]:
    """What is on the log now, stream by stream."""
    for stream in _STREAMS:
        async for batch in log.follow(stream, after=0, live=False):
            for entry in batch:
                assert not isinstance(entry, Unreadable), entry.reason
                yield entry


async def keep(data: Path, folder: Path) -> list[str]:
    """Writes the histories of all executions of the stack on a data folder that have ended.

    Returns:
        what could not be decided again, in words.
    """
    access = Access.of(data)
    blobs = BlobStore.open(access.blobs)
    places = {
        str(data): "/data",
        sys.prefix: "/python",
        sys.base_prefix: "/usr",
        str(Path(__file__).parents[2]): "/flightlog",
    }
    refused: list[str] = []
    numbers: Counter[str] = Counter()
    try:
        async with open_log(access) as log:
            events = {record.event_id: record async for record in all_events(log)}
            executions: dict[str, list[Recorded]] = {}
            for record in events.values():
                if record.subject.startswith("execution."):
                    executions.setdefault(record.subject, []).append(record)
            historian = Historian(log, blobs, events)
            for records in executions.values():
                if not engine.fold(fact for record in records for fact in record.facts).phase.terminal:
                    continue
                created = records[0].facts[0]
                assert isinstance(created, facts_pb2.ExecutionCreated)
                name = created.workflow_id.name.lstrip(".")
                numbers[name] += 1
                try:
                    history = neutral(await historian.history(records), places)
                except NotRedecided as error:
                    refused.append(str(error))
                    continue
                write(history, folder / f"{name}-{numbers[name]}.json.gz")
    finally:
        await blobs.close()
    return refused


def main() -> int:
    with tempfile.TemporaryDirectory() as made:
        code = pytest.main([str(Path(__file__).parent), "--keep-histories", made, *sys.argv[1:]])
        if code == 0:
            HISTORIES.mkdir(exist_ok=True)
            for path in HISTORIES.glob("*.json.gz"):
                path.unlink()
            for path in Path(made).iterdir():
                shutil.copy(path, HISTORIES)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
