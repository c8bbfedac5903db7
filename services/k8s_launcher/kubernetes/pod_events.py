"""Reasons of attempts from Kubernetes Events, of their pods and of operators' objects.

Events carry no labels, so they are matched by the object that they are about. Most are of other people's pods.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import EVENT, Kind, Object
from services.k8s_launcher.kubernetes.pod_event_reasons import PodEvent, Reasons, read
from services.k8s_launcher.kubernetes.pod_event_settings import PodEventSettings

AttemptOf = Callable[[PodEvent], Hashable | None]
"""Whose attempt the object of an Event belongs to; None: nobody's."""
Tell = Callable[[Hashable, PodEvent], None]
"""A reason for an attempt. Not to wait for anything."""


class PodEvents:
    """Tells attempts what the cluster says about their objects."""

    def __init__(
        self, api: Api, settings: PodEventSettings, *, attempt_of: AttemptOf, tell: Tell, since: datetime
    ) -> None:
        """`since`: Events from before are known to our predecessor's readers; they are left out."""
        self._api = api
        self._reasons = Reasons(settings)
        self._attempt_of = attempt_of
        self._tell = tell
        self._since = since

    async def follow(self, kind: Kind, namespace: str | None = None) -> None:
        """Follow the Events about objects of a kind, in one namespace or all, until cancelled."""
        informer = Informer(
            self._api,
            EVENT,
            namespace,
            field_selector=f"involvedObject.kind={kind.kind}",
            on_change=self._happened,
            on_gone=_expired,
            keep=_nothing,
            called=f"Event of {kind.kind}",
        )
        await informer.run()

    def forget(self, attempt: Hashable) -> None:
        """The attempt has ended."""
        self._reasons.forget(attempt)

    def _happened(self, seen: Object) -> None:
        event = read(seen)
        if event is None or (event.occurred_at is not None and event.occurred_at < self._since):
            return
        attempt = self._attempt_of(event)
        if attempt is not None and self._reasons.admit(attempt, event):
            self._tell(attempt, event)


def _expired(_: Object) -> None:
    """Events go after an hour; what they said stays said."""


def _nothing(_: Object) -> None:
    return None
