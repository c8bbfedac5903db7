"""What the log says of executions: what was observed of their attempts, and whether they are over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from flightlog_log import Log, PayloadMissing, Subject, Undecodable
from flightlog_protos.execution.v1.facts_pb2 import (
    ExecutionAborted,
    ExecutionDeleted,
    ExecutionFailed,
    ExecutionSucceeded,
)
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.k8s_launcher.orders import Order
from services.k8s_launcher.runtime import Execution, execution_of

_AT_ONCE = 16
_log = structlog.get_logger(__name__)

# Clients are told versions as numbers of 32 bits; what is left is for the attempts to count in.
_LARGEST = 2**31 - 2**24


def version_after(observations: int) -> int:
    """The version that one counts on from who begins when there are so many observations.

    After some two thousand millions it stays the same: who follows an attempt goes on from its last version anyway.
    """
    return min(observations, _LARGEST)


class History:
    """Reads the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def version(self) -> int:
        """A number that all versions of observations so far are not above. Raises `LogUnavailable`."""
        return version_after(await self._log.stream_sequence("LAUNCHER"))

    async def observed(self, execution: Execution) -> Mapping[tuple[str, int], AttemptObserved]:
        """The newest observation of each attempt, by node and number. Raises what `Log.load` does."""
        newest: dict[tuple[str, int], AttemptObserved] = {}
        for record in await self._log.load(Subject.of("LAUNCHER", *execution)):
            for fact in record.facts:
                if isinstance(fact, AttemptObserved):
                    key = fact.node_id, fact.attempt
                    if key not in newest or newest[key].version < fact.version:
                        newest[key] = fact
        return newest

    async def told(self, orders: Sequence[Order]) -> list[tuple[Order, AttemptObserved | None]]:
        """Orders that were kept, each with what was observed of its attempt last. Raises `LogUnavailable`.

        Where that cannot be read the order says that the attempt ran: for all anybody knows it did.
        """
        limit = asyncio.Semaphore(_AT_ONCE)

        async def observed(execution: Execution) -> Mapping[tuple[str, int], AttemptObserved] | None:
            async with limit:
                try:
                    return await self.observed(execution)
                except (PayloadMissing, Undecodable) as error:
                    # Others are not to wait for it.
                    _log.error("history.unreadable", execution="/".join(execution), error=str(error))
                    return None

        executions = list(dict.fromkeys(execution_of(order.key) for order in orders))
        histories = dict(zip(executions, await asyncio.gather(*map(observed, executions)), strict=True))
        told: list[tuple[Order, AttemptObserved | None]] = []
        for order in orders:
            history = histories[execution_of(order.key)]
            if history is None:
                told.append((replace(order, ran=True), None))
            else:
                told.append((order, history.get((order.key.node_id, order.key.attempt))))
        return told

    async def ended_at(self, execution: Execution) -> datetime | None:
        """When an execution ended, or was deleted; None: it has not. Raises what `Log.load` does."""
        for record in reversed(await self._log.load(Subject.of("EXECUTION", *execution))):
            for fact in record.facts:
                if isinstance(fact, ExecutionSucceeded | ExecutionFailed | ExecutionAborted | ExecutionDeleted):
                    return record.occurred_at
        return None
