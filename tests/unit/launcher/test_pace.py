"""What changes within one stage is said at once at first, later ever more seldom; the last word is always said."""

from __future__ import annotations

from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.connectors.reading import Reading as ConnectorReading
from services.k8s_launcher.connectors.telling import Account
from services.k8s_launcher.kubernetes.attempts import Attempt
from services.k8s_launcher.kubernetes.dispatch import plugin
from services.k8s_launcher.kubernetes.objects import Reading
from services.k8s_launcher.orders import Order
from services.k8s_launcher.pace import Pace
from services.k8s_launcher.runtime import AttemptKey


def _said_within(seconds: int, pace: Pace) -> list[int]:
    """When something is said, by someone who has something to say every second."""
    moments: list[int] = []
    for now in range(seconds):
        if not pace.pause(now):
            pace.said(now)
            moments.append(now)
    return moments


def test_a_day_of_changes_is_told_in_few_words() -> None:
    moments = _said_within(24 * 3600, Pace())
    assert moments[:8] == list(range(8)), "at once"
    assert moments[8:11] == [17, 37, 77], "then after pauses that double"
    assert len(moments) < 170
    assert moments[-1] - moments[-2] == 600, "ten minutes at most"


def test_another_stage_is_told_afresh() -> None:
    pace = Pace()
    _said_within(3600, pace)
    assert pace.pause(3600) > 0
    pace.begin()
    assert [now - 3600 for now in range(3600, 3610) if not pace.pause(now) and not pace.said(now)] == list(range(8))


def _attempt() -> Attempt:
    return Attempt(
        Order(AttemptKey("p", "d", "e", "n0", 0), None), plugin("python-task"), "p-d", "name", version=7, last=None
    )


async def test_what_is_not_said_now_is_to_be_looked_at_later() -> None:
    attempt = _attempt()
    said = [attempt.next(Reading(AttemptObserved.QUEUED, f"0/{n} nodes")) for n in range(20)]
    reasons = [observed.reason for observed in said if observed is not None]
    assert reasons == [f"0/{n} nodes" for n in range(9)]
    assert attempt.withheld_seconds is not None
    assert 0 < attempt.withheld_seconds <= 10
    assert attempt.next(Reading(AttemptObserved.QUEUED, "0/8 nodes")) is None, "it is as it was said to be"
    assert attempt.withheld_seconds is None


async def test_stages_and_ends_are_said_at_once() -> None:
    attempt = _attempt()
    for n in range(20):
        attempt.next(Reading(AttemptObserved.QUEUED, f"0/{n} nodes"))
    running = attempt.next(Reading(AttemptObserved.RUNNING))
    assert running is not None
    assert attempt.withheld_seconds is None
    assert [attempt.next(Reading(AttemptObserved.RUNNING, str(n))) is not None for n in range(9)] == [True] * 8 + [
        False
    ]
    again = attempt.next(Reading(AttemptObserved.QUEUED, "Suspended"))
    assert again is not None
    assert again.version > running.version
    for n in range(20):
        attempt.next(Reading(AttemptObserved.QUEUED, str(n)))
    end = attempt.next(Reading(AttemptObserved.LOST))
    assert end is not None
    assert end.version > again.version


def test_tasks_of_connectors_do_not_tell_every_percent_either() -> None:
    account = Account(AttemptKey("p", "d", "e", "n0", 0), version=7, last=None)
    said = [account.next(ConnectorReading(AttemptObserved.RUNNING, f"{n} %"), 0) for n in range(100)]
    assert [observed.version for observed in said if observed is not None] == list(range(8, 17))
    end = account.next(ConnectorReading(AttemptObserved.EXITED), 0)
    assert end is not None
    assert end.version == 17
