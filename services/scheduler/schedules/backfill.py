"""A backfill: the ticks of a range, run again or for the first time. Pure: no input or output, no clock.

Its ticks follow from the schedule and the range, and are worked out as they are needed. Without `overwrite` a tick's
execution has the name that the schedule itself gives it: one that ran is found and not run again. Each envelope ends
with BackfillStands.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final

from flyteidl.admin.schedule_pb2 import Schedule
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1.requests_pb2 import ExecutionRequested, TerminationRequested
from flightlog_protos.scheduler.v1 import backfills_pb2 as facts
from flightlog_protos.scheduler.v1.backfills_pb2 import BackfillRequested
from services.scheduler.schedules.commands import (
    BackfillCommand,
    CancelBackfill,
    CreateBackfill,
    Refusal,
    Refused,
    RunEnded,
    RunExisted,
    RunRefused,
)
from services.scheduler.schedules.expressions import Unusable, read
from services.scheduler.schedules.naming import rerun_name, tick_name
from services.scheduler.schedules.position import stamp
from services.scheduler.schedules.ticks import execution_request

_INSTANT: Final = timedelta(microseconds=1)
_LONGEST_ID: Final = 63
_FIRST_YEAR: Final = 1900
_MOST_AT_ONCE: Final = 1000
"""Each envelope lists the ticks that run, and the first one asks for as many executions."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The fold of a backfill's facts."""

    request: BackfillRequested
    last_asked: datetime | None = None
    """The tick that was asked for last; None before the first."""
    running: tuple[datetime, ...] = ()
    """Ticks whose executions were asked for and have not ended."""
    succeeded: int = 0
    failed: int = 0
    """Failed, aborted, timed out or refused."""
    skipped: int = 0
    """There was an execution already."""
    stopped: bool = False
    """A run failed, and it was to stop then."""
    cancelled: bool = False
    cancel_reason: str = ""
    finished: bool = False
    """Nothing of it runs any more, and nothing more will be asked for."""

    @property
    def state(self) -> str:
        """`running`, `finished`, `stopped` (at a failure) or `cancelled`."""
        if self.cancelled:
            return "cancelled"
        if self.stopped:
            return "stopped"
        return "finished" if self.finished else "running"

    def execution(self, due: datetime) -> str:
        """Name of a tick's execution."""
        request = self.request
        if request.overwrite:
            return rerun_name(request.launch_plan, request.id, due)
        return tick_name(request.launch_plan, due)

    def ticks(self) -> tuple[datetime, ...]:
        """All of its ticks, oldest first."""
        return tuple(datetime.fromtimestamp(tick, UTC) for tick in _ticks(self.request))


def decide(progress: Progress | None, command: BackfillCommand, now: datetime) -> tuple[Message, ...]:
    """The facts of one envelope, the last one BackfillStands; none when nothing happens.

    Args:
        progress: None when there is no backfill of this id.

    Raises:
        Refused: to CreateBackfill and CancelBackfill, with a sentence for people.
    """
    turn = _Turn(progress, now)
    match command:
        case CreateBackfill():
            turn.create(command)
        case CancelBackfill():
            turn.cancel(command)
        case RunEnded() | RunExisted() | RunRefused():
            turn.run_over(command)
    return turn.result()


def evolve(progress: Progress | None, fact: Message) -> Progress | None:
    """The backfill after one more fact; one of a kind this release does not know changes nothing."""
    match fact:
        case facts.BackfillRequested():
            return Progress(fact)
        case facts.BackfillStands():
            return _progress(fact)
        case _:
            return None if progress is None else _evolved(progress, fact)


def fold(history: Iterable[Message]) -> Progress | None:
    """The backfill after the facts of its last envelope, or of any number of last ones; None when there are none."""
    progress: Progress | None = None
    for fact in history:
        progress = evolve(progress, fact)
    return progress


def _evolved(progress: Progress, fact: Message) -> Progress:
    match fact:
        case facts.BackfillRunRequested():
            due = _moment(fact.due)
            return replace(progress, last_asked=due, running=(*progress.running, due))
        case facts.BackfillRunEnded():
            progress = _over(progress, fact.due)
            if fact.phase == WorkflowExecution.SUCCEEDED:
                return replace(progress, succeeded=progress.succeeded + 1)
            return replace(progress, failed=progress.failed + 1)
        case facts.BackfillTickSkipped():
            progress = _over(progress, fact.due)
            return replace(progress, skipped=progress.skipped + 1)
        case facts.BackfillRunRefused():
            progress = _over(progress, fact.due)
            return replace(progress, failed=progress.failed + 1)
        case facts.BackfillStopped():
            return replace(progress, stopped=True)
        case facts.BackfillCancelled():
            return replace(progress, cancelled=True, cancel_reason=fact.reason)
        case facts.BackfillFinished():
            return replace(progress, finished=True)
        case _:
            return progress


