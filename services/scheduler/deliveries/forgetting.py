"""What becomes of the deliveries of a deleted execution: their queues are emptied for good, and what they said erased.

The queues stay, with one fact that says so. Whoever is to deliver something of the execution has had its last envelopes
by then.
"""

from __future__ import annotations

from flightlog_log import Cause, Log, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted
from services.scheduler.deliveries import subjects
from services.scheduler.deliveries.executions import execution_subjects
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.sending import SERVICE
from services.scheduler.deliveries.sources import DURABLE as SOURCES

DURABLE = "deletion-scheduler"
"""No consumer waits for one whose name begins like this."""
_AT_ONCE = 8


class Forgetting:
    """Follows the deletion of executions."""

    def __init__(self, log: Log, queues: Queues) -> None:
        self._log = log
        self._queues = queues

    async def run(self) -> None:
        """Forget until cancelled."""
        facts = frozenset({ExecutionDeleted.DESCRIPTOR.name})
        await self._log.consume(subjects.EXECUTION, DURABLE, self.take, facts=facts, max_in_flight=_AT_ONCE)

    async def take(self, recorded: Recorded) -> None:
        """Empty the queues of one execution. Raises `LogUnavailable` as long as something may still come into them."""
        parts = Subject.parse(recorded.subject).parts
        told = await self._log.last_sequence(Subject.of(subjects.CATALOG, "lineage", *parts))
        for stream, sequence in ((subjects.EXECUTION, recorded.sequence), (subjects.CATALOG, told)):
            # Whoever else is behind, of a service that was removed say, puts nothing into them.
            if SOURCES in await self._log.consumers_behind(stream, sequence):
                raise LogUnavailable(f"{recorded.subject}: what is to be delivered of it is not all known yet")
        cause = Cause.service(SERVICE, recorded)
        pattern = execution_subjects("scheduler.*.delivery.*", *parts)
        for subject in await self._log.subjects(subjects.SCHEDULER, pattern):
            key = subjects.key_of(subject)
            if key is not None:
                await self._queues.forget(key, cause)
                await self._log.erase(subject, before=await self._log.last_sequence(subject))
                await self._log.erase_parked([subject])
