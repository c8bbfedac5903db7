"""What Kubernetes Events say to people, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pod_event_reasons import PodEvent, Reasons, read
from services.k8s_launcher.kubernetes.pod_event_settings import PodEventSettings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(reason: str = "FailedScheduling", message: str = "no room", **more: Any) -> Object:
    about = {"kind": "Pod", "namespace": "p-d", "name": "e-n0-0", "uid": "u"}
    return {"metadata": {"name": "e"}, "involvedObject": about, "reason": reason, "message": message, **more}


def said(reason: str, text: str, after: float = 0.0) -> PodEvent:
    return PodEvent("p-d", "Pod", "e-n0-0", "u", reason, f"{reason}: {text}", NOON + timedelta(seconds=after))


def test_an_event_of_the_older_form() -> None:
    found = read(
        event(
            "FailedMount",
            'MountVolume.SetUp failed for volume "s":\n  secret "s" not found',
            firstTimestamp="2026-03-01T11:00:00Z",
            lastTimestamp="2026-03-01T12:00:00Z",
            eventTime=None,
            count=7,
        )
    )
    assert found == PodEvent(
        "p-d",
        "Pod",
        "e-n0-0",
        "u",
        "FailedMount",
        'FailedMount: MountVolume.SetUp failed for volume "s": secret "s" not found',
        NOON,
    )


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"eventTime": "2026-03-01T12:00:00.000000Z"}, NOON),
        ({"eventTime": "2026-03-01T11:00:00.000000Z", "series": {"lastObservedTime": "2026-03-01T12:00:00Z"}}, NOON),
        ({"firstTimestamp": "2026-03-01T12:00:00Z", "lastTimestamp": None}, NOON),
        ({"metadata": {"creationTimestamp": "2026-03-01T12:00:00Z"}}, NOON),
        ({}, None),
    ],
)
def test_the_time_of_each_form(times: dict[str, Any], expected: datetime | None) -> None:
    found = read(event(**times))
    assert found is not None
    assert found.occurred_at == expected


@pytest.mark.parametrize(
    "silent",
    [
        event("Created", "Created container: main"),
        event("Started", "Started container main"),
        event("", ""),
        {**event(), "involvedObject": {}},
        {},
    ],
)
def test_events_that_say_nothing(silent: Object) -> None:
    assert read(silent) is None


def test_an_event_without_message_or_reason() -> None:
    only_reason, only_message = read(event("Preempted", "")), read(event("", "no room"))
    assert only_reason is not None
    assert only_message is not None
    assert (only_reason.text, only_message.text) == ("Preempted", "no room")


def test_a_long_message_is_cut() -> None:
    found = read(event(message="x" * 5000))
    assert found is not None
    assert len(found.text) == 500
    assert found.text.endswith("x…")


def test_the_same_is_said_once() -> None:
    reasons = Reasons(PodEventSettings(pause_seconds=0))
    assert reasons.admit("a", said("Pulling", "image"))
    assert not reasons.admit("a", said("Pulling", "image", after=3600))
    assert reasons.admit("a", said("Pulling", "another image"))
    assert reasons.admit("b", said("Pulling", "image"))


def test_one_sort_comes_not_too_often() -> None:
    reasons = Reasons(PodEventSettings(pause_seconds=30))
    assert reasons.admit("a", said("FailedScheduling", "0/1 nodes"))
    assert not reasons.admit("a", said("FailedScheduling", "0/2 nodes", after=29))
    assert reasons.admit("a", said("TriggeredScaleUp", "one node more", after=29))
    assert reasons.admit("a", said("FailedScheduling", "0/2 nodes", after=30))
    assert not reasons.admit("a", said("FailedScheduling", "0/3 nodes", after=59))


def test_an_attempt_gets_so_many() -> None:
    reasons = Reasons(PodEventSettings(pause_seconds=0, most_per_attempt=3))
    assert [reasons.admit("a", said("BackOff", str(number))) for number in range(5)] == [True] * 3 + [False] * 2
    assert reasons.admit("b", said("BackOff", "0"))
    reasons.forget("a")
    assert reasons.admit("a", said("BackOff", "0"))
