"""A schedule: what follows from a command, by its policy. Pure: no input or output, no clock.

A tick is considered once, in the order of nominal times, and never again, whatever the clock does. Then it fires,
waits, or is skipped; each is a fact. The facts that ask the execution service for something are in the same envelope as
the tick that asks, and the execution's name follows from the tick: it runs once. Each envelope ends with
ScheduleStands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message

from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested, TerminationRequested
from flightlog_protos.scheduler.v1 import schedules_pb2 as facts
from flightlog_protos.scheduler.v1.schedules_pb2 import CatchUp, Overlap, SchedulePolicy, TicksSkipped
from services.scheduler.schedules.commands import (
    Activate,
    Command,
    Deactivate,
    Limits,
    Pause,
    Refusal,
    Refused,
    Resume,
    RunEnded,
    RunExisted,
    RunRefused,
    Wake,
)
from services.scheduler.schedules.expressions import Unusable, read
from services.scheduler.schedules.position import Position, ScheduleKey, Span, Tick, evolve, stamp, stands
from services.scheduler.schedules.ticks import execution_request, expression_of, firing, ticks_left

LIMITS: Final = Limits()
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def decide(
    position: Position, key: ScheduleKey, command: Command, now: datetime, limits: Limits = LIMITS
) -> tuple[Message, ...]:
    """The facts of one envelope, the last one ScheduleStands; none when nothing happens.

    Raises:
        Refused: to Pause and Resume, when no version is active.
    """
    turn = _Turn(position, key, now, limits)
    match command:
        case Activate():
            turn.activate(command)
        case Deactivate():
            turn.deactivate(command)
        case Pause():
            turn.pause(command)
        case Resume():
            turn.resume()
        case Wake():
            turn.go_on()
        case RunEnded() | RunExisted() | RunRefused():
            turn.run_over(command)
    return (*turn.facts, stands(turn.position)) if turn.facts else ()


def next_alarm(position: Position, limits: Limits = LIMITS) -> datetime | None:
    """When the schedule is to be woken; None: the next thing that happens is not of the clock's making.

    It may have passed: then something is due now. A function of the position alone, so the alarm can be set again at
    any time.
    """
    if position.paused:
        return None
    if position.waiting and _may_start(position):
        return position.waiting[0].due
    if not position.spans:
        return None
    span = position.spans[0]
    if _full(position, span, limits):
        return None
    due = next(ticks_left(span), None)
    if due is None:
        return span.until
    return firing(span)(due)


def next_ticks(position: Position) -> Iterator[datetime]:
    """Nominal times of the ticks that the active version has not considered, in order; they may never end."""
    span = position.active
    return iter(()) if span is None else ticks_left(span)


def _overlap(policy: SchedulePolicy) -> Overlap:
    return policy.overlap or Overlap.OVERLAP_ALLOW


def _may_start(position: Position) -> bool:
    """Whether what waits may: nothing runs, or the active version does not mind."""
    active = position.active
    return not position.running or (active is not None and _overlap(active.policy) == Overlap.OVERLAP_ALLOW)


def _full(position: Position, span: Span, limits: Limits) -> bool:
    return _overlap(span.policy) == Overlap.OVERLAP_WAIT and len(position.waiting) >= limits.waiting


@dataclass(slots=True)
class _Skipping:
    """Consecutive ticks that are skipped for one reason, while they are counted."""

    version: str
    reason: TicksSkipped.Reason
    first: datetime
    last: datetime
    count: int


class _Turn:
    """One decision in the making; every fact is folded in at once."""

    def __init__(self, position: Position, key: ScheduleKey, now: datetime, limits: Limits) -> None:
        self.position = position
        self.facts: list[Message] = []
        self._key = key
        self._now = now
        self._at = stamp(now)
        self._limits = limits
        self._fired: set[Tick] = set()
        self._skipping: _Skipping | None = None

    def activate(self, command: Activate) -> None:
        if command.registry_sequence <= self.position.registry_sequence:
            return
        try:
            if command.refused:
                raise Unusable(command.refused)
            expression = read(command.schedule, command.policy.time_zone, command.at)
            after = max(command.at - expression.offset, *self._taken(command.at))
            if expression.next_after(after) is None:
                raise Unusable(f"[{expression.text}] has no next time")
        except Unusable as error:
            self._record(
                facts.ScheduleRefused(
                    launch_plan=command.launch_plan,
                    schedule=command.schedule,
                    reason=str(error),
                    occurred_at=stamp(command.at),
                    registry_sequence=command.registry_sequence,
                )
            )
        else:
            self._record(
                facts.ScheduleActivated(
                    launch_plan=command.launch_plan,
                    schedule=command.schedule,
                    policy=command.policy,
                    occurred_at=stamp(command.at),
                    after=stamp(after),
                    registry_sequence=command.registry_sequence,
                )
            )
        if self.position.paused:
            # Or each version that comes and goes meanwhile would have to be kept until it is resumed.
            self._pass(command.at, TicksSkipped.PAUSED)
        elif not command.superseded:
            self.go_on()

    def _taken(self, until: datetime) -> Iterator[datetime]:
        """Nominal times up to which ticks were considered, or are left to the versions before."""
        yield self.position.considered or _NEVER
        for span in self.position.spans:
            yield (span.until or until) - expression_of(span).offset

    def deactivate(self, command: Deactivate) -> None:
        position = self.position
        if command.registry_sequence <= position.registry_sequence:
            return
        if not (position.spans or position.waiting or position.refused):
            return
        for waiting in position.waiting:
            self._skip_waiting(waiting.tick, TicksSkipped.DEACTIVATED)
        self._pass(command.at, TicksSkipped.DEACTIVATED)
        self._record(
            facts.ScheduleDeactivated(
                launch_plan=command.launch_plan,
                occurred_at=stamp(command.at),
                registry_sequence=command.registry_sequence,
            )
        )

    def pause(self, command: Pause) -> None:
        self._require_active("paused")
        if not self.position.paused:
            self._record(facts.SchedulePaused(reason=command.reason, occurred_at=self._at))

    def resume(self) -> None:
        self._require_active("resumed")
        if self.position.paused:
            self._pass(self._now, TicksSkipped.PAUSED)
            self._record(facts.ScheduleResumed(occurred_at=self._at))
            self.go_on()

    def run_over(self, command: RunEnded | RunExisted | RunRefused) -> None:
        """An execution that is not waited for changes nothing: it was told before."""
        tick = self.position.running_as(self._key, command.execution)
        if tick is None:
            return
        plan, due, execution_id = self._key.version(tick.version), stamp(tick.due), self._execution_id(tick)
        match command:
            case RunEnded():
                self._record(
                    facts.TickRunEnded(
                        launch_plan=plan,
                        due=due,
                        execution_id=execution_id,
                        phase=command.phase,
                        occurred_at=self._at,
                    )
                )
            case RunExisted():
                self._record(
                    facts.TickRunExisted(
                        launch_plan=plan,
                        due=due,
                        execution_id=execution_id,
                        phase=command.phase,
                        occurred_at=self._at,
                    )
                )
            case RunRefused():
                self._record(
                    facts.TickRefused(
                        launch_plan=plan,
                        due=due,
                        execution_id=execution_id,
                        code=command.code,
                        message=command.message,
                        occurred_at=self._at,
                    )
                )
        self.go_on()

    def go_on(self) -> None:
        """Starts what waits and may, then considers what is due."""
        if self.position.paused:
            return
        while self.position.waiting and _may_start(self.position) and not self._enough():
            waiting = self.position.waiting[0]
            self._fire(waiting.tick, waiting.kickoff_input)
        while self.position.spans:
            span = self.position.spans[0]
            self._consider(span)
            self._flush()
            span = self.position.spans[0]
            if span.until is None or next(ticks_left(span), None) is not None:
                return
            self._record(facts.ScheduleEnded(launch_plan=span.launch_plan, occurred_at=self._at))

    def _enough(self) -> bool:
        return len(self._fired) >= self._limits.fired_at_once

    def _consider(self, span: Span) -> None:
        """Considers the ticks of a version that are due, as many as one decision takes."""
        missed_before = self._now - self._limits.missed_after
        fires_at, ticks = firing(span), ticks_left(span)
        due = next(ticks, None)
        fires = None if due is None else fires_at(due)
        for _ in range(self._limits.considered_at_once):
            if due is None or fires is None or fires > self._now:
                return
            if self._enough() or self._waits_for_next_turn(span):
                return
            following = next(ticks, None)
            fires_next = None if following is None else fires_at(following)
            succeeded = fires_next is not None and fires_next <= self._now
            tick = Tick(span.launch_plan.version, due)
            self._take(span, tick, missed=fires < missed_before, succeeded=succeeded)
            due, fires = following, fires_next

    def _waits_for_next_turn(self, span: Span) -> bool:
        """There is no room to wait, or what is to be replaced was asked for just now and cannot be terminated yet."""
        if _overlap(span.policy) == Overlap.OVERLAP_REPLACE:
            return not self._fired.isdisjoint(self.position.running)
        return _full(self.position, span, self._limits)

    def _take(self, span: Span, tick: Tick, *, missed: bool, succeeded: bool) -> None:
        """Considers one tick that is due.

        Args:
            missed: nobody looked when it was to fire.
            succeeded: another one is due as well.
        """
        catch_up = span.policy.catch_up or CatchUp.CATCH_UP_ALL
        if missed and (catch_up == CatchUp.CATCH_UP_NONE or (catch_up == CatchUp.CATCH_UP_LATEST and succeeded)):
            self._skip(tick, TicksSkipped.MISSED)
            return
        overlap = _overlap(span.policy)
        busy = bool(self.position.running or self.position.waiting)
        if overlap == Overlap.OVERLAP_REPLACE and succeeded:
            self._skip(tick, TicksSkipped.REPLACED)
        elif not busy or overlap == Overlap.OVERLAP_ALLOW:
            self._fire(tick, span.schedule.kickoff_time_input_arg, missed=missed)
        elif overlap == Overlap.OVERLAP_SKIP:
            self._skip(tick, TicksSkipped.OVERLAP)
        else:
            if overlap == Overlap.OVERLAP_REPLACE:
                self._make_way(tick)
            self._record(
                facts.TickWaiting(
                    launch_plan=self._key.version(tick.version),
                    due=stamp(tick.due),
                    occurred_at=self._at,
                    kickoff_input=span.schedule.kickoff_time_input_arg,
                )
            )

    def _make_way(self, for_tick: Tick) -> None:
        """What waits is left out, what runs is terminated."""
        for waiting in self.position.waiting:
            self._skip_waiting(waiting.tick, TicksSkipped.REPLACED)
        for tick in self.position.running:
            if tick in self.position.stopping:
                continue
            execution_id = self._execution_id(tick)
            self._record(
                facts.TickRunStopping(
                    launch_plan=self._key.version(tick.version),
                    due=stamp(tick.due),
                    execution_id=execution_id,
                    occurred_at=self._at,
                )
            )
            cause = f"replaced by the run that its schedule has for {for_tick.due.isoformat()}"
            self._record(TerminationRequested(execution_id=execution_id, cause=cause, occurred_at=self._at))

    def _fire(self, tick: Tick, kickoff_input: str, *, missed: bool = False) -> None:
        launch_plan, execution_id = self._key.version(tick.version), self._execution_id(tick)
        self._record(
            facts.TickFired(
                launch_plan=launch_plan,
                due=stamp(tick.due),
                execution_id=execution_id,
                occurred_at=self._at,
                caught_up=missed,
            )
        )
        request = execution_request(launch_plan, tick.due, execution_id.name, kickoff_input)
        self._record(ExecutionRequested(request=request, occurred_at=self._at))
        self._fired.add(tick)

    def _pass(self, until: datetime, reason: TicksSkipped.Reason) -> None:
        """All that has not been considered and is due by a moment passes without executions."""
        while self.position.spans:
            span = self.position.spans[0]
            expression = expression_of(span)
            end = until if span.until is None else min(until, span.until)
            passed = expression.run(span.considered, end - expression.offset)
            if passed is not None:
                self._record(
                    TicksSkipped(
                        launch_plan=span.launch_plan,
                        first=stamp(passed.first),
                        last=stamp(passed.last),
                        count=passed.number,
                        reason=reason,
                        occurred_at=self._at,
                    )
                )
            if span.until is None or span.until > until:
                return
            self._record(facts.ScheduleEnded(launch_plan=span.launch_plan, occurred_at=self._at))

    def _skip(self, tick: Tick, reason: TicksSkipped.Reason) -> None:
        """One fact for consecutive ticks with the same reason."""
        skipping = self._skipping
        if skipping is None or skipping.reason != reason:
            self._flush()
            self._skipping = _Skipping(tick.version, reason, tick.due, tick.due, 1)
        else:
            skipping.last = tick.due
            skipping.count += 1

    def _skip_waiting(self, tick: Tick, reason: TicksSkipped.Reason) -> None:
        self._record(
            TicksSkipped(
                launch_plan=self._key.version(tick.version),
                first=stamp(tick.due),
                last=stamp(tick.due),
                count=1,
                reason=reason,
                occurred_at=self._at,
                waited=True,
            )
        )

    def _flush(self) -> None:
        skipped, self._skipping = self._skipping, None
        if skipped is not None:
            self._record(
                TicksSkipped(
                    launch_plan=self._key.version(skipped.version),
                    first=stamp(skipped.first),
                    last=stamp(skipped.last),
                    count=skipped.count,
                    reason=skipped.reason,
                    occurred_at=self._at,
                )
            )

    def _record(self, fact: Message) -> None:
        self._flush()
        self.facts.append(fact)
        self.position = evolve(self.position, fact)

    def _execution_id(self, tick: Tick) -> WorkflowExecutionIdentifier:
        key = self._key
        return WorkflowExecutionIdentifier(project=key.project, domain=key.domain, name=key.execution(tick))

    def _require_active(self, what: str) -> None:
        if self.position.active is None:
            name = "/".join(self._key)
            why = f": {self.position.refused}" if self.position.refused else ""
            raise Refused(
                Refusal.NOT_NOW, f"{name} has no active launch plan with a schedule that could be {what}{why}"
            )
