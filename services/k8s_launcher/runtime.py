"""What every runtime offers the launcher: start an attempt, stop one, take over what a predecessor started.

A runtime makes each order durable before it returns, so the message that carried it may be acknowledged; the work
itself goes on in the background. Attempts have names, and a name is launched once, however often it is ordered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved

FINAL = frozenset(
    {
        AttemptObserved.EXITED,
        AttemptObserved.NOT_LAUNCHED,
        AttemptObserved.KILLED,
        AttemptObserved.LOST,
        AttemptObserved.FAILED,
    }
)
"""Stages after which nothing is observed of an attempt."""


@dataclass(frozen=True, order=True)
class AttemptKey:
    """Names one attempt of one node of one execution."""

    project: str
    domain: str
    execution: str
    node_id: str
    attempt: int

    @staticmethod
    def of(scheduled: AttemptScheduled) -> AttemptKey:
        execution = scheduled.execution_id
        return AttemptKey(execution.project, execution.domain, execution.name, scheduled.node_id, scheduled.attempt)


Execution = tuple[str, str, str]
"""Project, domain, name."""


def execution_of(key: AttemptKey) -> Execution:
    """Which execution an attempt belongs to."""
    return key.project, key.domain, key.execution


@dataclass(frozen=True)
class Origin:
    """Which event asked for the attempt: what its observations name as their cause."""

    event_id: str
    correlation_id: str
    traceparent: str = ""


@dataclass(frozen=True)
class Scheduled:
    """An attempt to run, and the event that asked for it."""

    fact: AttemptScheduled
    origin: Origin

    @property
    def key(self) -> AttemptKey:
        return AttemptKey.of(self.fact)


Report = Callable[[AttemptObserved, Origin], Awaitable[None]]
"""Publishes one observation; returns when the log has it. Retries by itself while the log is away."""


class Runtime(Protocol):
    """A place where attempts run."""

    async def launch(self, scheduled: Scheduled, *, ran: bool = False) -> None:
        """See to it that the attempt runs. Durable when it returns; does nothing when the attempt is already known.

        `ran`: it was seen running before. When it is unknown nevertheless, it is reported lost and not started again.
        """
        ...

    async def abort(self, key: AttemptKey, reason: str, origin: Origin) -> None:
        """See to it that the attempt does not run any longer, or never starts. Durable when it returns."""
        ...

    async def ended(self, project: str, domain: str, execution: str, at: datetime) -> None:
        """The execution is over: what its attempts left behind is nobody's any more."""
        ...

    async def adopt(self) -> None:
        """Take over the attempts of an earlier launcher: follow what runs, start what waits, report what ended."""
        ...

    async def run(self) -> None:
        """Work until cancelled. Attempts that run then go on without us."""
        ...
