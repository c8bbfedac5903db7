"""Which of several launchers works: the holder of a Lease (coordination.k8s.io/v1), by the rules of client-go.

The lease's times are never compared with a clock of this machine. A candidate takes the lease when it has not seen it
change for the duration that the holder promised; the holder stops when it could not renew it for a shorter time,
counted from before its last successful renewal was sent. So they agree however wrong their clocks are, as long as they
run equally fast.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused
from services.k8s_launcher.kubernetes.lease_settings import LeaseSettings
from services.k8s_launcher.kubernetes.objects import LEASE, Object

_JITTER = 0.2

_log = structlog.get_logger(__name__)
_leads = Gauge("flightlog_kubernetes_leader", "1 while this launcher holds the lease", ["lease"])
_changes = Counter("flightlog_kubernetes_lease_changes_total", "Leases taken, lost and released here", ["lease", "how"])


def _now() -> float:
    """Seconds that go on while the machine sleeps: the others' lease does too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Leadership:
    """A lease that is held, given to the work that is done under it."""

    until: float = 0.0

    @property
    def holds(self) -> bool:
        """False once nobody may rely on it, even if the work's cancellation has not come yet: after a pause, say."""
        return _now() < self.until


Work = Callable[[Leadership], Coroutine[Any, Any, None]]


async def lead(api: Api, namespace: str, identity: str, settings: LeaseSettings, work: Work) -> None:
    """Wait for the lease, and do the work while it is held; when it is lost, stop the work and wait again.

    The work is cancelled, and has the time between `renew_within_seconds` and `duration_seconds` to end, before anybody
    else can take the lease. When the work ends by itself, or this is cancelled, the lease is given back, after the
    work's end; what the work raises is raised. `identity` is of this process alone.
    """
    candidate = _Candidate(api, namespace, identity, settings)
    while True:
        leadership = await candidate.acquire()
        _log.info("lease.taken", lease=settings.name, identity=identity)
        if await _held(candidate, leadership, work):
            return
        _log.warning("lease.lost", lease=settings.name, identity=identity)


async def _held(candidate: _Candidate, leadership: Leadership, work: Work) -> bool:
    """Do the work under the lease. False: it was lost."""
    name = candidate.settings.name
    _leads.labels(name).set(1)
    _changes.labels(name, "taken").inc()
    working = asyncio.ensure_future(work(leadership))
    renewing = asyncio.ensure_future(candidate.keep(leadership))
    try:
        await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
        ended = working.done()
    finally:
        # To its end, even when we are cancelled meanwhile: nothing may go on without the lease.
        await _to_the_end(_stopped(candidate, leadership, working, renewing))
    if not working.cancelled():
        working.result()
    return ended


async def _stopped(
    candidate: _Candidate, leadership: Leadership, working: asyncio.Future[None], renewing: asyncio.Future[None]
) -> None:
    name = candidate.settings.name
    lost = renewing.done()
    if lost:
        leadership.until = 0.0
        _changes.labels(name, "lost").inc()
    # Renewed until the work has ended.
    working.cancel()
    await asyncio.wait((working,))
    _leads.labels(name).set(0)
    lost = lost or renewing.done()
    renewing.cancel()
    await asyncio.wait((renewing,))
    leadership.until = 0.0
    if not renewing.cancelled():
        renewing.result()
    if not lost:
        await candidate.release()
        _changes.labels(name, "released").inc()


async def _to_the_end(ending: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(ending)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


class _Candidate:
    def __init__(self, api: Api, namespace: str, identity: str, settings: LeaseSettings) -> None:
        self.settings = settings
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._lease: Object = {}
        """As it was seen last; empty: there is none."""
        self._seen_at = 0.0
        """When it was first seen so."""

    async def acquire(self) -> Leadership:
        """Wait until the lease is ours."""
        while True:
            asked_at = _now()
            try:
                await self._look()
                if self._may_take():
                    await self._write(self._taken())
                    return Leadership(asked_at + self.settings.renew_within_seconds)
            except ApiError as error:
                if not _outrun(error):
                    _log.warning("lease.unreachable", lease=self.settings.name, error=str(error))
            await asyncio.sleep(self.settings.retry_seconds * random.uniform(1.0, 1.0 + _JITTER))

    async def keep(self, leadership: Leadership) -> None:
        """Renew the lease again and again; returns when it is lost."""
        while True:
            await asyncio.sleep(min(self.settings.retry_seconds, max(leadership.until - _now(), 0.0)))
            left = leadership.until - _now()
            if left <= 0:
                return
            asked_at = _now()
            try:
                async with asyncio.timeout(left):
                    await self._renew()
            except TimeoutError:
                return
            except ApiError as error:
                if _outrun(error) or (isinstance(error, ApiRefused) and error.not_found):
                    if not await self._still_ours(leadership):
                        return
                else:
                    _log.warning("lease.renewal_failed", lease=self.settings.name, error=str(error))
            else:
                leadership.until = asked_at + self.settings.renew_within_seconds

    async def release(self) -> None:
        """Let another take it at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.renew_within_seconds):
                try:
                    await self._write({**self._spec(), "holderIdentity": "", "leaseDurationSeconds": 1, **_times()})
                except ApiError as error:
                    _log.warning("lease.release_failed", lease=self.settings.name, error=str(error))

    async def _renew(self) -> None:
        await self._write({**self._spec(), "renewTime": _times()["renewTime"]})

    async def _still_ours(self, leadership: Leadership) -> bool:
        """After a conflict: whether another took it, or an answer to our own writing was lost."""
        try:
            async with asyncio.timeout(max(leadership.until - _now(), 0.0)):
                await self._look()
        except (ApiError, TimeoutError) as error:
            _log.warning("lease.renewal_failed", lease=self.settings.name, error=repr(error))
            return leadership.holds
        return self._spec().get("holderIdentity") == self._identity

    async def _look(self) -> None:
        try:
            lease = await self._api.get(LEASE, self._namespace, self.settings.name)
        except ApiRefused as refusal:
            if not refusal.not_found:
                raise
            lease = {}
        if _version(lease) != _version(self._lease):
            self._seen_at = _now()
        self._lease = lease

    def _may_take(self) -> bool:
        spec = self._spec()
        if spec.get("holderIdentity") in (None, "", self._identity):
            return True
        # What its holder promised counts; ours for one that says nothing.
        duration = float(spec.get("leaseDurationSeconds") or self.settings.duration_seconds)
        return _now() >= self._seen_at + duration

    def _taken(self) -> Object:
        spec = self._spec()
        transitions = int(spec.get("leaseTransitions") or 0)
        return {
            **spec,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self.settings.duration_seconds,
            "leaseTransitions": transitions + 1 if self._lease else 0,
            **_times(),
        }

    async def _write(self, spec: Object) -> None:
        """Raises `ApiRefused` (`conflict`, `already_exists`) when another was faster."""
        if self._lease:
            manifest = {**self._lease, "spec": spec}
            self._lease = await self._api.replace(LEASE, self._namespace, manifest)
        else:
            manifest = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {"name": self.settings.name, "namespace": self._namespace},
                "spec": spec,
            }
            self._lease = await self._api.create(LEASE, self._namespace, manifest)
        self._seen_at = _now()

    def _spec(self) -> Object:
        return self._lease.get("spec") or {}


def _outrun(error: ApiError) -> bool:
    return isinstance(error, ApiRefused) and (error.conflict or error.already_exists)


def _version(lease: Object) -> str:
    return lease["metadata"]["resourceVersion"] if lease else ""


def _times() -> dict[str, str]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"acquireTime": now, "renewTime": now}
