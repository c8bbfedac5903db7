"""Keeps what projects have in the cluster as templates, settings and attributes want it (k8s-contract §7).

At once when the registry says something new, and again at every refresh; only where this launcher leads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from flightlog_log import Log, LogUnavailable, Recorded, Unreadable
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused
from services.k8s_launcher.kubernetes.cluster_resources import sources
from services.k8s_launcher.kubernetes.cluster_resources.applying import Applying
from services.k8s_launcher.kubernetes.cluster_resources.projects import SUBJECTS, Place, Projects
from services.k8s_launcher.kubernetes.cluster_resources.sources import Sources, read_sources
from services.k8s_launcher.kubernetes.cluster_resources.templates import BadTemplate, values_for
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

_STREAM = "REGISTRY"
_FIRST_PAUSE_SECONDS = 1.0

SOURCES = "sources"
"""Stands for a file, where folder or values cannot be read."""

ATTRIBUTES = "attributes"
"""Stands for a file, where attributes of the project cannot be put into any."""

CREDENTIALS = "credentials"
"""Stands for a file, where the Secret with the object store's keys cannot be made."""

KeepCredentials = Callable[[str], Coroutine[Any, Any, None]]
"""Has that Secret in a namespace; raises `ApiError`."""

_log = structlog.get_logger(__name__)


@dataclass
class _Ensured:
    began: float
    failures: dict[str, str] = field(default_factory=dict[str, str])


class ClusterResources:
    """The objects of all projects. `run` keeps them, `ensure` makes those of one project and domain now."""

    def __init__(self, api: Api, log: Log, settings: KubernetesSettings, keep_credentials: KeepCredentials) -> None:
        self._log = log
        self._keep_credentials = keep_credentials
        self._namespace_template = settings.namespace_template
        self._settings = settings.cluster_resources
        self._applying = Applying(api, self._settings.repeat_seconds)
        self._projects = Projects()
        self._known = asyncio.Event()
        self._wake = asyncio.Event()
        self._due: dict[Place, float] = {}
        self._pauses: dict[Place, float] = {}
        self._locks: dict[Place, asyncio.Lock] = {}
        self._ensured: dict[Place, _Ensured] = {}
        self._room = asyncio.Semaphore(self._settings.parallel)

    async def run(self) -> None:
        """Work until cancelled."""
        if not self._settings.enabled:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._work())

    async def ensure(self, project: str, domain: str) -> dict[str, str]:
        """Apply everything of one project and domain, though it was applied before: its namespace turned out to be
        missing. Whoever asks while that is being done shares the next time with all others. Returns why files failed,
        by file; nothing when these objects are somebody else's concern."""
        if not self._settings.enabled:
            return {}
        asked = asyncio.get_running_loop().time()
        await self._known.wait()
        place = Place(project, domain)
        async with self._locks.setdefault(place, asyncio.Lock()):
            last = self._ensured.get(place)
            if last is None or last.began < asked:
                last = _Ensured(asyncio.get_running_loop().time())
                self._applying.forget(place)
                last.failures = await self._apply(place, await self._read())
                self._ensured[place] = last
        return last.failures

    # --- what there is ---------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        after = 0
        while True:
            try:
                # First what is there, so that nothing is made of half a history.
                for live in (False, True):
                    follower = self._log.follow(_STREAM, after=after, subjects=SUBJECTS, live=live)
                    async with aclosing(cast("AsyncGenerator[list[Recorded | Unreadable]]", follower)) as batches:
                        async for batch in batches:
                            after = batch[-1].sequence
                            self._take(batch)
                    self._known.set()
            except LogUnavailable as error:
                _log.warning("cluster_resources.log_away", reason=str(error))
                await asyncio.sleep(_FIRST_PAUSE_SECONDS)

    def _take(self, batch: list[Recorded | Unreadable]) -> None:
        changed: set[str] = set()
        for recorded in batch:
            if isinstance(recorded, Unreadable):
                _log.error("cluster_resources.unreadable_fact", sequence=recorded.sequence, reason=recorded.reason)
            else:
                changed |= self._projects.take(recorded.facts)
        now = asyncio.get_running_loop().time()
        for place in self._projects.places(self._settings.domains):
            if place.project in changed:
                self._due[place] = now
        self._wake.set()

    # --- what is to be done ----------------------------------------------------------------------------------------

    async def _work(self) -> None:
        await self._known.wait()
        clock = asyncio.get_running_loop().time
        refresh_at = clock()
        while True:
            self._wake.clear()
            now = clock()
            if now >= refresh_at:
                refresh_at = now + self._settings.refresh_seconds
                self._due.update(dict.fromkeys(self._projects.places(self._settings.domains), now))
            due = [place for place, at in self._due.items() if at <= now]
            if due:
                await self._round(due)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min([refresh_at, *self._due.values()])):
                    await self._wake.wait()

    async def _round(self, due: list[Place]) -> None:
        for place in due:
            del self._due[place]
        read = await self._read()
        async with asyncio.TaskGroup() as group:
            for place in due:
                group.create_task(self._one_of(place, read))

    async def _one_of(self, place: Place, read: Sources | sources.Unreadable) -> None:
        async with self._room, self._locks.setdefault(place, asyncio.Lock()):
            await self._apply(place, read)

    async def _read(self) -> Sources | sources.Unreadable:
        try:
            return await asyncio.to_thread(read_sources, self._settings)
        except sources.Unreadable as error:
            return error

    async def _apply(self, place: Place, read: Sources | sources.Unreadable) -> dict[str, str]:
        """Under the lock of the place."""
        failures = {SOURCES: str(read)} if isinstance(read, sources.Unreadable) else await self._applied(place, read)
        self._applying.failed(place, failures)
        self._again(place, failed=bool(failures))
        return failures

    async def _applied(self, place: Place, read: Sources) -> dict[str, str]:
        namespace = self._namespace_template.format(project=place.project, domain=place.domain)
        try:
            values = values_for(*place, namespace, read.values.get(place.domain, {}), self._projects.attributes(place))
        except BadTemplate as error:
            return {ATTRIBUTES: str(error)}
        failures = await self._applying.apply(place, namespace, read.templates, values)
        try:
            await self._keep_credentials(namespace)
        except ApiError as error:
            # Where there is no namespace, no task needs keys.
            if not isinstance(error, ApiRefused) or not error.not_found:
                failures[CREDENTIALS] = str(error)
        return failures

    def _again(self, place: Place, *, failed: bool) -> None:
        """What failed is tried again, less and less often."""
        if not failed:
            self._pauses.pop(place, None)
            return
        pause = min(2 * self._pauses.get(place, _FIRST_PAUSE_SECONDS / 2), self._settings.refresh_seconds)
        self._pauses[place] = pause
        at = asyncio.get_running_loop().time() + pause
        self._due[place] = min(self._due.get(place, at), at)
        self._wake.set()
