"""The Kubernetes runtime: attempts as objects of a cluster.

An order is kept on the log until what came of it is there too; so a launcher that starts knows what to look after, and
the objects of the cluster say how far it is. Names of objects follow from attempts, therefore nothing is made twice,
not even by two launchers at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Gauge, Histogram

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.history import History
from services.k8s_launcher.kubernetes import dispatch
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.attempts import (
    HAS_AN_OBJECT,
    Attempt,
    deleted_behind_our_back,
    gone,
    not_launched,
)
from services.k8s_launcher.kubernetes.building import Building
from services.k8s_launcher.kubernetes.cleaning import Cleaning
from services.k8s_launcher.kubernetes.creating import Creating, MakeNamespace
from services.k8s_launcher.kubernetes.credentials import Credentials
from services.k8s_launcher.kubernetes.identity import INSTANCE, key_in
from services.k8s_launcher.kubernetes.informer import Informer
from services.k8s_launcher.kubernetes.objects import POD, SUBMITTED, Kind, Object, Reading, Seen
from services.k8s_launcher.kubernetes.owners import Owners
from services.k8s_launcher.kubernetes.pod_event_reasons import PodEvent
from services.k8s_launcher.kubernetes.pod_events import PodEvents
from services.k8s_launcher.kubernetes.settings import KubernetesSettings
from services.k8s_launcher.kubernetes.slimming import slim
from services.k8s_launcher.orders import Aborting, Order, Orders
from services.k8s_launcher.reporting import OBSERVATION_SECONDS, Reporting
from services.k8s_launcher.runtime import FINAL, AttemptKey, Execution, Origin, Report, Scheduled, execution_of
from services.k8s_launcher.task_templates import NotLaunchable

_READ_AGAIN_SECONDS = 30.0
_log = structlog.get_logger(__name__)
_attempts = Gauge(
    "flightlog_kubernetes_attempts", "Attempts that are looked after, by what was said of them", ["stage"]
)
_seconds = Histogram(
    "flightlog_kubernetes_observation_seconds",
    "From a change of an object, or an answer of the API, until the log has what it means",
    buckets=OBSERVATION_SECONDS,
)


class KubernetesRuntime:
    """Runs attempts on a cluster; see the module's text. One that stopped is not started again."""

    def __init__(
        self,
        settings: KubernetesSettings,
        api: Api,
        building: Building,
        orders: Orders,
        history: History,
        report: Report,
        make_namespace: MakeNamespace,
        credentials: Credentials,
    ) -> None:
        self._settings = settings
        self._api = api
        self._building = building
        self._orders = orders
        self._history = history
        self._report = report
        self._version = 0
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._finished: list[tuple[Order, AttemptObserved]] = []
        """Orders of an earlier launcher whose ends are on the log already."""
        self._reporting = Reporting(report, _seconds)
        self.owners = Owners(api, settings.instance)
        self._informers = {
            kind: Informer(
                api,
                kind,
                label_selector=f"{INSTANCE}={settings.instance}",
                on_change=self._changed,
                on_gone=self._gone,
                keep=slim,
            )
            for kind in dispatch.kinds()
        }
        self._kinds = {(kind.api_version, kind.kind): kind for kind in self._informers}
        self.cleaning = Cleaning(settings.cleaning, api, self.owners, history, self)
        self._creating = Creating(
            settings.launching, settings.instance, api, building, self.owners, self, make_namespace, credentials
        )
        self._jobs: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        self._synced = False
        self._of_node: dict[tuple[Execution, str], dict[int, tuple[Kind, str, str]]] = {}
        """Objects that are there, by node and attempt: kind, namespace and name."""
        self._names: dict[tuple[str, str], Attempt] = {}
        """Attempts by namespace and name of their objects."""
        # Times of Events are whole seconds.
        since = datetime.now(UTC).replace(microsecond=0)
        self._events = PodEvents(api, settings.pod_events, attempt_of=self._attempt_of, tell=self._told, since=since)

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        """Keep the order and have the object made; nothing when it is known already. Raises `LogUnavailable`."""
        if scheduled.key in self._attempts:
            return
        order = await self._orders.keep(Order(scheduled.key, scheduled, ran))
        if scheduled.key in self._attempts:
            return
        self.cleaning.retried(scheduled.key)
        attempt = self._begin(order, None)
        if self._synced:
            self._settle(attempt)

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        """Keep the order and have the object removed; one never seen is never made. Raises `LogUnavailable`."""
        attempt = self._attempts.get(key)
        if attempt is None:
            # It is over, or never was: whoever asks waits for an end.
            self._version += 1
            observed = AttemptObserved(
                node_id=key.node_id,
                attempt=key.attempt,
                stage=AttemptObserved.KILLED,
                version=self._version,
                reason=reason,
            )
            observed.execution_id.project, observed.execution_id.domain = key.project, key.domain
            observed.execution_id.name = key.execution
            observed.occurred_at.FromDatetime(datetime.now(UTC))
            await self._report(observed, origin)
            return
        if attempt.over or attempt.order.aborting is not None:
            return
        order = await self._orders.keep(replace(attempt.order, aborting=Aborting(reason, origin)))
        if attempt.over:
            # What was kept now is not dropped with what was kept before.
            await self._orders.drop(order)
            return
        attempt.order = order
        if attempt.settled:
            self._end(attempt)

    async def ended(self, project: str, domain: str, execution: str, at: datetime) -> None:
        """An execution is over: its objects are removed some time later."""
        self.cleaning.ended(self._building.namespace(project, domain), (project, domain, execution), at)

    async def pod_of(self, scheduled: AttemptScheduled) -> Object:
        """The pod that an attempt's task describes, for a connector that runs it. Raises what `Building.build` does."""
        return await self._building.pod(scheduled)

    async def adopt(self) -> None:
        """Read what an earlier launcher has taken on. Raises `LogUnavailable`."""
        self._version = await self._history.version()
        orders = [order async for order in self._orders.kept() if not order.connector]
        self._finished.clear()
        for order, last in await self._history.told(orders):
            if order.key in self._attempts:
                continue
            if last is not None and last.stage in FINAL:
                self._finished.append((order, last))
            else:
                # Who kept the order may have been about to make its object when it died.
                self._begin(order, last).perhaps_made = True
        _log.info("attempts.adopted", looked_after=len(self._attempts), ended=len(self._finished))

    async def run(self) -> None:
        """Work until cancelled. Objects stay as they are."""
        try:
            await self._work()
        finally:
            for attempt in self._attempts.values():
                self._count(attempt.last, None)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reporting.run())
            informers = [self.owners.informer, self._building.pod_templates.informer, *self._informers.values()]
            for informer in informers:
                tasks.create_task(informer.run())
            for informer in informers:
                await informer.synced.wait()
            self._synced = True
            if self._settings.pod_events.enabled:
                for kind in self._informers:
                    tasks.create_task(self._events.follow(kind))
            self._settle_all()
            for order, last in self._finished:
                tasks.create_task(self._close(order, last))
            self._finished.clear()
            tasks.create_task(self._creating.run())
            tasks.create_task(self.cleaning.run())
            while True:
                tasks.create_task(await self._jobs.get())

    def all(self) -> Iterator[tuple[Kind, Object]]:
        """All objects of attempts that are there."""
        for kind, informer in self._informers.items():
            for seen in informer:
                yield kind, seen

    def before(self, key: AttemptKey) -> Iterator[tuple[Kind, Object]]:
        """The objects that are there of earlier attempts of the same node."""
        for attempt, (kind, namespace, name) in self._of_node.get((execution_of(key), key.node_id), {}).items():
            seen = self._informers[kind].get(namespace, name)
            if attempt < key.attempt and seen is not None:
                yield kind, seen

    def is_looked_after(self, key: AttemptKey) -> bool:
        """Whether an attempt is not over, as far as this launcher knows."""
        return key in self._attempts

    def made(self, attempt: Attempt, made: Object | None) -> None:
        """An attempt's object is there, or was; `None`: only the watch told of it."""
        attempt.made = True
        # Its kind may be served since a moment ago.
        self._informers[attempt.plugin.kind].prompt()
        if attempt.order.aborting is not None:
            self._end(attempt)
        elif not attempt.over:
            if attempt.last is None or attempt.last.stage not in HAS_AN_OBJECT:
                self._say(attempt, Reading(AttemptObserved.QUEUED, SUBMITTED))
            # What the watch told meanwhile is newer than the answer.
            seen = self._object(attempt) or made
            if seen is not None:
                self._changed(seen)

    def waits(self, attempt: Attempt, reason: str) -> None:
        """An attempt waits for its object."""
        if attempt.order.aborting is not None:
            self._end(attempt)
        else:
            self._say(attempt, Reading(AttemptObserved.WAITING_FOR_RESOURCES, reason))

    def refused(self, attempt: Attempt, refused: NotLaunchable) -> None:
        """An attempt will have no object."""
        if attempt.order.aborting is not None:
            self._killed(attempt)
        else:
            self._say(attempt, not_launched(refused))

    def _begin(self, order: Order, last: AttemptObserved | None) -> Attempt:
        key = order.key
        plugin, name = dispatch.plugin(""), ""
        if order.scheduled is not None:
            plugin = dispatch.plugin(order.scheduled.fact.task_type)
            name = self._building.name(order.scheduled.fact)
        namespace = self._building.namespace(key.project, key.domain)
        version = max(self._version, last.version if last is not None else 0)
        attempt = self._attempts[key] = Attempt(order, plugin, namespace, name, version=version, last=last)
        self._names[namespace, name] = attempt
        self._count(None, last)
        return attempt

    def _settle_all(self) -> None:
        """Not in `_work`, whose variables keep what they held last for as long as it works."""
        for attempt in list(self._attempts.values()):
            self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        """What is there is known: follow the object, make it, or say that it is gone."""
        if attempt.settled or attempt.over:
            return
        attempt.settled = True
        if attempt.order.aborting is not None:
            self._end(attempt)
        elif attempt.followed:
            self._creating.occupy(attempt)
        elif attempt.made:
            self._say(attempt, gone(attempt, "it was there when it was last seen"))
        else:
            self._creating.put(attempt)

    def _end(self, attempt: Attempt) -> None:
        """Its end was ordered."""
        if attempt.over or attempt.tried:
            # Whoever makes its object comes back here.
            return
        self._creating.remove(attempt)
        if attempt.order.scheduled is None or not (attempt.made or attempt.perhaps_made):
            self._killed(attempt)
        elif not attempt.ending:
            attempt.ending = True
            self._jobs.put_nowait(self._remove(attempt))

    async def _remove(self, attempt: Attempt) -> None:
        seen = self._object(attempt)
        if seen is not None:
            await self.cleaning.remove(attempt.plugin.kind, seen, "aborted")
        else:
            await self.cleaning.remove_unseen(
                attempt.plugin.kind, attempt.namespace, attempt.name, attempt.key, "aborted"
            )
        self._killed(attempt)

    def _killed(self, attempt: Attempt) -> None:
        aborting = attempt.order.aborting
        assert aborting is not None
        self._say(attempt, Reading(AttemptObserved.KILLED, aborting.reason))

    def _object(self, attempt: Attempt) -> Object | None:
        informer = self._informers.get(attempt.plugin.kind)
        return informer.get(attempt.namespace, attempt.name) if informer is not None else None

    def _changed(self, seen: Object) -> None:
        """The API told of an object, or of a change of it."""
        key = key_in(seen)
        if key is None:
            return
        self._remember(key, seen)
        attempt = self._attempts.get(key)
        if attempt is None or attempt.over or not _is_of(seen, attempt):
            return
        if not attempt.followed:
            attempt.followed = attempt.made = True
            if attempt.settled and not attempt.tried:
                # It was made, though whoever made it was told otherwise.
                self._creating.remove(attempt)
                self._creating.occupy(attempt)
        if attempt.order.aborting is None:
            self._read(attempt, seen)
        elif attempt.settled:
            self._end(attempt)

    def _remember(self, key: AttemptKey, seen: Object) -> None:
        kind = self._kinds.get((seen.get("apiVersion", ""), seen.get("kind", "")))
        if kind is not None:
            of_node = self._of_node.setdefault((execution_of(key), key.node_id), {})
            of_node[key.attempt] = kind, seen["metadata"]["namespace"], seen["metadata"]["name"]

    def _gone(self, last: Object) -> None:
        """The API told that an object is there no more."""
        kind = self._kinds.get((last.get("apiVersion", ""), last.get("kind", "")))
        if kind is not None:
            self._creating.freed(kind, last["metadata"].get("namespace", ""))
        key = key_in(last)
        if key is None:
            return
        of_node = self._of_node.get((execution_of(key), key.node_id), {})
        of_node.pop(key.attempt, None)
        if not of_node:
            self._of_node.pop((execution_of(key), key.node_id), None)
        attempt = self._attempts.get(key)
        if attempt is None or attempt.over or not _is_of(last, attempt):
            return
        if attempt.order.aborting is not None:
            self._killed(attempt)
            return
        reading = self._reading(attempt, last)
        if reading is None or reading.stage not in FINAL:
            reading = gone(attempt, "it was deleted")
        self._say(attempt, reading)

    def _read(self, attempt: Attempt, seen: Object) -> None:
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        reading = self._reading(attempt, seen)
        if reading is None:
            self._read_again(attempt, _READ_AGAIN_SECONDS)
            return
        if reading.stage not in FINAL and seen["metadata"].get("deletionTimestamp"):
            reading = deleted_behind_our_back(attempt)
        if reading.stage in FINAL:
            self._creating.freed(attempt.plugin.kind, attempt.namespace)
        self._say(attempt, reading)
        pauses: list[float] = []
        if reading.again_at is not None:
            pauses.append(max((reading.again_at - datetime.now(UTC)).total_seconds(), 0.05))
        if attempt.withheld_seconds is not None:
            pauses.append(attempt.withheld_seconds)
        if pauses and not attempt.over:
            self._read_again(attempt, min(pauses))

    def _reading(self, attempt: Attempt, seen: Object) -> Reading | None:
        """What an object's status means; None: the plugin failed to say."""
        assert attempt.order.scheduled is not None
        state = Seen(seen, datetime.now(UTC), attempt.order.scheduled.fact, self._settings)
        try:
            return attempt.plugin.read(state)
        except Exception:  # noqa: BLE001
            # The edge: a status that nobody foresaw must not stop the watch of all others.
            _log.exception("object.unreadable", namespace=attempt.namespace, name=attempt.name)
            return None

    def _read_again(self, attempt: Attempt, seconds: float) -> None:
        def read() -> None:
            seen = self._object(attempt)
            if seen is not None and not attempt.over and attempt.order.aborting is None:
                self._read(attempt, seen)

        attempt.timer = asyncio.get_running_loop().call_later(seconds, read)

    def _say(self, attempt: Attempt, reading: Reading) -> None:
        if attempt.over:
            return
        before = attempt.last
        observed = attempt.next(reading)
        if observed is None:
            return
        self._count(before, observed)
        if reading.stage not in FINAL:
            self._reporting.send(attempt.key, observed, attempt.order.origin)
            return
        attempt.over = True
        if attempt.timer is not None:
            attempt.timer.cancel()
        self._creating.remove(attempt)
        self._creating.leave(attempt)

        async def then() -> None:
            if reading.of_no_use:
                seen = self._object(attempt)
                if seen is not None:
                    await self.cleaning.remove(attempt.plugin.kind, seen, "of no use")
            await self._orders.drop(attempt.order)
            self._forget(attempt)

        self._reporting.send(attempt.key, observed, attempt.order.origin, then)

    async def _close(self, order: Order, last: AttemptObserved) -> None:
        """Do what an earlier launcher would have done after the end of an attempt."""
        if order.scheduled is not None and order.key not in self._attempts:
            attempt = self._begin(order, last)
            attempt.settled = attempt.over = True
            seen = self._object(attempt)
            reading = self._reading(attempt, seen) if seen is not None else None
            if seen is not None and (last.stage == AttemptObserved.KILLED or (reading and reading.of_no_use)):
                await self.cleaning.remove(attempt.plugin.kind, seen, "of no use")
            self._forget(attempt)
        await self._orders.drop(order)

    def _forget(self, attempt: Attempt) -> None:
        del self._attempts[attempt.key]
        if self._names.get((attempt.namespace, attempt.name)) is attempt:
            del self._names[attempt.namespace, attempt.name]
        self._events.forget(attempt.key)
        self._count(attempt.last, None)

    def _attempt_of(self, event: PodEvent) -> AttemptKey | None:
        """Whose object an Event is about. Operators name their pods after the object that they act on."""
        name = event.name
        attempt = self._names.get((event.namespace, name))
        while attempt is None and "-" in name and event.kind == POD.kind:
            name = name.rpartition("-")[0]
            attempt = self._names.get((event.namespace, name))
            if attempt is not None and attempt.plugin.kind == POD:
                return None
        return attempt.key if attempt is not None and not attempt.over else None

    def _told(self, key: Hashable, event: PodEvent) -> None:
        """An Event says something about an attempt's object."""
        attempt = self._attempts.get(key) if isinstance(key, AttemptKey) else None
        remark = attempt.remark(event.text, event.occurred_at) if attempt is not None and not attempt.over else None
        if attempt is not None and remark is not None and attempt.order.aborting is None:
            self._reporting.send(attempt.key, remark, attempt.order.origin)

    def _count(self, before: AttemptObserved | None, after: AttemptObserved | None) -> None:
        """Keep count of attempts by what was said of them last; `None` for both sides of an attempt's life."""
        for observed, change in ((before, -1), (after, 1)):
            if observed is not None:
                _attempts.labels(AttemptObserved.Stage.Name(observed.stage)).inc(change)


def _is_of(seen: Object, attempt: Attempt) -> bool:
    metadata = seen["metadata"]
    return (metadata.get("namespace"), metadata["name"]) == (attempt.namespace, attempt.name)
