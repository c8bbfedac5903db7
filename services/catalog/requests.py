"""What may be asked of an entry of the cache, and who asks: nodes, clients outside, operators, the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import CachedResult


class Asker(NamedTuple):
    """A node of an execution."""

    project: str
    domain: str
    execution: str
    node_id: str

    @staticmethod
    def of(node: NodeExecutionIdentifier) -> Asker:
        execution = node.execution_id
        return Asker(execution.project, execution.domain, execution.name, node.node_id)

    @property
    def identifier(self) -> NodeExecutionIdentifier:
        execution = WorkflowExecutionIdentifier(project=self.project, domain=self.domain, name=self.execution)
        return NodeExecutionIdentifier(execution_id=execution, node_id=self.node_id)


class Owner(NamedTuple):
    """A client outside that holds the reservation."""

    name: str
    expires_at: Timestamp

    def expired(self, at: Timestamp) -> bool:
        return self.expires_at.ToNanoseconds() <= at.ToNanoseconds()


@dataclass(frozen=True, slots=True)
class LookUp:
    """Is there a result?"""

    asker: Asker


@dataclass(frozen=True, slots=True)
class Reserve:
    """Is there a result, and if not: am I the one to make it?"""

    asker: Asker


@dataclass(frozen=True, slots=True)
class Put:
    """Here is a result. Without an asker it comes from outside, and nobody but those who wait is told."""

    asker: Asker | None
    result: CachedResult
    overwrites: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """I make no result, and wait for none."""

    asker: Asker


@dataclass(frozen=True, slots=True)
class Change:
    """The artifact has other data now, wherever it is the result in an earlier revision."""

    result: CachedResult


@dataclass(frozen=True, slots=True)
class Claim:
    """A client outside wants the reservation, or holds it and is still there."""

    owner: str
    heartbeat: timedelta | None = None


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A client outside needs the reservation no more."""

    owner: str


@dataclass(frozen=True, slots=True)
class Check:
    """Is whoever holds the reservation still there? `gone`: a node whose execution is over, or never was."""

    gone: Asker | None = None


@dataclass(frozen=True, slots=True)
class Evict:
    """Nobody is to find the result any more. A pinned one stays unless `pinned_too`; so does one of another
    `artifact_id`, where that is given.
    """

    reason: str = ""
    artifact_id: str = ""
    pinned_too: bool = False


@dataclass(frozen=True, slots=True)
class Pin:
    """The result is to stay, if it is that of `artifact_id`, where that is given."""

    reason: str = ""
    artifact_id: str = ""


@dataclass(frozen=True, slots=True)
class Unpin:
    """The result may go again."""

    artifact_id: str = ""


NodeRequest = LookUp | Reserve | Put | Release
Request = NodeRequest | Change | Claim | GiveBack | Check | Evict | Pin | Unpin
