"""Where a schedule stands: the fold of its facts, and its form in the last fact of each envelope."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from flyteidl.admin.schedule_pb2 import Schedule
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, Identifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1 import schedules_pb2 as facts
from flightlog_protos.scheduler.v1.schedules_pb2 import SchedulePolicy
from services.scheduler.schedules.naming import tick_name

MOST_FOLLOWED: Final = 1000
"""Runs of one schedule whose ends are waited for, the latest ones: each envelope lists them. Runs go on unlisted."""


class ScheduleKey(NamedTuple):
    """What has a schedule: a launch plan's name."""

    project: str
    domain: str
    name: str

    def version(self, version: str) -> Identifier:
        """The identifier of one of its versions."""
        return Identifier(
            resource_type=LAUNCH_PLAN, project=self.project, domain=self.domain, name=self.name, version=version
        )

    def execution(self, tick: Tick) -> str:
        """Name of a tick's execution."""
        return tick_name(self.version(tick.version), tick.due)


class Tick(NamedTuple):
    """A tick of a version; `due` is its nominal time, in UTC and whole seconds."""

    version: str
    due: datetime


class Waiting(NamedTuple):
    """A tick that waits; `kickoff_input` is the input that takes its time, "" for none."""

    version: str
    due: datetime
    kickoff_input: str

    @property
    def tick(self) -> Tick:
        return Tick(self.version, self.due)


@dataclass(frozen=True, slots=True)
class Span:
    """A version's time as the one whose ticks fire."""

    launch_plan: Identifier
    schedule: Schedule
    policy: SchedulePolicy
    since: datetime
    """Its activation; fixed rates count from it."""
    considered: datetime
    """Nominal time up to which its ticks have been considered."""
    until: datetime | None = None
    """When another version took its place; None in the active one."""


@dataclass(frozen=True, slots=True)
class Position:
    """The fold of a schedule's facts; `Position()` before the first."""

    spans: tuple[Span, ...] = ()
    """Oldest first. The last one is active unless it has an `until`."""
    considered: datetime | None = None
    """The latest nominal time that was ever considered: whatever the clock does, no tick before it is again."""
    running: tuple[Tick, ...] = ()
    """Whose executions were asked for and have not ended, in that order; at most `MOST_FOLLOWED`."""
    stopping: frozenset[Tick] = frozenset()
    """Those of them that are being terminated."""
    waiting: tuple[Waiting, ...] = ()
    """Ticks that wait for the end of those, in the order in which they are to start."""
    paused: bool = False
    pause_reason: str = ""
    registry_sequence: int = 0
    """Last fact of the stream REGISTRY that was taken in."""
    last_due: datetime | None = None
    """Of the tick that fired last."""
    last_execution: str = ""
    refused: str = ""
    """Why the active version's schedule was refused. "": it was not."""

    @property
    def active(self) -> Span | None:
        """The active version's; None when none is, or when it was refused."""
        last = self.spans[-1] if self.spans else None
        return last if last is not None and last.until is None else None

    def running_as(self, key: ScheduleKey, execution: str) -> Tick | None:
        """The running tick with that execution's name."""
        return next((tick for tick in self.running if key.execution(tick) == execution), None)


def evolve(position: Position, fact: Message) -> Position:
    """The position after one more fact; one of a kind this release does not know changes nothing."""
    match fact:
        case facts.ScheduleStands():
            return _position(fact)
        case facts.ScheduleActivated():
            return _activated(position, fact)
        case facts.ScheduleRefused():
            position = replace(position, spans=_closed(position.spans, _moment(fact.occurred_at)))
            return replace(position, registry_sequence=fact.registry_sequence, refused=fact.reason)
        case facts.ScheduleDeactivated():
            return replace(
                position,
                spans=(),
                paused=False,
                pause_reason="",
                registry_sequence=fact.registry_sequence,
                refused="",
            )
        case facts.ScheduleEnded():
            return replace(position, spans=position.spans[1:])
        case facts.SchedulePaused():
            return replace(position, paused=True, pause_reason=fact.reason)
        case facts.ScheduleResumed():
            return replace(position, paused=False, pause_reason="")
        case _:
            return _tick(position, fact)


def fold(history: Iterable[Message]) -> Position:
    """The position after the facts of the last envelope, or of any number of last ones."""
    position = Position()
    for fact in history:
        position = evolve(position, fact)
    return position


def _activated(position: Position, fact: facts.ScheduleActivated) -> Position:
    since = _moment(fact.occurred_at)
    span = Span(fact.launch_plan, fact.schedule, fact.policy, since, _moment(fact.after))
    return replace(
        position,
        spans=(*_closed(position.spans, since), span),
        registry_sequence=fact.registry_sequence,
        refused="",
    )


def _closed(spans: tuple[Span, ...], until: datetime) -> tuple[Span, ...]:
    return tuple(replace(span, until=until) if span.until is None else span for span in spans)


