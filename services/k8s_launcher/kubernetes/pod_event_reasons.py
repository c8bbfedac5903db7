"""What Kubernetes Events mean for people who wait for an attempt, and how many of them they want to read.

Controllers say the same again and again, in slightly other words: a pod for which no node has room may cause thousands
of Events in a day. An attempt gets a few of each sort.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.k8s_launcher.kubernetes.objects import Object
from services.k8s_launcher.kubernetes.pod_event_settings import PodEventSettings

_LONGEST_TEXT = 500
# The object's own status says these, more exactly.
_SAID_BY_STATUS = frozenset({"Created", "Started"})


@dataclass(frozen=True)
class PodEvent:
    """One Event, about a pod or another object of an attempt."""

    namespace: str
    kind: str
    name: str
    uid: str
    """Of the object; empty when the Event does not say."""
    reason: str
    """The machine's word: `FailedScheduling`, `Pulling`."""
    text: str
    """For people: the word, and the message on one line."""
    occurred_at: datetime | None
    """When it was so last; None: the Event does not say."""


def read(event: Object) -> PodEvent | None:
    """The Event of the API (v1) as a reason; None for one that says nothing new to an attempt's reader."""
    about = event.get("involvedObject") or {}
    reason = event.get("reason") or ""
    message = " ".join((event.get("message") or "").split())
    if not about.get("name") or reason in _SAID_BY_STATUS or not (reason or message):
        return None
    return PodEvent(
        namespace=about.get("namespace") or "",
        kind=about.get("kind") or "",
        name=about["name"],
        uid=about.get("uid") or "",
        reason=reason,
        text=_cut(": ".join(part for part in (reason, message) if part)),
        occurred_at=_occurred_at(event),
    )


@dataclass
class _Told:
    texts: set[str] = field(default_factory=set[str])
    last: dict[str, datetime] = field(default_factory=dict[str, datetime])


class Reasons:
    """Which Events become reasons of their attempts: each text once, each sort not too often, not too many in all."""

    def __init__(self, settings: PodEventSettings) -> None:
        self._most = settings.most_per_attempt
        self._pause = timedelta(seconds=settings.pause_seconds)
        self._told: dict[Hashable, _Told] = {}

    def admit(self, attempt: Hashable, event: PodEvent) -> bool:
        """Whether the attempt is to get this one as a reason. Time is the Events' own."""
        told = self._told.setdefault(attempt, _Told())
        if event.text in told.texts or len(told.texts) >= self._most:
            return False
        last = told.last.get(event.reason)
        if last is not None and event.occurred_at is not None and event.occurred_at < last + self._pause:
            return False
        told.texts.add(event.text)
        if event.occurred_at is not None:
            told.last[event.reason] = event.occurred_at
        return True

    def forget(self, attempt: Hashable) -> None:
        """The attempt has ended."""
        self._told.pop(attempt, None)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _occurred_at(event: Object) -> datetime | None:
    # The newer form of Events counts in `series`; the older has no `eventTime`.
    series = event.get("series") or {}
    metadata = event.get("metadata") or {}
    for said in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        metadata.get("creationTimestamp"),
    ):
        if said:
            return datetime.fromisoformat(said)
    return None
