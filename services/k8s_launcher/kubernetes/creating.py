"""Making objects: one project-domain after another, as fast as the API and its quotas let (k8s-contract §3.1, §3.2).

An attempt waits here from its order until its object is there. Nothing that it waits for uses up a retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import structlog
from prometheus_client import Gauge, Histogram

from flightlog_blobs import BlobError
from services.k8s_launcher.kubernetes import dispatch, queueing, quota
from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.api_errors import ApiError, ApiRefused
from services.k8s_launcher.kubernetes.attempts import Attempt
from services.k8s_launcher.kubernetes.backoff import Backoff
from services.k8s_launcher.kubernetes.building import Building
from services.k8s_launcher.kubernetes.credentials import Credentials
from services.k8s_launcher.kubernetes.identity import instance_of, key_in, stamped
from services.k8s_launcher.kubernetes.launching_settings import LaunchingSettings
from services.k8s_launcher.kubernetes.objects import Built, Kind, Object
from services.k8s_launcher.kubernetes.owners import Owners
from services.k8s_launcher.kubernetes.refusals import Outcome, refusal
from services.k8s_launcher.kubernetes.turns import Turns
from services.k8s_launcher.runtime import execution_of
from services.k8s_launcher.task_templates import NotLaunchable

_STORE = "object store"
# One try costs nobody anything, and an API server that restarts is back soon.
_UNREACHABLE_SECONDS = 4.0
_log = structlog.get_logger(__name__)
_waiting = Gauge("flightlog_kubernetes_waiting_attempts", "Attempts without an object", ["project", "domain"])
_launch_seconds = Histogram(
    "flightlog_kubernetes_launch_seconds",
    "From an attempt's order until its object is there",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0),
)


class _Shape(NamedTuple):
    """What decides whether an attempt may be tried."""

    where: Hashable
    amounts: frozenset[tuple[str, Decimal]] | None
    """None: its object was not built yet."""


class Outcomes(Protocol):
    """Who is told what became of an attempt that waited."""

    def made(self, attempt: Attempt, made: Object | None) -> None:
        """Its object is there, or was; None: only the watch told of it."""
        ...

    def waits(self, attempt: Attempt, reason: str) -> None:
        """It goes on waiting."""
        ...

    def refused(self, attempt: Attempt, refused: NotLaunchable) -> None:
        """It will have no object."""
        ...


MakeNamespace = Callable[[str, str], Coroutine[Any, Any, object]]
"""Makes the namespace of a project and domain, where that is our concern; returns when it has tried."""


class Creating:
    """The attempts that wait for their objects."""

    def __init__(
        self,
        settings: LaunchingSettings,
        instance: str,
        api: Api,
        building: Building,
        owners: Owners,
        outcomes: Outcomes,
        make_namespace: MakeNamespace,
        credentials: Credentials,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._api = api
        self._building = building
        self._owners = owners
        self._outcomes = outcomes
        self._make_namespace = make_namespace
        self._credentials = credentials
        self._jobs: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        self._namespaces: set[str] = set()
        self._untold: dict[tuple[tuple[str, str], Hashable], dict[Attempt, None]] = {}
        """Attempts that wait and nobody was told what for, by project-domain and what backs off."""
        self._blocked_since: dict[Hashable, float] = {}
        """Since when nothing was let in, for want of what somebody has to do, by what backs off."""
        self._backoff = Backoff(settings.backoff_first_seconds, settings.backoff_longest_seconds)
        self._turns = Turns[Attempt](settings.max_in_flight)
        self._busy = 0
        self._paced_until = 0.0
        self._wake = asyncio.Event()
        self._counted: set[tuple[str, str]] = set()

    def put(self, attempt: Attempt) -> None:
        """Let an attempt wait for its turn."""
        self._put(attempt, _Shape(_where(attempt.plugin.kind, attempt.namespace), None))
        self._untold.setdefault(_queue(attempt), {})[attempt] = None

    def remove(self, attempt: Attempt) -> bool:
        """It is not to have an object any more. False when it does not wait: its object is being made, or is there."""
        self._told(attempt)
        return self._turns.remove(attempt)

    def occupy(self, attempt: Attempt) -> None:
        """Count an attempt whose object is there."""
        if not attempt.occupies:
            attempt.occupies = True
            self._turns.started(attempt.place)

    def leave(self, attempt: Attempt) -> None:
        """Count it no more."""
        if attempt.occupies:
            attempt.occupies = False
            self._turns.ended(attempt.place)
            self._wake.set()

    def freed(self, kind: Kind, namespace: str) -> None:
        """An object has ended or gone, so a quota may have room again."""
        if self._backoff.freed(_where(kind, namespace)):
            self._wake.set()

    async def run(self) -> None:
        """Make objects until cancelled."""
        try:
            await self._make()
        finally:
            for place in self._counted:
                _waiting.labels(*place).set(0)

    async def _make(self) -> None:
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                while not self._jobs.empty():
                    tasks.create_task(self._jobs.get_nowait())
                while self._busy < self._settings.creates_at_once:
                    attempt = self._turns.take(self._may)
                    if attempt is None:
                        break
                    attempt.occupies = attempt.tried = True
                    self._told(attempt)
                    self._busy += 1
                    tasks.create_task(self._take_turn(attempt))
                self._tell_why()
                self._count()
                at = self._backoff.next_at(clock())
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(at):
                        await self._wake.wait()

    def _may(self, shape: Hashable) -> bool:
        assert isinstance(shape, _Shape)
        amounts = None if shape.amounts is None else dict(shape.amounts)
        return self._backoff.may_try(shape.where, amounts, asyncio.get_running_loop().time())

    def _put(self, attempt: Attempt, shape: _Shape) -> None:
        self._turns.put(attempt.place, shape, attempt)
        self._wake.set()

    async def _take_turn(self, attempt: Attempt) -> None:
        try:
            await self._try(attempt)
        except NotLaunchable as refused:
            self._refuse(attempt, refused)
        except Exception as error:  # noqa: BLE001
            # The edge: an attempt that we cannot handle must neither hang nor take the others down.
            _log.exception("attempt.unhandled", execution=execution_of(attempt.key), node=attempt.key.node_id)
            self._refuse(
                attempt,
                NotLaunchable("LauncherError", f"the launcher failed: {error!r}", system=True, recoverable=True),
            )
        finally:
            attempt.tried = False
            self._busy -= 1
            self._wake.set()

    async def _try(self, attempt: Attempt) -> None:
        built = await self._built(attempt)
        if built is None:
            return
        where = _where(built.kind, attempt.namespace)
        amounts = quota.counted(built.kind, built.manifest)
        clock = asyncio.get_running_loop().time
        if not self._backoff.may_try(where, amounts, clock()):
            self._put_back(attempt, _Shape(where, frozenset(amounts.items())), self._backoff.reason(where))
            return
        self._backoff.trying(where, attempt, clock())
        try:
            made = await self._create(attempt, built)
        except ApiError as error:
            self._failed(attempt, where, _Shape(where, frozenset(amounts.items())), error)
            return
        except BaseException:
            self._backoff.given_up(where, attempt)
            raise
        self._backoff.succeeded(where, attempt)
        self._blocked_since.pop(where, None)
        self._turns.forgotten(attempt)
        _launch_seconds.observe(clock() - attempt.ordered_at)
        attempt.tried = False
        self._outcomes.made(attempt, made)

    async def _built(self, attempt: Attempt) -> Built | None:
        """Its object; None when it is to wait for what is needed to build it."""
        clock = asyncio.get_running_loop().time
        scheduled = attempt.order.scheduled
        assert scheduled is not None
        if not self._backoff.may_try(_STORE, None, clock()):
            self._put_back(attempt, _Shape(_STORE, None), self._backoff.reason(_STORE))
            return None
        self._backoff.trying(_STORE, attempt, clock())
        try:
            attempt.plugin, built = await self._building.build(scheduled.fact)
        except (BlobError, OSError, TimeoutError) as error:
            reason = f"the object store did not answer: {error}"
            self._backoff.refused(_STORE, attempt, clock(), reason)
            self._put_back(attempt, _Shape(_STORE, None), reason)
            return None
        except ApiError as error:
            where = _where(attempt.plugin.kind, attempt.namespace)
            self._backoff.given_up(_STORE, attempt)
            self._backoff.trying(where, attempt, clock())
            self._failed(attempt, where, _Shape(where, None), error)
            return None
        except BaseException:
            self._backoff.given_up(_STORE, attempt)
            raise
        self._backoff.succeeded(_STORE, attempt)
        return built

    async def _create(self, attempt: Attempt, built: Built) -> Object:
        """Make the object, or find the one that was made before. Raises `ApiError` and `NotLaunchable`."""
        await self._pace()
        scheduled = attempt.order.scheduled
        assert scheduled is not None
        if not await self._api.has(built.kind):
            raise dispatch.not_installed(scheduled.fact.task_type, built.kind)
        await self._credentials.keep(attempt.namespace)
        owner = await self._owners.reference(attempt.namespace, execution_of(attempt.key))
        marked = stamped(
            built, attempt.key, instance=self._instance, namespace=attempt.namespace, name=attempt.name, owner=owner
        )
        for kind, manifest in marked.before:
            if not await self._api.has(kind):
                raise queueing.not_installed(kind)
            try:
                await self._api.create(kind, attempt.namespace, manifest)
            except ApiRefused as error:
                if error.not_served:
                    raise queueing.not_installed(kind) from error
                if not error.already_exists:
                    raise
        try:
            return await self._api.create(marked.kind, attempt.namespace, marked.manifest)
        except ApiRefused as error:
            if error.not_served:
                # It was, when we asked; the answer need not say what is missing.
                raise dispatch.not_installed(scheduled.fact.task_type, built.kind) from error
            if not error.already_exists:
                raise
        found = await self._api.get(marked.kind, attempt.namespace, attempt.name)
        if key_in(found) != attempt.key or instance_of(found) != self._instance:
            raise NotLaunchable(
                "ObjectNameTaken",
                f"there is a {marked.kind.kind} {attempt.namespace}/{attempt.name} that is not this attempt's",
                system=True,
                recoverable=True,
            )
        return found

    def _failed(self, attempt: Attempt, where: Hashable, shape: _Shape, error: ApiError) -> None:
        clock = asyncio.get_running_loop().time
        meaning = refusal(error, namespace=attempt.namespace)
        attempt.perhaps_made = attempt.perhaps_made or not isinstance(error, ApiRefused)
        if meaning.outcome is Outcome.REFUSED:
            assert meaning.error is not None
            self._backoff.given_up(where, attempt)
            raise meaning.error
        no_namespace = isinstance(error, ApiRefused) and error.not_found
        if meaning.outcome is not Outcome.WAIT_A_WHILE:
            attempt.blocked_since = None
            self._blocked_since.pop(where, None)
        else:
            first = where not in self._blocked_since
            since = self._blocked_since.setdefault(where, clock())
            # One is tried for all that wait, and has waited for them.
            attempt.blocked_since = attempt.blocked_since or max(since, attempt.ordered_at)
            if no_namespace and attempt.namespace not in self._namespaces:
                self._namespaces.add(attempt.namespace)
                self._jobs.put_nowait(self._provide_namespace(attempt, at_once=first))
            if not no_namespace:
                # It may be this object's fault alone: the next try is another's.
                self._turns.forgotten(attempt)
            if meaning.error is not None and clock() - attempt.blocked_since > self._settings.patience_minutes * 60:
                self._backoff.given_up(where, attempt)
                raise meaning.error
        self._backoff.refused(
            where,
            attempt,
            clock(),
            meaning.reason,
            amounts=meaning.amounts,
            after_seconds=meaning.after_seconds,
            longest_seconds=None if isinstance(error, ApiRefused) else _UNREACHABLE_SECONDS,
        )
        self._put_back(attempt, shape, meaning.reason)

    def _put_back(self, attempt: Attempt, shape: _Shape, reason: str) -> None:
        if self._is_there(attempt):
            return
        self.leave(attempt)
        attempt.tried = False
        self._put(attempt, shape)
        self._outcomes.waits(attempt, reason)

    def _is_there(self, attempt: Attempt) -> bool:
        """Whether the watch told of its object, whatever its maker was told: then there is nothing left to do here."""
        if not attempt.followed:
            return False
        attempt.tried = False
        self._turns.forgotten(attempt)
        self._outcomes.made(attempt, None)
        return True

    def _refuse(self, attempt: Attempt, refused: NotLaunchable) -> None:
        if self._is_there(attempt):
            return
        self.leave(attempt)
        attempt.tried = False
        self._turns.forgotten(attempt)
        self._outcomes.refused(attempt, refused)

    async def _provide_namespace(self, attempt: Attempt, *, at_once: bool) -> None:
        self._credentials.forget(attempt.namespace)
        try:
            await self._make_namespace(*attempt.place)
        finally:
            self._namespaces.discard(attempt.namespace)
        if at_once:
            # Else it did not help the last time, or is nobody's concern here.
            self._backoff.reset(_where(attempt.plugin.kind, attempt.namespace))
            self._wake.set()

    async def _pace(self) -> None:
        """Wait until the next object may be made."""
        clock = asyncio.get_running_loop().time
        self._paced_until = max(self._paced_until, clock()) + 1 / self._settings.creates_per_second
        await asyncio.sleep(self._paced_until - 1 / self._settings.creates_per_second - clock())

    def _tell_why(self) -> None:
        """Say why those wait that have no turn: others are in flight, or one is tried for all."""
        now = asyncio.get_running_loop().time()
        for place, where in list(self._untold):
            if self._turns.is_full(place):
                reason = (
                    f"{self._settings.max_in_flight} attempts of {'-'.join(place)} are in flight, which is the limit"
                )
            else:
                blocks = [each for each in (_STORE, where) if not self._backoff.may_try(each, None, now)]
                reason = next((self._backoff.reason(each) for each in blocks if self._backoff.goes_on(each)), "")
            if reason:
                for attempt in self._untold.pop((place, where)):
                    self._outcomes.waits(attempt, reason)

    def _told(self, attempt: Attempt) -> None:
        """It waits no more, or is told otherwise what for."""
        untold = self._untold.get(_queue(attempt))
        if untold is not None:
            untold.pop(attempt, None)
            if not untold:
                del self._untold[_queue(attempt)]

    def _count(self) -> None:
        waiting = self._turns.waiting()
        for place in self._counted | {place for place in waiting if isinstance(place, tuple)}:
            _waiting.labels(*place).set(waiting.get(place, 0))
        self._counted = {place for place in waiting if isinstance(place, tuple)}


def _queue(attempt: Attempt) -> tuple[tuple[str, str], Hashable]:
    return attempt.place, _where(attempt.plugin.kind, attempt.namespace)


def _where(kind: Kind, namespace: str) -> Hashable:
    return kind.path(namespace)
