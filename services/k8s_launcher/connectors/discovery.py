"""The connectors that the operator named: connections to them, and which types they run, asked again and again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType

import structlog
from prometheus_client import Gauge

from services.k8s_launcher.connectors.client import Connector, ConnectorError
from services.k8s_launcher.connectors.served import Types
from services.k8s_launcher.connectors.settings import ConnectorSettings

_log = structlog.get_logger(__name__)
_answers = Gauge("flightlog_connector_up", "Whether a connector last said which types it runs", ["connector"])
_types = Gauge("flightlog_connector_task_types", "Types that a connector runs, by what it said last", ["connector"])


class Connectors:
    """All connectors. Use it in `async with`."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._by_name: dict[str, Connector] = {}
        self.types = Types(settings)

    async def __aenter__(self) -> Connectors:
        for name, endpoint in self._settings.all().items():
            connector = Connector(name, endpoint, calls_at_once=self._settings.calls_at_once)
            self._stack.push_async_callback(connector.close)
            self._by_name[name] = connector
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def get(self, name: str) -> Connector | None:
        """The connector of a name; None when the settings have none."""
        return self._by_name.get(name)

    async def ask(self) -> None:
        """Asks all of them once. What one says that does not answer stays as it was."""
        await asyncio.gather(*map(self._ask, self._by_name.values()))

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(self._settings.list_interval_seconds)
            await self.ask()

    async def _ask(self, connector: Connector) -> None:
        name = connector.name
        try:
            agents = await connector.agents()
        except ConnectorError as error:
            _log.warning("connector.silent", connector=name, error=str(error))
            _answers.labels(name).set(0)
            return
        _answers.labels(name).set(1)
        if self.types.heard(name, agents):
            listed = self.types.listed(name)
            _types.labels(name).set(len(listed))
            _log.info("connector.lists", connector=name, types=listed)
