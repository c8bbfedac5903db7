"""Reasons of attempts from Kubernetes Events, of their pods and of operators' objects.

Events carry no labels, so they are matched by the object that they are about. Those of an operator's pods may come
before the pod is seen; they are held for a while until somebody says whose it is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from datetime import datetime

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import EVENT, Kind, Object
from services.k8s_launcher.kubernetes.pod_event_reasons import PodEvent, Reasons, read
from services.k8s_launcher.kubernetes.pod_event_settings import PodEventSettings

_OBJECTS_HELD = 2000
_EVENTS_HELD = 8

AttemptOf = Callable[[PodEvent], Hashable | None]
"""Whose attempt the object of an Event belongs to; None: nobody's, or not known yet."""
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
        self._held: OrderedDict[tuple[str, str, str], deque[PodEvent]] = OrderedDict()

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

    def known(self, namespace: str, kind: str, name: str) -> None:
        """An object is known now: tell what was said about it before."""
        for event in self._held.pop((namespace, kind, name), ()):
            self._match(event)

    def forget(self, attempt: Hashable) -> None:
        """The attempt has ended."""
        self._reasons.forget(attempt)

    def _happened(self, seen: Object) -> None:
        event = read(seen)
        if event is None or (event.occurred_at is not None and event.occurred_at < self._since):
            return
        if not self._match(event):
            self._hold(event)

    def _match(self, event: PodEvent) -> bool:
        attempt = self._attempt_of(event)
        if attempt is None:
            return False
        if self._reasons.admit(attempt, event):
            self._tell(attempt, event)
        return True

    def _hold(self, event: PodEvent) -> None:
        # Most are other people's pods.
        name = (event.namespace, event.kind, event.name)
        self._held.setdefault(name, deque(maxlen=_EVENTS_HELD)).append(event)
        self._held.move_to_end(name)
        while len(self._held) > _OBJECTS_HELD:
            self._held.popitem(last=False)


def _expired(_: Object) -> None:
    """Events go after an hour; what they said stays said."""


def _nothing(_: Object) -> None:
    return None
