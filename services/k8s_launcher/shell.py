"""Between the log and the runtime: orders in, observations out.

Orders are facts of executions (`AttemptScheduled`, `AttemptAborting`); the runtime makes each durable, then the message
is acknowledged. Observations are published beside the executions' own subjects, named so that the same one said twice
is kept once; what they mean, the execution service decides.
"""

from __future__ import annotations

import asyncio
import errno
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

import structlog
from prometheus_client import Counter

from flightlog_log import Cause, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import (
    AttemptAborting,
    AttemptScheduled,
    ExecutionAborted,
    ExecutionFailed,
    ExecutionSucceeded,
)
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import Actor
from services.k8s_launcher.runtime import FINAL, AttemptKey, Origin, Runtime, Scheduled

SERVICE = "k8s-launcher"
DURABLE = "launcher"
_ENDS = ExecutionSucceeded, ExecutionFailed, ExecutionAborted
ORDERS = frozenset(fact.DESCRIPTOR.name for fact in (AttemptScheduled, AttemptAborting, *_ENDS))
_RETRY_SECONDS = 1.0
_OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)

# Executions of which it is kept what was observed before the launcher began.
_EXECUTIONS_KEPT = 64
_ORDERS_AT_ONCE = 16
_Observed = dict[tuple[str, int], set[AttemptObserved.Stage.ValueType]]
_NOTHING: frozenset[AttemptObserved.Stage.ValueType] = frozenset()

_log = structlog.get_logger(__name__)
_observed = Counter("flightlog_launcher_observations_total", "Observations published", ["stage"])


class Observer:
    """Publishes what was seen of attempts, for as long as it takes."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def report(self, observed: AttemptObserved, origin: Origin) -> None:
        """Publish one observation; returns when the log has it."""
        execution = observed.execution_id
        parts = (execution.project, execution.domain, execution.name)
        stage = AttemptObserved.Stage.Name(observed.stage)
        # Two that lead at once, for a moment, may count alike: what one says is not to hide what the other says. Ends
        # are the exception, since an attempt has one: an abort that came with the exit finds it said.
        what = "END" if observed.stage in FINAL else stage
        name = "/".join((*parts, observed.node_id, str(observed.attempt), str(observed.version), what))
        cause = Cause(
            Actor(subject=SERVICE, method="service"), origin.correlation_id, origin.event_id, origin.traceparent
        )
        while True:
            try:
                await self._log.publish(
                    Subject.of("LAUNCHER", *parts),
                    [observed],
                    cause=cause,
                    message_id=name,
                    occurred_at=observed.occurred_at.ToDatetime(),
                )
            except LogUnavailable as error:
                _log.warning("observation.delayed", observation=name, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            _observed.labels(stage).inc()
            return


class Launcher:
    """Follows the executions and passes their orders to a runtime."""

    def __init__(self, log: Log, runtime: Runtime, *, durable: str = DURABLE, max_in_flight: int = 512) -> None:
        self._log = log
        self._runtime = runtime
        self._durable = durable
        self._max_in_flight = max_in_flight
        self._begun_at = 0
        # What was observed of executions, as far as orders from before the beginning asked for it.
        self._observed: OrderedDict[str, _Observed] = OrderedDict()

    async def run(self) -> None:
        """Take orders until cancelled."""
        self._begun_at = await self._log.stream_sequence("EXECUTION")
        await self._log.consume("EXECUTION", self._durable, self.take, facts=ORDERS, max_in_flight=self._max_in_flight)

    async def take(self, recorded: Recorded) -> None:
        """Pass on the orders of one envelope, in its order; everything is durable when this returns."""
        envelope = recorded.envelope
        origin = Origin(recorded.event_id, envelope.correlation_id, envelope.traceparent)
        project, domain, name = Subject.parse(recorded.subject).parts
        try:
            observed = await self._observed_before(recorded)
            starting: list[Coroutine[Any, Any, None]] = []
            stopping: list[Coroutine[Any, Any, None]] = []
            for fact in recorded.facts:
                if isinstance(fact, AttemptScheduled) and not fact.in_engine:
                    await _together(stopping)
                    seen = observed.get((fact.node_id, fact.attempt), _NOTHING)
                    if seen.isdisjoint(FINAL):
                        ran = AttemptObserved.RUNNING in seen
                        starting.append(self._runtime.launch(Scheduled(fact, origin), ran=ran))
                elif isinstance(fact, AttemptAborting):
                    await _together(starting)
                    if observed.get((fact.node_id, fact.attempt), _NOTHING).isdisjoint(FINAL):
                        key = AttemptKey(project, domain, name, fact.node_id, fact.attempt)
                        stopping.append(self._runtime.abort(key, fact.reason, origin))
                elif isinstance(fact, _ENDS):
                    await _together(starting)
                    await _together(stopping)
                    await self._runtime.ended(project, domain, name, recorded.occurred_at)
            await _together(starting)
            await _together(stopping)
        except OSError as error:
            if error.errno in _OUT_OF_ROOM:
                # Not the order's fault: it is to wait, not to be parked.
                raise LogUnavailable(f"the order cannot be kept: {error}") from error
            raise

    async def _observed_before(self, recorded: Recorded) -> _Observed:
        """What was observed of an execution's attempts before this launcher began, or this message came before.

        Orders may come again after they were carried out: those from before the beginning, even all of them when our
        folder is a new one, and those that were parked or failed half-way. What comes for the first time is new.
        """
        if recorded.redelivered:
            self._observed.pop(recorded.subject, None)
        elif recorded.sequence > self._begun_at:
            return {}
        known = self._observed.get(recorded.subject)
        if known is None:
            known = self._observed[recorded.subject] = {}
            for observation in await self._log.load(Subject.of("LAUNCHER", *Subject.parse(recorded.subject).parts)):
                for item in observation.facts:
                    if isinstance(item, AttemptObserved):
                        known.setdefault((item.node_id, item.attempt), set()).add(item.stage)
            if len(self._observed) > _EXECUTIONS_KEPT:
                self._observed.popitem(last=False)
        return known


async def _together(orders: list[Coroutine[Any, Any, None]]) -> None:
    """Carries out orders that wait for nothing but the disk, some at a time. Empties the list."""
    while orders:
        some, orders[:] = orders[:_ORDERS_AT_ONCE], orders[_ORDERS_AT_ONCE:]
        for failure in await asyncio.gather(*some, return_exceptions=True):
            if failure is not None:
                for order in orders:
                    order.close()
                raise failure
