"""Removing objects: at once where they are of no use, with their execution's ConfigMap some time after its end
(k8s-contract §2.8, §10.3).

Of each node the last attempt's object stays, for its logs; those of attempts that were tried again go at once. What was
missed, because a launcher died, the sweep finds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from prometheus_client import Counter

from flightlog_log import LogError, LogUnavailable
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.history import History
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused, ApiUnreachable
from services.k8s_launcher.kubernetes.identity import execution_in, key_in, made_before
from services.k8s_launcher.kubernetes.launching_settings import CleaningSettings
from services.k8s_launcher.kubernetes.objects import POD, Kind, Object
from services.k8s_launcher.kubernetes.owners import Owners, ended_at, made_at
from services.k8s_launcher.runtime import FINAL, AttemptKey, Execution, execution_of

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# A large execution that is aborted must not take the connections of the lease and of what is to be made.
_AT_ONCE = 16
_log = structlog.get_logger(__name__)
_removed = Counter("flightlog_kubernetes_removed_objects_total", "Objects removed", ["why"])


class Objects(Protocol):
    """All objects of attempts that are there, and who looks after them."""

    def all(self) -> Iterator[tuple[Kind, Object]]: ...

    def before(self, key: AttemptKey) -> Iterator[tuple[Kind, Object]]:
        """Those of earlier attempts of the same node."""
        ...

    def is_looked_after(self, key: AttemptKey) -> bool: ...


class Cleaning:
    """Removes objects in the background."""

    def __init__(
        self, settings: CleaningSettings, api: Api, owners: Owners, history: History, objects: Objects
    ) -> None:
        self._settings = settings
        self._api = api
        self._owners = owners
        self._history = history
        self._objects = objects
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._jobs: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()

    async def run(self) -> None:
        """Do what is asked for, and sweep now and then, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep_for_ever())
            while True:
                tasks.create_task(await self._jobs.get())

    async def remove(self, kind: Kind, seen: Object, why: str) -> None:
        """Remove an object; returns when the API has taken note. Asks again while it does not answer."""
        metadata = seen["metadata"]

        async def once() -> None:
            await self._remove(kind, seen, why)

        await self._patiently(once, kind=kind.kind, namespace=metadata["namespace"], name=metadata["name"])

    async def remove_unseen(self, kind: Kind, namespace: str, name: str, key: AttemptKey, why: str) -> None:
        """The same of an attempt's object that was not seen: it may be there, or may not, or be somebody else's."""

        async def once() -> None:
            try:
                found = await self._api.get(kind, namespace, name)
            except ApiRefused as refusal:
                if refusal.not_found:
                    return
                raise
            if key_in(found) == key:
                await self._remove(kind, found, why)

        await self._patiently(once, kind=kind.kind, namespace=namespace, name=name)

    async def _remove(self, kind: Kind, seen: Object, why: str) -> None:
        """Raises `ApiError`."""
        metadata = seen["metadata"]
        namespace = metadata["namespace"]
        if await self._delete(kind, namespace, metadata["name"], self._grace(seen), metadata["uid"]):
            _removed.labels(why).inc()
        for companion, name in made_before(seen):
            if await self._delete(companion, namespace, name):
                _removed.labels(why).inc()

    async def _delete(
        self, kind: Kind, namespace: str, name: str, grace_seconds: int | None = None, uid: str | None = None
    ) -> bool:
        """False: it is not there any more. Raises `ApiError`."""
        try:
            await self._api.delete(
                kind, namespace, name, propagation="Background", grace_seconds=grace_seconds, uid=uid
            )
        except ApiRefused as refusal:
            if refusal.not_found or (uid is not None and refusal.conflict):
                return False
            raise
        return True

    def retried(self, key: AttemptKey) -> None:
        """An attempt follows others of its node: theirs are not looked at any more."""
        for kind, seen in self._objects.before(key):
            other = key_in(seen)
            if other is not None and not self._objects.is_looked_after(other):
                self._jobs.put_nowait(self.remove(kind, seen, "retried"))

    def ended(self, namespace: str, execution: Execution, at: datetime) -> None:
        """An execution is over: its time to be kept begins."""
        self._jobs.put_nowait(self._note_end(namespace, execution, at))

    async def sweep(self) -> None:
        """Remove what is to go, and note ends that nobody noted; one thing that resists keeps nothing else.

        Raises `ApiUnreachable` and `LogUnavailable`.
        """
        over: dict[Execution, datetime] = {}
        for owner in self._owners:
            execution = execution_in(owner)
            if execution is not None:
                with _left_for_later(owner):
                    await self._sweep_owner(owner, execution, over)
        await self._sweep_objects(over)

    async def _sweep_owner(self, owner: Object, execution: Execution, over: dict[Execution, datetime]) -> None:
        now = datetime.now(UTC)
        keep = timedelta(hours=self._settings.keep_finished_hours)
        at = ended_at(owner)
        if at is None and made_at(owner) + keep < now:
            at = await self._history.ended_at(execution)
            if at is not None:
                await self._owners.ended(owner["metadata"]["namespace"], execution, at)
        if at is None:
            return
        over[execution] = at
        if at + keep <= now:
            await self._owners.remove(owner)
            _removed.labels("expired").inc()

    async def _sweep_objects(self, over: dict[Execution, datetime]) -> None:
        """Objects that nobody looks after: of attempts that were tried again, and what goes on after its execution."""
        newest: dict[tuple[Execution, str], int] = defaultdict(int)
        left: list[tuple[Kind, Object, AttemptKey]] = []
        for kind, seen in self._objects.all():
            key = key_in(seen)
            if key is None:
                continue
            node = execution_of(key), key.node_id
            newest[node] = max(newest[node], key.attempt)
            if not self._objects.is_looked_after(key) and not seen["metadata"].get("deletionTimestamp"):
                left.append((kind, seen, key))
        for kind, seen, key in left:
            with _left_for_later(seen):
                if key.attempt < newest[execution_of(key), key.node_id]:
                    await self._remove(kind, seen, "retried")
                elif not _is_finished(kind, seen) and await self._is_orphan(key, over):
                    await self._remove(kind, seen, "orphan")

    async def _is_orphan(self, key: AttemptKey, over: dict[Execution, datetime]) -> bool:
        """Whether an attempt goes on, as far as anybody said, though its execution is over."""
        execution = execution_of(key)
        if execution not in over and await self._history.ended_at(execution) is None:
            return False
        last = (await self._history.observed(execution)).get((key.node_id, key.attempt))
        return last is None or last.stage not in FINAL or last.stage == AttemptObserved.KILLED

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except (ApiUnreachable, LogUnavailable) as error:
                _log.warning("sweep.failed", error=str(error))
            await asyncio.sleep(self._settings.sweep_minutes * 60)

    async def _note_end(self, namespace: str, execution: Execution, at: datetime) -> None:
        async def once() -> None:
            await self._owners.ended(namespace, execution, at)

        await self._patiently(once, namespace=namespace, execution="/".join(execution))

    async def _patiently(self, once: Callable[[], Awaitable[None]], **what: str) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._limit:
                    await once()
                return
            except ApiError as error:
                _log.warning("cleaning.delayed", **what, error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _grace(self, seen: Object) -> int | None:
        """A pod's own time to end, but no more than is granted here; raw containers ask for an hour."""
        own = (seen.get("spec") or {}).get("terminationGracePeriodSeconds")
        return min(own, self._settings.abort_grace_seconds) if isinstance(own, int) else None


@contextmanager
def _left_for_later(seen: Object) -> Generator[None]:
    """What the API or the log refuses about one object is no concern of the others."""
    try:
        yield
    except (ApiUnreachable, LogUnavailable):
        raise
    except (ApiError, LogError) as error:
        namespace, name = seen["metadata"]["namespace"], seen["metadata"]["name"]
        _log.warning("sweep.left", namespace=namespace, name=name, error=str(error))


def _is_finished(kind: Kind, seen: Object) -> bool:
    return kind == POD and (seen.get("status") or {}).get("phase") in ("Succeeded", "Failed")
