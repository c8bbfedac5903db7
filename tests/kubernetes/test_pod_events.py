"""Reasons from the Events of a real cluster."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.objects import EVENT, POD, Kind, Object
from services.k8s_launcher.kubernetes.pod_event_reasons import PodEvent
from services.k8s_launcher.kubernetes.pod_event_settings import PodEventSettings
from services.k8s_launcher.kubernetes.pod_events import PodEvents
from tests.kubernetes.asking import going, pod, until

RAY_JOB = Kind("ray.io/v1", "RayJob", "rayjobs")
SETTINGS = PodEventSettings(pause_seconds=0, most_per_attempt=5)


class Attempts:
    """Whose objects are which, and what they were told."""

    def __init__(self, **names: str) -> None:
        self.names = names
        self.told: list[tuple[Hashable, str]] = []

    def attempt_of(self, event: PodEvent) -> Hashable | None:
        return self.names.get(event.name)

    def tell(self, attempt: Hashable, event: PodEvent) -> None:
        self.told.append((attempt, event.text))

    def events(self, api: Api, since: datetime | None = None) -> PodEvents:
        since = since or datetime.now(UTC) - timedelta(minutes=1)
        return PodEvents(api, SETTINGS, attempt_of=self.attempt_of, tell=self.tell, since=since)


async def happen(api: Api, namespace: str, name: str, reason: str, message: str, kind: str = "Pod") -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{reason.lower()}"},
        "involvedObject": {"kind": kind, "namespace": namespace, "name": name},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "firstTimestamp": now,
        "lastTimestamp": now,
    }
    return await api.create(EVENT, namespace, event)


async def test_what_the_scheduler_says(api: Api, namespace: str) -> None:
    attempts = Attempts(huge="an attempt")
    events = attempts.events(api)
    async with going(events.follow(POD, namespace)):
        manifest = pod("huge", schedulerName="default-scheduler", nodeSelector={"flightlog.test/node": "none"})
        await api.create(POD, namespace, manifest)
        ((attempt, text),) = await until(lambda: attempts.told)
        assert attempt == "an attempt"
        assert text.startswith("FailedScheduling: ")
        assert "node" in text


async def test_what_is_said_again_and_of_others(api: Api, namespace: str) -> None:
    attempts = Attempts(p="an attempt", last="another")
    events = attempts.events(api)
    async with going(events.follow(POD, namespace)):
        pulling = await happen(api, namespace, "p", "Pulling", "Pulling image")
        await happen(api, namespace, "p", "Created", "Created container")
        await happen(api, namespace, "somebody", "BackOff", "Back-off")
        for count in range(2, 5):
            pulling = await api.patch(EVENT, namespace, pulling["metadata"]["name"], {"count": count})
        await happen(api, namespace, "last", "Evicted", "The node was low on resource: memory.")
        await until(lambda: ("another", "Evicted: The node was low on resource: memory.") in attempts.told)
        assert attempts.told[:-1] == [("an attempt", "Pulling: Pulling image")]


async def test_what_an_operator_says_of_its_own_objects(api: Api, namespace: str) -> None:
    attempts = Attempts(job="an attempt")
    events = attempts.events(api)
    async with going(events.follow(POD, namespace)), going(events.follow(RAY_JOB, namespace)):
        await happen(api, namespace, "job", "CreatedRayCluster", "Created RayCluster job-abc", kind="RayJob")
        await happen(api, namespace, "job", "Ignored", "of a kind that is not followed", kind="Widget")
        await happen(api, namespace, "job", "Pulled", "image is there")
        await until(lambda: len(attempts.told) == 2)
        assert {text.partition(":")[0] for _, text in attempts.told} == {"CreatedRayCluster", "Pulled"}


async def test_what_was_said_before_this_launcher_began(api: Api, namespace: str) -> None:
    attempts = Attempts(p="an attempt", q="another")
    await happen(api, namespace, "p", "Pulled", "long ago")
    old = await api.get(EVENT, namespace, "p.pulled")
    long_ago = {"firstTimestamp": "2020-01-01T00:00:00Z", "lastTimestamp": "2020-01-01T00:00:00Z"}
    await api.replace(EVENT, namespace, {**old, **long_ago})
    await happen(api, namespace, "q", "Pulled", "just now")
    async with going(attempts.events(api).follow(POD, namespace)):
        await until(lambda: attempts.told)
        assert attempts.told == [("another", "Pulled: just now")]


async def test_a_new_attempt_of_the_same_name_is_told_again(api: Api, namespace: str) -> None:
    attempts = Attempts(p="an attempt")
    events = attempts.events(api)
    async with going(events.follow(POD, namespace)):
        event = await happen(api, namespace, "p", "Pulled", "image")
        await until(lambda: len(attempts.told) == 1)
        events.forget("an attempt")
        await api.patch(EVENT, namespace, event["metadata"]["name"], {"count": 2})
        await until(lambda: len(attempts.told) == 2)
