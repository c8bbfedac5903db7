"""All objects of a kind as the API has them now, and every change of them: one list, then one watch.

The watch goes on from the last resourceVersion that was seen, over restarts of the API server and of connections; so it
misses nothing that etcd still knows. When etcd has forgotten (410), everything is listed again, and what is new,
changed or gone since is told as if it had just happened.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing

import structlog
from prometheus_client import Counter, Gauge

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused
from services.k8s_launcher.kubernetes.objects import Kind, Object

Told = Callable[[Object], None]
Name = tuple[str, str]
"""Namespace, which is empty for kinds without, and name."""

_FIRST_PAUSE_SECONDS = 0.2
# A watch that ends sooner than this, with nothing said, is one that failed.
_SHORT_SECONDS = 1.0
# In a row, before objects are believed to have gone with their kind.
_ANSWERS_THAT_KIND_IS_GONE = 3

_log = structlog.get_logger(__name__)
_objects = Gauge("flightlog_kubernetes_objects", "Objects that are followed", ["kind", "namespace"])
_silent = Gauge(
    "flightlog_kubernetes_silent_seconds", "Since the API last said how far a kind has come", ["kind", "namespace"]
)
_lists = Counter(
    "flightlog_kubernetes_lists_total", "Times that all objects of a kind were listed", ["kind", "namespace"]
)
_breaks = Counter("flightlog_kubernetes_watch_breaks_total", "Lists and watches that failed", ["kind", "namespace"])
_events = Counter("flightlog_kubernetes_watch_events_total", "Changes that watches told", ["kind", "namespace"])
_errors = Counter(
    "flightlog_kubernetes_change_errors_total", "Changes that could not be dealt with", ["kind", "namespace"]
)


def name_of(seen: Object) -> Name:
    """What an object is kept by."""
    metadata = seen["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def without_managed_fields(seen: Object) -> Object:
    """An object without who set which field: often half of it, and of no use here."""
    seen["metadata"].pop("managedFields", None)
    return seen


class Informer:
    """Follows the objects of one kind, in one namespace or in all.

    `on_change` is called with each object when it is there first, and after each change; `on_gone` with its last state
    when it is gone: the state at its end when the watch told it, else the last that was seen. An object that is made
    again by the same name, with another uid, is gone first. Calls are in the order of events, and never at the same
    time; they are not to wait for anything, and not to change the object. A label selector makes objects go and come
    when their labels change.

    `keep` says what is kept of each object, and may change the object itself; None: nothing, then `on_gone` is told
    only what the watch tells, and a list tells everything again. `called`: in metrics, instead of its kind.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        on_change: Told,
        on_gone: Told,
        keep: Callable[[Object], Object | None] = without_managed_fields,
        called: str = "",
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self.synced = asyncio.Event()
        """Set once all objects have been told; stays so."""
        self._api = api
        self._labels = label_selector
        self._fields = field_selector
        self._on_change = on_change
        self._on_gone = on_gone
        self._keep = keep
        self._longest_pause = api.limits.longest_pause_seconds
        self._known: dict[Name, Object] = {}
        self._version = ""
        """Where the watch goes on; empty: to be listed."""
        self._heard_at = time.monotonic()
        self._failures = 0
        self._unserved = 0
        self._wake = asyncio.Event()
        self._metric = (called or kind.kind, namespace or "")

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Object]:
        """What is kept of all objects, as of now."""
        return iter(list(self._known.values()))

    def get(self, namespace: str, name: str) -> Object | None:
        """What is kept of one object."""
        return self._known.get((namespace, name))

    def prompt(self) -> None:
        """Ask the API again now, should this be waiting before it does: there is reason to believe that it answers."""
        self._wake.set()

    async def run(self) -> None:
        """Follow until cancelled. A failing API is waited for; a kind that it does not serve has no objects."""
        _silent.labels(*self._metric).set_function(lambda: time.monotonic() - self._heard_at)
        _objects.labels(*self._metric).set_function(lambda: len(self._known))
        try:
            while True:
                try:
                    await self._follow()
                except ApiRefused as refusal:
                    _breaks.labels(*self._metric).inc()
                    if await self._is_unserved(refusal):
                        self._not_served()
                    else:
                        self._refused(refusal)
                except ApiError as error:
                    _breaks.labels(*self._metric).inc()
                    self._broken(error)
                if self._failures:
                    await self._pause()
        finally:
            _silent.remove(*self._metric)
            _objects.remove(*self._metric)

    async def _follow(self) -> None:
        if not self._version:
            self._version = await self._list()
            self._heard_at = time.monotonic()
            self._unserved = 0
            self.synced.set()
        began = time.monotonic()
        heard = False
        watch = self._api.watch(
            self.kind,
            self.namespace,
            resource_version=self._version,
            label_selector=self._labels,
            field_selector=self._fields,
        )
        async with aclosing(watch) as events:
            async for what, seen in events:
                heard = True
                self._heard()
                if what != "BOOKMARK":
                    _events.labels(*self._metric).inc()
                    self._take(what, seen)
                self._version = seen["metadata"]["resourceVersion"]
        if not heard and time.monotonic() - began < _SHORT_SECONDS:
            self._failures += 1
        else:
            self._heard()

    async def _list(self) -> str:
        _lists.labels(*self._metric).inc()
        listed: set[Name] = set()
        version = ""
        pages = self._api.pages(self.kind, self.namespace, label_selector=self._labels, field_selector=self._fields)
        async with aclosing(pages):
            async for page in pages:
                for seen in page.items:
                    name = name_of(seen)
                    listed.add(name)
                    if self._is_new(name, seen):
                        self._changed(name, seen)
                version = page.resource_version
        for name in self._known.keys() - listed:
            self._gone(name, self._known[name])
        return version

    def _is_new(self, name: Name, seen: Object) -> bool:
        known = self._known.get(name)
        return known is None or known["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]

    def _take(self, what: str, seen: Object) -> None:
        name = name_of(seen)
        if what == "DELETED":
            self._gone(name, seen)
        else:
            self._changed(name, seen)

    def _changed(self, name: Name, seen: Object) -> None:
        known = self._known.get(name)
        if known is not None and known["metadata"].get("uid") != seen["metadata"].get("uid"):
            self._gone(name, known)
        kept = self._keep(seen)
        if kept is not None:
            self._known[name] = kept
        self._tell(self._on_change, name, seen)

    def _gone(self, name: Name, last: Object) -> None:
        self._known.pop(name, None)
        self._tell(self._on_gone, name, last)

    def _tell(self, told: Told, name: Name, seen: Object) -> None:
        try:
            told(seen)
        except Exception:  # noqa: BLE001
            # One object that cannot be dealt with must not stop all others.
            _errors.labels(*self._metric).inc()
            _log.exception("kubernetes.change_failed", kind=self.kind.kind, namespace=name[0], name=name[1])

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self._failures = 0
        self._unserved = 0

    def _refused(self, refusal: ApiRefused) -> None:
        if refusal.passing and not _too_far(refusal):
            self._broken(refusal)
            return
        # Whatever is wrong with going on from there: all that is sure is a new list.
        watched, self._version = bool(self._version), ""
        if not watched or not refusal.expired:
            self._broken(refusal)
            return
        self._failures += 1
        _log.info("kubernetes.listed_again", kind=self.kind.kind, namespace=self.namespace, why=str(refusal))

    async def _is_unserved(self, refusal: ApiRefused) -> bool:
        if refusal.status != 403:
            return refusal.not_served
        # Rights are looked at first, and nobody needs any for what is not there.
        try:
            return not await self._api.has(self.kind)
        except ApiError as error:
            _log.warning("kubernetes.kinds_unknown", kind=self.kind.kind, error=str(error))
            return False

    def _not_served(self) -> None:
        """Its CustomResourceDefinition is not there, or no more; or an API server has not read it yet."""
        self._heard_at = time.monotonic()
        self._failures += 1
        self._unserved += 1
        self._version = ""
        if self._known and self._unserved < _ANSWERS_THAT_KIND_IS_GONE:
            return
        for name, known in list(self._known.items()):
            self._gone(name, known)
        self.synced.set()
        if self._unserved == 1:
            _log.info("kubernetes.not_served", kind=self.kind.kind, api_version=self.kind.api_version)

    def _broken(self, error: ApiError) -> None:
        self._failures += 1
        # The first break of a watch is nothing: the server restarts, a balancer cuts long connections.
        if self._failures > 1:
            _log.warning(
                "kubernetes.watch_failed",
                kind=self.kind.kind,
                namespace=self.namespace,
                failures=self._failures,
                error=str(error),
            )

    async def _pause(self) -> None:
        longest = min(_FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 16), self._longest_pause)
        self._wake.clear()
        try:
            # All informers lose their watches at the same time; they are not to come back so.
            async with asyncio.timeout(longest * random.uniform(0.5, 1.0)):
                await self._wake.wait()
        except TimeoutError:
            return


def _too_far(refusal: ApiRefused) -> bool:
    """The API has not come so far: its database was put back to an earlier state."""
    causes = refusal.details.get("causes") or []
    return any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes)
