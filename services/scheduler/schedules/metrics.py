"""What is measured of schedules and backfills."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Final

from google.protobuf.message import Message
from prometheus_client import Counter, Histogram

from flightlog_protos.scheduler.v1 import schedules_pb2 as facts
from flightlog_protos.scheduler.v1.backfills_pb2 import BackfillRunRequested

_ticks: Final = Counter("flightlog_schedule_ticks_total", "Ticks of schedules, by what became of them", ["outcome"])
for _outcome in ("fired", "waiting", "skipped", "refused"):
    _ticks.labels(_outcome)
_backfilled: Final = Counter("flightlog_backfill_runs_total", "Executions that backfills asked for")
_late: Final = Histogram(
    "flightlog_schedule_lateness_seconds",
    "Time between a tick and the request for its execution, of those that nothing kept waiting",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


def count(decided: Iterable[Message], before: Iterable[Message] = ()) -> None:
    """Takes note of what was appended, after an envelope with the facts `before`."""
    waited = {
        (waiting.version, due.seconds)
        for fact in before
        if isinstance(fact, facts.ScheduleStands)
        for waiting in fact.waiting
        for due in waiting.due
    }
    for fact in decided:
        match fact:
            case facts.TickFired():
                _ticks.labels("fired").inc()
                if not fact.caught_up and (fact.launch_plan.version, fact.due.seconds) not in waited:
                    late = fact.occurred_at.ToDatetime(UTC) - fact.due.ToDatetime(UTC)
                    _late.observe(max(0.0, late.total_seconds()))
            case facts.TickWaiting():
                _ticks.labels("waiting").inc()
            case facts.TicksSkipped():
                _ticks.labels("skipped").inc(fact.count)
            case facts.TickRefused():
                _ticks.labels("refused").inc()
            case BackfillRunRequested():
                _backfilled.inc()
            case _:
                continue
