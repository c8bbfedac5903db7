"""From what the log has of a decision's cause to the command that was given. Pure.

The log does not hold commands. It does not have to: an envelope names what led to it, and whatever somebody outside
said is repeated by the facts that followed from it. Where several commands may have been given, they are told in the
order of their likelihood; what was decided says which one it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer
from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.execution.v1.admission_pb2 import PlaceGiven
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.execution import engine
from services.execution.engine import ExecutionPhase


@dataclass(frozen=True, slots=True)
class Event:
    """What led to a decision."""

    name: str
    """Of the aggregate it is about: of an execution, its name."""
    facts: Sequence[Message]


def commands(
    facts: Sequence[Message], name: str, cause: Event | None, state: engine.Execution | None
) -> Iterator[engine.Command]:
    """What may have been commanded; of attempts without what they left.

    Args:
        facts: what was decided, by the execution `name`.
        cause: None when it is not known, or somebody outside asked.
        state: before the decision.
    """
    first = facts[0]
    if isinstance(first, facts_pb2.ExecutionCreated):
        yield engine.CreateExecution(first)
        return
    if cause is not None:
        yield from _by_events(cause, name)
    yield from told(facts)
    if cause is None and state is not None and state.phase == ExecutionPhase.CREATED:
        # A queue had a place for it; not every log has the queues any more.
        yield engine.StartExecution()


def _by_events(cause: Event, name: str) -> Iterator[engine.Command]:
    if answers := tuple(fact for fact in cause.facts if isinstance(fact, CacheAnswer)):
        yield engine.AnswerCache(answers)
    yield from places(cause, name)
    for fact in cause.facts:
        if isinstance(fact, facts_pb2.ExecutionCreated | PlaceGiven):
            yield engine.StartExecution()
        elif isinstance(fact, AttemptObserved):
            yield engine.ObserveAttempt(fact)
        elif isinstance(fact, facts_pb2.TimerSet):
            yield engine.FireTimer(fact.timer_id)


def places(cause: Event, name: str) -> Iterator[engine.Command]:
    """What one execution of a tree said to another, `name`, about places to run."""
    asked = tuple((fact.node_id, fact.number) for fact in cause.facts if isinstance(fact, facts_pb2.SlotAsked))
    returned = tuple((fact.node_id, fact.number) for fact in cause.facts if isinstance(fact, facts_pb2.SlotReturned))
    if asked or returned:
        # Where the root of the tree is gone nobody counts any more: whoever asked has what it asked for.
        yield engine.TakeSlots(asked) if cause.name == name else engine.MoveSlots(cause.name, asked, returned)
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
            case facts_pb2.ExecutionDeleted():
                yield engine.DeleteExecution(fact.reason, fact.principal)
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


def moments(facts: Sequence[Message], occurred_at: datetime) -> list[datetime]:
    """When it may have been decided: what most facts say, then what others say, then what the envelope says."""
    found = Counter(
        fact.occurred_at.ToDatetime(UTC)  # type: ignore[attr-defined]
        for fact in facts
        if "occurred_at" in fact.DESCRIPTOR.fields_by_name
    )
    return list(dict.fromkeys([*(moment for moment, _ in found.most_common()), occurred_at]))


def tellers(facts: Iterable[Message]) -> set[tuple[str, str, str]]:
    """Executions that may have told this one about places to run, as its facts name them: project, domain and name."""
    found: set[tuple[str, str, str]] = set()
    for fact in facts:
        match fact:
            case facts_pb2.SlotQueued() | facts_pb2.SlotGranted() | facts_pb2.SlotFreed():
                found.add(_key(fact.node.execution_id))
            case facts_pb2.ExecutionCreated() if fact.config.HasField("parallelism_root"):
                found.add(_key(fact.config.parallelism_root))
            case _:
                pass
    return found


def words(command: engine.Command | None) -> str:
    """A command on one line."""
    match command:
        case None:
            return "an unknown command"
        case engine.ObserveAttempt():
            seen = command.observation
            return f"ObserveAttempt {seen.node_id} attempt {seen.attempt} {AttemptObserved.Stage.Name(seen.stage)}"
        case engine.AnswerCache():
            return f"AnswerCache {', '.join(answer.node.node_id for answer in command.answers)}"
        case engine.ObserveChild():
            return f"ObserveChild {command.node_id} attempt {command.attempt}"
        case engine.FireTimer():
            return f"FireTimer {command.timer_id}"
        case engine.SetSignal() | engine.AwaitSignal():
            return f"{type(command).__name__} {command.signal_id}"
        case _:
            return type(command).__name__


def _key(identifier: WorkflowExecutionIdentifier) -> tuple[str, str, str]:
    return identifier.project, identifier.domain, identifier.name
