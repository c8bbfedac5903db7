"""What of an execution's history others are told about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from flyteidl.core.execution_pb2 import ExecutionError
from google.protobuf.message import Message

from flightlog_protos.execution.v1.facts_pb2 import (
    AbortRequested,
    ExecutionAborted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionStarted,
    ExecutionSucceeded,
)

PHASES: Final[Mapping[type[Message], str]] = {
    ExecutionCreated: "QUEUED",
    ExecutionStarted: "RUNNING",
    ExecutionSucceeded: "SUCCEEDED",
    ExecutionFailed: "FAILED",
    ExecutionAborted: "ABORTED",
}
"""The phase that an execution is in after a fact. None ends TIMED_OUT: one whose time is over has FAILED."""

TERMINAL: Final = frozenset({"SUCCEEDED", "FAILED", "ABORTED"})
END_FACTS: Final = frozenset(fact.DESCRIPTOR.name for fact, phase in PHASES.items() if phase in TERMINAL)
"""Short names of the facts that end an execution."""


@dataclass(frozen=True, slots=True)
class ExecutionEvent:
    """An execution came into a phase."""

    event_id: str
    """Of the envelope that says so."""
    created: ExecutionCreated
    phase: str
    happened_at: datetime
    error: ExecutionError | None = None
    abort: AbortRequested | None = None
    """Why it was aborted, for those who hear of it."""
    traceparent: str = ""

    @property
    def name(self) -> str:
        """In lower case, as in Flyte's mails and in the types of CloudEvents."""
        return self.phase.lower()


def event_of(
    event_id: str,
    fact: Message,
    created: ExecutionCreated,
    *,
    traceparent: str = "",
) -> ExecutionEvent | None:
    """The event that a fact is, or None.

    Args:
        event_id: of the fact's envelope.
        created: the execution's first fact.
    """
    phase = PHASES.get(type(fact))
    if phase is None:
        return None
    stamp = fact.created_at if isinstance(fact, ExecutionCreated) else getattr(fact, "occurred_at")  # noqa: B009  # typed as Message
    error = fact.error if isinstance(fact, ExecutionFailed) else None
    moment: datetime = stamp.ToDatetime(UTC)
    return ExecutionEvent(event_id, created, phase, moment, error, traceparent=traceparent)


def delivery_id(event_id: str, sink: str, part: str) -> str:
    """The id under which a sink is told of an event: the same whenever it is made again.

    Args:
        part: tells apart what comes of the same envelope.
    """
    return str(uuid5(NAMESPACE_OID, "/".join(("flightlog", "delivery", event_id, sink, part))))