def _over(progress: Progress, due: Timestamp) -> Progress:
    gone = _moment(due)
    return replace(progress, running=tuple(each for each in progress.running if each != gone))


class _Turn:
    """One decision in the making; every fact is folded in at once."""

    def __init__(self, progress: Progress | None, now: datetime) -> None:
        self._progress = progress
        self._at = stamp(now)
        self._facts: list[Message] = []

    def result(self) -> tuple[Message, ...]:
        if self._progress is None or not self._facts:
            return ()
        return (*self._facts, stands(self._progress))

    def create(self, command: CreateBackfill) -> None:
        request = _requested(command)
        if self._progress is not None:
            if not _same(self._progress.request, request):
                raise Refused(Refusal.EXISTS, f"a backfill [{command.id}] of something else exists already")
            return
        request.total = _total(request, command.most_ticks)
        request.occurred_at.CopyFrom(self._at)
        self._record(request)
        self._go_on()

    def cancel(self, command: CancelBackfill) -> None:
        progress = self._progress
        if progress is None:
            raise Refused(Refusal.NOT_NOW, "there is no such backfill")
        if progress.cancelled:
            return
        if progress.finished:
            raise Refused(Refusal.NOT_NOW, f"the backfill [{progress.request.id}] is over: it is {progress.state}")
        self._record(facts.BackfillCancelled(reason=command.reason, terminate=command.terminate, occurred_at=self._at))
        if command.terminate:
            cause = f"backfill {progress.request.id} was cancelled"
            cause = f"{cause}: {command.reason}" if command.reason else cause
            for due in progress.running:
                self._record(
                    TerminationRequested(
                        execution_id=self._execution_id(progress, due), cause=cause, occurred_at=self._at
                    )
                )
        self._go_on()

    def run_over(self, command: RunEnded | RunExisted | RunRefused) -> None:
        """An execution that is not waited for changes nothing: it was told before."""
        progress = self._progress
        if progress is None:
            return
        due = next((each for each in progress.running if progress.execution(each) == command.execution), None)
        if due is None:
            return
        execution_id = self._execution_id(progress, due)
        at = stamp(due)
        match command:
            case RunEnded():
                failed = command.phase != WorkflowExecution.SUCCEEDED
                self._record(
                    facts.BackfillRunEnded(due=at, execution_id=execution_id, phase=command.phase, occurred_at=self._at)
                )
            case RunExisted():
                failed = False
                self._record(
                    facts.BackfillTickSkipped(
                        due=at, execution_id=execution_id, phase=command.phase, occurred_at=self._at
                    )
                )
            case RunRefused():
                failed = True
                self._record(
                    facts.BackfillRunRefused(
                        due=at,
                        execution_id=execution_id,
                        code=command.code,
                        message=command.message,
                        occurred_at=self._at,
                    )
                )
        if failed and progress.request.stop_on_failure and not (progress.stopped or progress.cancelled):
            self._record(facts.BackfillStopped(due=at, occurred_at=self._at))
        self._go_on()

    def _go_on(self) -> None:
        """Asks for as many runs as may go on at once; it is over when none is left."""
        progress = self._progress
        while progress is not None and not (progress.stopped or progress.cancelled):
            due = _following(progress)
            if due is None or len(progress.running) >= progress.request.parallelism:
                break
            progress = self._ask(progress, due)
        if progress is not None and not progress.running and not progress.finished:
            self._record(facts.BackfillFinished(occurred_at=self._at))

    def _ask(self, progress: Progress, due: datetime) -> Progress | None:
        request, execution_id = progress.request, self._execution_id(progress, due)
        self._record(facts.BackfillRunRequested(due=stamp(due), execution_id=execution_id, occurred_at=self._at))
        asked = execution_request(
            request.launch_plan,
            due,
            execution_id.name,
            request.schedule.kickoff_time_input_arg,
            overwrite=request.overwrite,
        )
        self._record(ExecutionRequested(request=asked, occurred_at=self._at))
        return self._progress

    def _record(self, fact: Message) -> None:
        self._facts.append(fact)
        self._progress = evolve(self._progress, fact)

    @staticmethod
    def _execution_id(progress: Progress, due: datetime) -> WorkflowExecutionIdentifier:
        plan = progress.request.launch_plan
        return WorkflowExecutionIdentifier(project=plan.project, domain=plan.domain, name=progress.execution(due))


