"""The life of one attempt that a connector runs: ask it to begin the task, look at it again and again, tell what came
of it.

What the connector answers to the beginning is kept with the order before anything else is done, so every later
launcher asks for the same task. Nothing in the protocol lets a task be begun exactly once: a launcher that is killed
between the question and the keeping of its answer leaves a task that nobody knows of, and its successor begins
another, under the same name (as Flyte does).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import structlog
from flyteidl.admin import agent_pb2
from flyteidl.core import execution_pb2, literals_pb2
from grpc import StatusCode

from flightlog_blobs import BlobError, BlobStore
from flightlog_log import LogUnavailable
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.aborting import Aborted, until_abort
from services.k8s_launcher.connectors.client import Connector, ConnectorError, Unreachable
from services.k8s_launcher.connectors.discovery import Connectors
from services.k8s_launcher.connectors.pauses import between_looks, between_tries
from services.k8s_launcher.connectors.reading import FAILED, Reading, Unreadable, failure, read
from services.k8s_launcher.connectors.requests import Request, Requests
from services.k8s_launcher.connectors.served import NotServed, Served
from services.k8s_launcher.connectors.settings import ConnectorSettings
from services.k8s_launcher.connectors.telling import Account
from services.k8s_launcher.kubernetes.api_errors import ApiError
from services.k8s_launcher.orders import Aborting, Order, Orders
from services.k8s_launcher.reporting import Reporting
from services.k8s_launcher.runtime import FINAL, AttemptKey
from services.k8s_launcher.task_templates import NotLaunchable

_GIVEN_UP: Final = "AutoRefreshCacheFailed"
_UNAVAILABLE: Final = "ConnectorUnavailable"
_SYSTEM: Final = execution_pb2.ExecutionError.SYSTEM
_CONNECT_SECONDS: Final = 2.0
_LAST_WORD_SECONDS: Final = 5.0
_STORE_AWAY: Final = (BlobError, ApiError, OSError, TimeoutError)

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Place:
    """What all attempts of connectors share."""

    settings: ConnectorSettings
    connectors: Connectors
    requests: Requests
    blobs: BlobStore
    orders: Orders
    reporting: Reporting


class _NotYet(Exception):
    """What is needed is not there, and may come."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Life:
    """One attempt while this launcher looks after it."""

    def __init__(
        self,
        place: Place,
        order: Order,
        *,
        version: int,
        last: AttemptObserved | None,
        forget: Callable[[AttemptKey], None],
    ) -> None:
        self.order = order
        self.over = False
        """What is said of it last is on its way."""
        self._place = place
        self.counted_with = order.connector
        """The connector that it was ordered of."""
        self._account = Account(order.key, version=version, last=last)
        self._forget = forget
        self._keeping = asyncio.Lock()
        self._aborted = asyncio.Event()
        if order.aborting is not None:
            self._aborted.set()

    async def abort(self, aborting: Aborting) -> None:
        """Have the task ended. Durable when it returns. Raises `LogUnavailable`."""
        async with self._keeping:
            if self.over or self.order.aborting is not None:
                return
            self.order = await self._place.orders.keep(replace(self.order, aborting=aborting))
        self._aborted.set()

    async def run(self) -> None:
        """Live until the end is on its way to the log. Cancelled: the task goes on, for the next launcher to follow."""
        try:
            await self._live()
        except Exception as error:  # noqa: BLE001
            # The edge of a task: an attempt that we cannot handle must neither hang nor take the launcher down.
            _log.exception("attempt.unhandled", **self._names())
            self._say(failure("RuntimeFailure", f"the launcher failed: {error!r}", recoverable=True, kind=_SYSTEM))

    async def _live(self) -> None:
        fresh = self.order.resource_meta is None
        if fresh:
            if self.order.ran:
                self._say(Reading(AttemptObserved.LOST, "nobody knows what the connector was to be asked for"))
                return
            try:
                served, request = await until_abort(self._aborted, self._patiently(self._prepared))
            except Aborted:
                self._killed()
                return
            except NotLaunchable as refused:
                reason = refused.message.partition("\n")[0]
                self._say(Reading(AttemptObserved.NOT_LAUNCHED, reason, refused.error(), refused.recoverable))
                return
            if served.is_sync:
                await self._execute(served, request)
                return
            # From here on even its abort needs the connector's answer: what was begun has to be ended.
            if not await _to_the_end(self._begin(served, request)):
                return
        try:
            await until_abort(self._aborted, self._follow(fresh))
        except Aborted:
            await self._remove()

    async def _prepared(self) -> tuple[Served, Request]:
        """Who is to be asked, and what. Raises `_NotYet` and `NotLaunchable`."""
        assert self.order.scheduled is not None
        request = await self._place.requests.request(self.order.scheduled.fact)
        template = request.template
        try:
            served = self._place.connectors.types.find(template.type, template.task_type_version)
        except NotServed as error:
            if not self._place.connectors.types.has_heard(self.order.connector):
                raise _NotYet(
                    _UNAVAILABLE, f"{error}; {self.order.connector!r} has not said yet what it runs"
                ) from None
            raise NotLaunchable("TaskTypeUnknown", str(error)) from None
        connector = self._place.connectors.get(served.connector)
        seconds = min(_CONNECT_SECONDS, self._place.settings.patience_seconds)
        if connector is None or not await connector.is_reachable(seconds):
            raise _NotYet(_UNAVAILABLE, f"the connector {served.connector!r} cannot be reached")
        return served, request

    async def _patiently(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """The result of something that needs others, waited for. Raises `NotLaunchable`."""
        loop = asyncio.get_running_loop()
        deadline, tries = loop.time() + self._place.settings.patience_seconds, 0
        while True:
            try:
                return await work()
            except _NotYet as error:
                code, why = error.code, str(error)
            except _STORE_AWAY as error:
                code, why = "ObjectStoreUnavailable", f"the task's data cannot be read: {error}"
            if self.order.resource_meta is None:
                self._say(Reading(AttemptObserved.WAITING_FOR_RESOURCES, why))
            if loop.time() > deadline:
                raise NotLaunchable(code, why, system=True, recoverable=True)
            await asyncio.sleep(between_tries(tries))
            tries += 1

    async def _begin(self, served: Served, request: Request) -> bool:
        """Have the task begun, and keep what the connector calls it. False: it has failed."""
        connector = self._connector(served.connector)
        try:
            meta = await connector.create(request.create())
        except ConnectorError as error:
            self._say(_not_begun(error))
            return False
        async with self._keeping:
            while True:
                order = replace(self.order, connector=served.connector, resource_meta=meta)
                try:
                    self.order = await self._place.orders.keep(order)
                    break
                except LogUnavailable as error:
                    _log.warning("connector.answer_delayed", error=str(error), **self._names())
                await asyncio.sleep(1.0)
        self._say(Reading(AttemptObserved.QUEUED, "launched"))
        return True

    async def _execute(self, served: Served, request: Request) -> None:
        """Have the task run while it is waited for."""
        self._say(Reading(AttemptObserved.RUNNING, "the connector runs it"))
        connector = self._connector(served.connector)
        try:
            reading = read(await until_abort(self._aborted, connector.execute(request.header(), request.inputs)))
        except Aborted:
            self._killed()
            return
        except ConnectorError as error:
            reading = _not_begun(error)
        except Unreadable as error:
            reading = failure(FAILED, str(error), recoverable=True)
        if reading.stage not in FINAL:
            name = AttemptObserved.Stage.Name(reading.stage)
            reading = failure(FAILED, f"the connector answered {name}, and no result", recoverable=True)
        await self._finish(reading)

    async def _follow(self, fresh: bool) -> None:
        """Look at the task until it is over."""
        settings, loop = self._place.settings, asyncio.get_running_loop()
        try:
            category = await self._patiently(self._category)
        except NotLaunchable as refused:
            self._say(Reading(AttemptObserved.FAILED, refused.message, refused.error(), refused.recoverable))
            return
        began, failures, away_since = loop.time(), 0, None
        # One that an earlier launcher had begun is looked at at once.
        pause = settings.first_poll_seconds if fresh else 0.0
        while True:
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            try:
                reading = read(await self._get(category))
            except Unreachable as error:
                away_since = away_since or loop.time()
                if loop.time() - away_since > settings.patience_seconds:
                    self._say(failure(_GIVEN_UP, f"the task cannot be looked at: {error}", recoverable=False))
                    return
                self._remark(str(error))
                pause = min(settings.first_poll_seconds * 2, settings.poll_interval_seconds)
                continue
            except (ConnectorError, Unreadable) as error:
                failures, away_since = failures + 1, None
                if failures > settings.max_consecutive_failures:
                    message = f"the task could not be looked at {failures} times in a row: {error}"
                    self._say(failure(_GIVEN_UP, message, recoverable=False))
                    return
                self._remark(str(error))
                pause = min(settings.first_poll_seconds * 2**failures, settings.poll_interval_seconds)
                continue
            failures, away_since = 0, None
            if reading.stage in FINAL:
                await self._finish(reading)
                return
            self._say(reading)
            pause = between_looks(loop.time() - began, settings)

    async def _get(self, category: agent_pb2.TaskCategory) -> agent_pb2.Resource:
        assert self.order.scheduled is not None
        request = agent_pb2.GetTaskRequest(
            task_type=category.name,
            task_category=category,
            resource_meta=self.order.resource_meta,
            output_prefix=self.order.scheduled.fact.output_prefix,
        )
        return await self._connector(self.order.connector).get(request)

    async def _category(self) -> agent_pb2.TaskCategory:
        assert self.order.scheduled is not None
        template = await self._place.requests.templates.template(self.order.scheduled.fact)
        return agent_pb2.TaskCategory(name=template.type, version=template.task_type_version)

    async def _remove(self) -> None:
        """End the task, as was ordered."""
        settings, loop = self._place.settings, asyncio.get_running_loop()
        deadline, tries, failures = loop.time() + settings.patience_seconds, 0, 0
        why = ""
        try:
            category = await self._patiently(self._category)
        except NotLaunchable as refused:
            self._killed(refused.message)
            return
        request = agent_pb2.DeleteTaskRequest(
            task_type=category.name, task_category=category, resource_meta=self.order.resource_meta
        )
        while failures <= settings.max_consecutive_failures and loop.time() < deadline:
            try:
                await self._connector(self.order.connector).delete(request)
            except ConnectorError as error:
                why = str(error)
                failures += not isinstance(error, Unreachable)
                _log.warning("connector.delete_failed", error=why, **self._names())
            else:
                self._killed()
                return
            await asyncio.sleep(between_tries(tries))
            tries += 1
        _log.error("connector.task_left_behind", error=why, **self._names())
        self._killed(why)

    async def _finish(self, reading: Reading) -> None:
        """Write what the connector answered as outputs, then say that it is over."""
        if reading.outputs is not None:
            try:
                await self._patiently(lambda: self._write(reading.outputs))
            except NotLaunchable as refused:
                reading = Reading(AttemptObserved.FAILED, refused.message, refused.error(), refused.recoverable)
        self._say(reading)

    async def _write(self, outputs: literals_pb2.LiteralMap | None) -> None:
        assert self.order.scheduled is not None
        assert outputs is not None
        fact = self.order.scheduled.fact
        uri = f"{fact.results_prefix or fact.output_prefix}/outputs.pb"
        await self._place.blobs.put(uri, outputs.SerializeToString())

    def _connector(self, name: str) -> Connector:
        connector = self._place.connectors.get(name)
        if connector is None:
            raise Unreachable(name, "GetTask", StatusCode.UNAVAILABLE, "no connector of this name is set")
        return connector

    def _killed(self, but: str = "") -> None:
        aborting = self.order.aborting
        assert aborting is not None
        reason = f"{aborting.reason}; its connector did not end it: {but}" if but else aborting.reason
        self._say(Reading(AttemptObserved.KILLED, reason))

    def _remark(self, reason: str) -> None:
        """Say why nothing is known of how it goes now."""
        _log.warning("connector.get_failed", error=reason, **self._names())
        self._say(self._account.with_reason(reason.partition("\n")[0]))

    def _say(self, reading: Reading) -> None:
        observed = self._account.next(reading, asyncio.get_running_loop().time()) if not self.over else None
        if observed is None:
            return
        if reading.stage not in FINAL:
            self._place.reporting.send(self.order.key, observed, self.order.origin)
            return
        self.over = True

        async def then() -> None:
            async with self._keeping:
                await self._place.orders.drop(self.order)
            self._forget(self.order.key)

        self._place.reporting.send(self.order.key, observed, self.order.origin, then)

    def _names(self) -> dict[str, Any]:
        key = self.order.key
        execution = f"{key.project}/{key.domain}/{key.execution}"
        return {"execution": execution, "node": key.node_id, "attempt": key.attempt, "connector": self.order.connector}


async def _to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of work that is not broken off when the launcher stops, unless it takes long."""
    doing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait((doing,), timeout=_LAST_WORD_SECONDS)
        doing.cancel()
        raise


def _not_begun(error: ConnectorError) -> Reading:
    """What it means that a connector did not begin a task: the user's matter, unless the connector is gone."""
    message = f"the task could not be begun: {error}"
    if isinstance(error, Unreachable):
        return failure(_UNAVAILABLE, message, recoverable=True, kind=_SYSTEM)
    return failure(FAILED, message, recoverable=True)
