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

DURABLE = "deletion-scheduler"
"""Consumers with such a name wait for all others, and for none of their own kind."""
_KIND = "deletion-"
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
        behind = await self._log.consumers_behind(subjects.EXECUTION, recorded.sequence)
        behind = [name for name in behind if not name.startswith(_KIND)]
        if behind:
            raise LogUnavailable(f"{recorded.subject} is still needed by {', '.join(behind)}")
        cause = Cause.service(SERVICE, recorded)
        pattern = execution_subjects("scheduler.*.delivery.*", *Subject.parse(recorded.subject).parts)
        for subject in await self._log.subjects(subjects.SCHEDULER, pattern):
            key = subjects.key_of(subject)
            if key is not None:
                await self._queues.forget(key, cause)
                await self._log.erase(subject, before=await self._log.last_sequence(subject))
                await self._log.erase_parked([subject])
