"""How late ticks fire is measured of those that nothing kept waiting."""

from __future__ import annotations

from prometheus_client import REGISTRY

from flightlog_protos.scheduler.v1.schedules_pb2 import Overlap
from services.scheduler.schedules import metrics
from services.scheduler.schedules.commands import Wake
from services.scheduler.schedules.schedule import decide
from tests.unit.scheduler.keeping import DAY, KEY, Kept, at, cron, policy


def measured() -> float:
    value = REGISTRY.get_sample_value("flightlog_schedule_lateness_seconds_count")
    assert value is not None
    return value


def test_a_tick_that_waited_for_an_earlier_run_is_not_late() -> None:
    kept = Kept()
    kept.activate(cron("0 * * * *"), DAY, policy(Overlap.OVERLAP_WAIT))
    begun = measured()
    fired = decide(kept.position, KEY, Wake(), at("01:00"))
    metrics.count(fired, kept.history)
    assert measured() == begun + 1
    kept.append(fired)
    kept.wake(at("02:00"))
    waiting = len(kept.history)
    assert kept.end(0, at("02:40")) == ["ended 01:00 succeeded", "fired 02:00"]
    metrics.count(kept.history[waiting:], kept.history[waiting - 1 : waiting])
    assert measured() == begun + 1