def _tick(position: Position, fact: Message) -> Position:
    match fact:
        case facts.TickFired():
            tick = Tick(fact.launch_plan.version, _moment(fact.due))
            if all(waiting.tick != tick for waiting in position.waiting):
                position = _considered(position, tick.due)
            running = (*position.running, tick)[-MOST_FOLLOWED:]
            return replace(
                position,
                running=running,
                stopping=position.stopping.intersection(running),
                waiting=_not_waiting(position.waiting, tick),
                last_due=tick.due,
                last_execution=fact.execution_id.name,
            )
        case facts.TickWaiting():
            waiting = Waiting(fact.launch_plan.version, _moment(fact.due), fact.kickoff_input)
            position = _considered(position, waiting.due)
            return replace(position, waiting=(*position.waiting, waiting))
        case facts.TicksSkipped():
            last = _moment(fact.last)
            if fact.waited:
                return replace(position, waiting=_not_waiting(position.waiting, Tick(fact.launch_plan.version, last)))
            return _considered(position, last)
        case facts.TickRunStopping():
            tick = Tick(fact.launch_plan.version, _moment(fact.due))
            return replace(position, stopping=position.stopping | {tick})
        case facts.TickRunEnded() | facts.TickRunExisted() | facts.TickRefused():
            tick = Tick(fact.launch_plan.version, _moment(fact.due))
            return replace(position, running=_without(position.running, tick), stopping=position.stopping - {tick})
        case _:
            return position


def _considered(position: Position, due: datetime) -> Position:
    """Ticks are considered span by span, in their order: it is one of the first span."""
    spans = position.spans
    if spans and spans[0].considered < due:
        spans = (replace(spans[0], considered=due), *spans[1:])
    latest = due if position.considered is None or position.considered < due else position.considered
    return replace(position, spans=spans, considered=latest)


def _not_waiting(waiting: tuple[Waiting, ...], gone: Tick) -> tuple[Waiting, ...]:
    return tuple(each for each in waiting if each.tick != gone)


def _without(ticks: tuple[Tick, ...], gone: Tick) -> tuple[Tick, ...]:
    return tuple(tick for tick in ticks if tick != gone)


def stands(position: Position) -> facts.ScheduleStands:
    """The position as the fact that ends an envelope."""
    fact = facts.ScheduleStands(
        spans=[_span_message(span) for span in position.spans],
        running=_sets(position.running),
        stopping=_sets(tuple(tick for tick in position.running if tick in position.stopping)),
        waiting=_waiting_sets(position.waiting),
        paused=position.paused,
        pause_reason=position.pause_reason,
        registry_sequence=position.registry_sequence,
        last_execution=position.last_execution,
        refused=position.refused,
    )
    if position.considered is not None:
        fact.considered.FromDatetime(position.considered)
    if position.last_due is not None:
        fact.last_due.FromDatetime(position.last_due)
    return fact


def _position(fact: facts.ScheduleStands) -> Position:
    return Position(
        spans=tuple(_span(span) for span in fact.spans),
        considered=_moment(fact.considered) if fact.HasField("considered") else None,
        running=_ticks(fact.running),
        stopping=frozenset(_ticks(fact.stopping)),
        waiting=tuple(
            Waiting(each.version, _moment(due), each.kickoff_input) for each in fact.waiting for due in each.due
        ),
        paused=fact.paused,
        pause_reason=fact.pause_reason,
        registry_sequence=fact.registry_sequence,
        last_due=_moment(fact.last_due) if fact.HasField("last_due") else None,
        last_execution=fact.last_execution,
        refused=fact.refused,
    )


def _span_message(span: Span) -> facts.ScheduleSpan:
    message = facts.ScheduleSpan(
        launch_plan=span.launch_plan,
        schedule=span.schedule,
        policy=span.policy,
        since=stamp(span.since),
        considered=stamp(span.considered),
    )
    if span.until is not None:
        message.until.FromDatetime(span.until)
    return message


def _span(message: facts.ScheduleSpan) -> Span:
    return Span(
        message.launch_plan,
        message.schedule,
        message.policy,
        _moment(message.since),
        _moment(message.considered),
        _moment(message.until) if message.HasField("until") else None,
    )


def _sets(ticks: tuple[Tick, ...]) -> list[facts.TickSet]:
    """One set for each run of ticks of the same version, so that their order stays."""
    sets: list[facts.TickSet] = []
    for tick in ticks:
        if not sets or sets[-1].version != tick.version:
            sets.append(facts.TickSet(version=tick.version))
        sets[-1].due.append(stamp(tick.due))
    return sets


def _waiting_sets(waiting: tuple[Waiting, ...]) -> list[facts.TickSet]:
    sets: list[facts.TickSet] = []
    for each in waiting:
        if not sets or (sets[-1].version, sets[-1].kickoff_input) != (each.version, each.kickoff_input):
            sets.append(facts.TickSet(version=each.version, kickoff_input=each.kickoff_input))
        sets[-1].due.append(stamp(each.due))
    return sets


def _ticks(sets: Iterable[facts.TickSet]) -> tuple[Tick, ...]:
    return tuple(Tick(each.version, _moment(due)) for each in sets for due in each.due)


def stamp(moment: datetime) -> Timestamp:
    """A moment as protobuf has it."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _moment(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)
