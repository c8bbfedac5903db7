"""The runtime of tasks that connectors run.

Orders are kept on the log with the name of the connector, until what came of them is there too; a launcher that starts
goes on with all of them.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog
from prometheus_client import Gauge, Histogram

from flightlog_blobs import BlobStore
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.connectors.discovery import Connectors
from services.k8s_launcher.connectors.lives import Life, Place
from services.k8s_launcher.connectors.reading import Reading
from services.k8s_launcher.connectors.requests import Requests
from services.k8s_launcher.connectors.settings import ConnectorSettings
from services.k8s_launcher.connectors.telling import observation
from services.k8s_launcher.history import History
from services.k8s_launcher.orders import Aborting, Order, Orders
from services.k8s_launcher.reporting import OBSERVATION_SECONDS, Reporting
from services.k8s_launcher.runtime import FINAL, AttemptKey, Origin, Report, Scheduled

_log = structlog.get_logger(__name__)
_attempts = Gauge("flightlog_connector_attempts", "Attempts that connectors run", ["connector"])
_seconds = Histogram(
    "flightlog_connector_observation_seconds",
    "From a connector's answer until the log has what it means",
    buckets=OBSERVATION_SECONDS,
)


class ConnectorRuntime:
    """Runs attempts by way of connectors; see the module's text. One that stopped is not started again."""

    def __init__(
        self,
        settings: ConnectorSettings,
        connectors: Connectors,
        requests: Requests,
        blobs: BlobStore,
        orders: Orders,
        history: History,
        report: Report,
    ) -> None:
        self._connectors = connectors
        self._history = history
        self._orders = orders
        self._report = report
        self._reporting = Reporting(report, _seconds)
        self._place = Place(settings, connectors, requests, blobs, orders, self._reporting)
        self._version = 0
        self._lives: dict[AttemptKey, Life] = {}
        self._finished: list[Order] = []
        """Orders of an earlier launcher whose ends are on the log already."""
        self._arrivals: asyncio.Queue[Life] = asyncio.Queue()

    @property
    def connectors(self) -> Connectors:
        return self._connectors

    def is_looked_after(self, key: AttemptKey) -> bool:
        """Whether an attempt is not over, as far as this launcher knows."""
        return key in self._lives

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        """Keep the order and have the task begun; nothing when it is known already. Raises `LogUnavailable`."""
        key = scheduled.key
        if key in self._lives:
            return
        connector = self._connectors.types.connector(scheduled.fact.task_type)
        order = await self._orders.keep(Order(key, scheduled, ran, connector=connector))
        if key not in self._lives:
            self._begin(order, None)

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        """Keep the order and have the task ended; one never seen is never begun. Raises `LogUnavailable`."""
        life = self._lives.get(key)
        if life is not None:
            await life.abort(Aborting(reason, origin))
            return
        # It is over, or never was: whoever asks waits for an end.
        self._version += 1
        observed = observation(key, Reading(AttemptObserved.KILLED, reason))
        observed.version = self._version
        await self._report(observed, origin)

    async def ended(self, project: str, domain: str, execution: str, at: datetime) -> None:
        """Nothing: what connectors made is theirs."""

    async def adopt(self) -> None:
        """Read what an earlier launcher has taken on, and ask the connectors what they run. Raises `LogUnavailable`."""
        self._version = await self._history.version()
        orders = [order async for order in self._orders.kept() if order.connector]
        for order, last in await self._history.told(orders):
            if last is not None and last.stage in FINAL:
                self._finished.append(order)
            elif order.key not in self._lives:
                self._begin(order, last)
        await self._connectors.ask()
        _log.info("connector_attempts.adopted", looked_after=len(self._lives), ended=len(self._finished))

    async def run(self) -> None:
        """Work until cancelled. Tasks go on where they are."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reporting.run())
                tasks.create_task(self._connectors.run())
                for order in self._finished:
                    tasks.create_task(self._orders.drop(order))
                self._finished.clear()
                while True:
                    tasks.create_task((await self._arrivals.get()).run())
        finally:
            for life in self._lives.values():
                _attempts.labels(life.counted_with).dec()

    def _begin(self, order: Order, last: AttemptObserved | None) -> None:
        version = max(self._version, last.version if last is not None else 0)
        life = Life(self._place, order, version=version, last=last, forget=self._forget)
        self._lives[order.key] = life
        self._arrivals.put_nowait(life)
        _attempts.labels(life.counted_with).inc()

    def _forget(self, key: AttemptKey) -> None:
        life = self._lives.pop(key)
        _attempts.labels(life.counted_with).dec()
