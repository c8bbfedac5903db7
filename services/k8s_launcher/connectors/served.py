"""Which connector runs tasks of a type (k8s-contract §5.7). Pure.

Who is asked first: what the operator says of the type, what connectors list, and the types that the default connector
is said to support. All versions of a type that are listed count, and of several connectors that list one the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flyteidl.admin import agent_pb2

from services.k8s_launcher.connectors.settings import DEFAULT, ConnectorSettings

Category = tuple[str, int]
"""Task type and version."""


@dataclass(frozen=True)
class Served:
    """Who runs tasks of a type and version."""

    connector: str
    is_sync: bool = False
    """The task runs while the connector is asked for it."""


class NotServed(Exception):
    """Nobody runs tasks of the type in this version."""


class Types:
    """What connectors said last. One that does not answer keeps what it said."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        self._listed: dict[str, Mapping[Category, bool]] = {name: {} for name in settings.all()}
        self._heard: set[str] = set()

    def heard(self, connector: str, agents: Iterable[agent_pb2.Agent]) -> bool:
        """A connector answered; whether the answer is new."""
        found: dict[Category, bool] = {}
        for agent in agents:
            for category in agent.supported_task_categories:
                found[category.name, category.version] = agent.is_sync
            if not agent.supported_task_categories:
                # Those of before categories.
                found.update({(name, 0): agent.is_sync for name in agent.supported_task_types})
        changed = found != self._listed[connector]
        self._listed[connector] = found
        self._heard.add(connector)
        return changed

    def has_heard(self, connector: str) -> bool:
        """Whether a connector has answered since this launcher began. One that is not set has nothing to say."""
        return connector in self._heard or connector not in self._listed

    def listed(self, connector: str) -> list[str]:
        """The types that a connector lists, with versions other than 0."""
        return sorted(f"{name} v{version}" if version else name for name, version in self._listed[connector])

    def connector(self, task_type: str) -> str:
        """Name of the connector that runs tasks of a type, in whatever version; empty: none does."""
        named = self.named(task_type)
        if named:
            return named
        for connector, categories in self._listed.items():
            if any(name == task_type for name, _ in categories):
                return connector
        return DEFAULT if task_type in self._settings.supported_task_types else ""

    def named(self, task_type: str) -> str:
        """Name of the connector that the operator chose for a type; empty: he did not."""
        return self._settings.connector_for_task_types.get(task_type, "")

    def find(self, task_type: str, version: int) -> Served:
        """Who runs tasks of a type in a version. Raises `NotServed`."""
        named = self.named(task_type)
        for connector in (named,) if named else self._listed:
            is_sync = self._listed[connector].get((task_type, version))
            if is_sync is not None:
                return Served(connector, is_sync)
        if named:
            return Served(named)
        if task_type in self._settings.supported_task_types:
            return Served(DEFAULT)
        versions = sorted(
            listed for categories in self._listed.values() for name, listed in categories if name == task_type
        )
        if not versions:
            raise NotServed(f"no connector runs tasks of type {task_type!r}")
        texts = ", ".join(map(str, versions))
        raise NotServed(f"connectors run tasks of type {task_type!r} in version {texts}, and this is version {version}")