def _requested(command: CreateBackfill) -> BackfillRequested:
    """What is asked for, apart from the number of its ticks."""
    if not command.id or len(command.id) > _LONGEST_ID:
        raise Refused(Refusal.INVALID, f"the id of a backfill has 1 to {_LONGEST_ID} characters")
    if command.end <= command.begin:
        raise Refused(
            Refusal.INVALID,
            f"the range ends before it begins: from {command.begin.isoformat()} to {command.end.isoformat()}",
        )
    if command.begin.year < _FIRST_YEAR:
        raise Refused(Refusal.INVALID, f"there are no ticks before the year {_FIRST_YEAR}")
    if command.parallelism > _MOST_AT_ONCE:
        raise Refused(Refusal.INVALID, f"at most {_MOST_AT_ONCE} runs of a backfill go on at once")
    request = BackfillRequested(
        id=command.id,
        launch_plan=command.launch_plan,
        schedule=command.schedule,
        time_zone=command.time_zone,
        since=stamp(command.since or command.begin),
        to=stamp(command.end),
        reverse=command.reverse,
        parallelism=max(1, command.parallelism),
        overwrite=command.overwrite,
        stop_on_failure=command.stop_on_failure,
    )
    _from(request).FromDatetime(command.begin)
    return request


def _total(request: BackfillRequested, most: int) -> int:
    try:
        expression = read(request.schedule, request.time_zone, _moment(request.since), always=True)
    except Unusable as error:
        raise Refused(Refusal.INVALID, f"the launch plan's schedule cannot be backfilled: {error}") from None
    begin, end = _range(request)
    number = sum(1 for _ in islice(expression.ticks_between(begin, end), most + 1))
    if number > most:
        raise Refused(
            Refusal.INVALID,
            f"the range holds more than {most} ticks of [{expression.text}], the limit of a backfill: "
            "ask for several smaller ones",
        )
    if not number:
        raise Refused(Refusal.INVALID, f"the range holds no tick of [{expression.text}]")
    return number


def _same(known: BackfillRequested, asked: BackfillRequested) -> bool:
    compared = BackfillRequested()
    compared.CopyFrom(known)
    compared.ClearField("total")
    compared.ClearField("occurred_at")
    # The schedule's activation may be another one by now, and was not asked for.
    compared.since.CopyFrom(asked.since)
    return compared == asked


def _following(progress: Progress) -> datetime | None:
    """The tick to be asked for next."""
    ticks = _ticks(progress.request)
    if progress.request.reverse:
        index = len(ticks) if progress.last_asked is None else bisect_left(ticks, int(progress.last_asked.timestamp()))
        return datetime.fromtimestamp(ticks[index - 1], UTC) if index else None
    index = 0 if progress.last_asked is None else bisect_right(ticks, int(progress.last_asked.timestamp()))
    return datetime.fromtimestamp(ticks[index], UTC) if index < len(ticks) else None


def _ticks(request: BackfillRequested) -> tuple[int, ...]:
    begin, end = _range(request)
    schedule = request.schedule.SerializeToString(deterministic=True)
    return _worked_out(schedule, request.time_zone, _moment(request.since), begin, end)


@lru_cache(maxsize=64)
def _worked_out(schedule: bytes, time_zone: str, since: datetime, begin: datetime, end: datetime) -> tuple[int, ...]:
    expression = read(Schedule.FromString(schedule), time_zone, since, always=True)
    return tuple(int(tick.timestamp()) for tick in expression.ticks_between(begin, end))


def _range(request: BackfillRequested) -> tuple[datetime, datetime]:
    """Later than the first, up to and including the second."""
    return _moment(_from(request)) - _INSTANT, _moment(request.to) - _INSTANT


def _from(request: BackfillRequested) -> Timestamp:
    """The field whose name is a keyword here."""
    return getattr(request, "from")


def stands(progress: Progress) -> facts.BackfillStands:
    """The backfill as the fact that ends an envelope."""
    fact = facts.BackfillStands(
        request=progress.request,
        running=[stamp(due) for due in progress.running],
        succeeded=progress.succeeded,
        failed=progress.failed,
        skipped=progress.skipped,
        stopped=progress.stopped,
        cancelled=progress.cancelled,
        cancel_reason=progress.cancel_reason,
        finished=progress.finished,
    )
    if progress.last_asked is not None:
        fact.last_asked.FromDatetime(progress.last_asked)
    return fact


def _progress(fact: facts.BackfillStands) -> Progress:
    return Progress(
        request=fact.request,
        last_asked=_moment(fact.last_asked) if fact.HasField("last_asked") else None,
        running=tuple(_moment(due) for due in fact.running),
        succeeded=fact.succeeded,
        failed=fact.failed,
        skipped=fact.skipped,
        stopped=fact.stopped,
        cancelled=fact.cancelled,
        cancel_reason=fact.cancel_reason,
        finished=fact.finished,
    )


def _moment(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)
