"""What the registry decided about launch plans, read from its subjects on the log."""

from __future__ import annotations

from flyteidl.admin.launch_plan_pb2 import LaunchPlanSpec
from flyteidl.core.identifier_pb2 import Identifier

from flightlog_log import Head, Log, Recorded
from flightlog_protos.registry.v1.facts_pb2 import LaunchPlanActivated, LaunchPlanDeactivated, LaunchPlanRegistered
from services.scheduler import subjects
from services.scheduler.schedules.position import ScheduleKey

Activation = LaunchPlanActivated | LaunchPlanDeactivated


class LaunchPlans:
    """Reads of the registry's facts. All raise `LogUnavailable`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def spec(self, launch_plan: Identifier) -> LaunchPlanSpec | None:
        """The spec of a version; None when there is none of this identifier."""
        subject = subjects.version(launch_plan)
        records = [] if subject is None else await self._log.load(subject)
        for record in records:
            for fact in record.facts:
                if isinstance(fact, LaunchPlanRegistered):
                    return fact.spec
        return None

    async def active(self, key: ScheduleKey) -> Identifier | None:
        """The active version of a name; None when none is, or nobody knows the name."""
        subject = subjects.activation(key)
        record = None if subject is None else await self._log.last(subject)
        fact = None if record is None else decided(record)
        return fact.id if isinstance(fact, LaunchPlanActivated) else None

    async def last_activation(self, key: ScheduleKey) -> int:
        """Sequence in the stream REGISTRY of what was decided last about a name; 0 when nothing was."""
        subject = subjects.activation(key)
        return 0 if subject is None else await self._log.last_sequence(subject)

    async def activations(self, key: ScheduleKey, after: int) -> list[Recorded]:
        """What was decided about a name behind a sequence of the stream REGISTRY, in order."""
        subject = subjects.activation(key)
        return [] if subject is None else await self._log.load(subject, after=Head(after, 0, b""))


def decided(record: Recorded) -> Activation | None:
    """What one decision about a name comes to: activating a version deactivates another one before."""
    found = [fact for fact in record.facts if isinstance(fact, LaunchPlanActivated | LaunchPlanDeactivated)]
    return found[-1] if found else None
