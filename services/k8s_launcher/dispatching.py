"""Which runtime runs an attempt: connectors those of the task types that they serve, the launcher's own all others
(k8s-contract §0, §5).

What the launcher runs itself goes before what a connector merely lists, and what the operator says of a type before
both. An attempt stays where it was ordered first, whatever connectors say later.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Protocol

from flightlog_blobs import BlobStore
from flightlog_log import Log
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_service import running
from services.k8s_launcher.connectors.discovery import Connectors
from services.k8s_launcher.connectors.requests import Requests
from services.k8s_launcher.connectors.runtime import ConnectorRuntime
from services.k8s_launcher.connectors.served import Types
from services.k8s_launcher.connectors.settings import ConnectorSettings
from services.k8s_launcher.history import History
from services.k8s_launcher.orders import Orders
from services.k8s_launcher.runtime import AttemptKey, Origin, Report, Runtime, Scheduled

CONTAINER_TYPES: Final = frozenset({"container", "python-task", "raw-container", "sidecar"})
"""Types of tasks that are containers, which every launcher runs itself."""


class OwnRuntime(Runtime, Protocol):
    """The runtime that a launcher has besides connectors."""

    def is_looked_after(self, key: AttemptKey) -> bool:
        """Whether an attempt is not over, as far as this launcher knows."""
        ...


class DispatchingRuntime:
    """Connectors and the launcher's own runtime as one. Make one with `with_connectors`."""

    def __init__(self, connectors: ConnectorRuntime, own: OwnRuntime, own_types: Collection[str]) -> None:
        self._connectors = connectors
        self._own = own
        self._own_types = own_types

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        """Pass the order on. Raises what the runtimes raise."""
        await self._of(scheduled).launch(scheduled, ran=ran)

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        """Pass the order on. Raises what the runtimes raise."""
        runtime = self._connectors if self._connectors.is_looked_after(key) else self._own
        await runtime.abort(key, reason, origin)

    async def ended(self, project: str, domain: str, execution: str, at: datetime) -> None:
        """Pass it on."""
        await self._connectors.ended(project, domain, execution, at)
        await self._own.ended(project, domain, execution, at)

    async def adopt(self) -> None:
        """Take over what earlier launchers began, in both. Raises what the runtimes raise."""
        await self._own.adopt()
        await self._connectors.adopt()

    async def run(self) -> None:
        """Work until cancelled."""
        async with running(self._connectors.run()):
            await self._own.run()

    def _of(self, scheduled: Scheduled) -> Runtime:
        if self._connectors.is_looked_after(scheduled.key):
            return self._connectors
        if self._own.is_looked_after(scheduled.key):
            return self._own
        types = self._connectors.connectors.types
        return self._connectors if goes_to_connectors(scheduled.fact, types, self._own_types) else self._own


def goes_to_connectors(fact: AttemptScheduled, types: Types, own_types: Collection[str]) -> bool:
    """Whether an attempt that is ordered for the first time is a connector's."""
    task_type = fact.task_type
    return bool(types.named(task_type) if task_type in own_types else types.connector(task_type))


@asynccontextmanager
async def with_connectors(
    settings: ConnectorSettings,
    own: OwnRuntime,
    own_types: Collection[str],
    requests: Requests,
    *,
    log: Log,
    blobs: BlobStore,
    report: Report,
) -> AsyncGenerator[DispatchingRuntime]:
    """A launcher's own runtime, and connectors for what it does not run itself.

    Also where no connector is set: there may be tasks from when there was one.
    """
    async with Connectors(settings) as connectors:
        runtime = ConnectorRuntime(settings, connectors, requests, blobs, Orders(log), History(log), report)
        yield DispatchingRuntime(runtime, own, own_types)
