"""Whether an execution still goes on, as its own history on the log says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import structlog

from flightlog_log import Head, Log, LogError, LogUnavailable, Recorded
from flightlog_protos.execution.v1.facts_pb2 import (
    ExecutionAborted,
    ExecutionDeleted,
    ExecutionFailed,
    ExecutionSucceeded,
)
from services.catalog import subjects
from services.catalog.subjects import ExecutionKey

_KEPT = 4096
_log = structlog.get_logger(__name__)


class Executions:
    """Looks at executions on the log; what it has read of one it does not read again."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._going_on: OrderedDict[ExecutionKey, Head] = OrderedDict()

    async def over(self, key: ExecutionKey) -> bool:
        """Whether an execution has ended, or never was. One whose history cannot be read does not go on either.

        Raises `LogUnavailable`.
        """
        subject = subjects.execution(key)
        if subject is None:
            return True
        try:
            last = await self._log.last(subject)
            if last is None or _ended([last]):
                self._going_on.pop(key, None)
                return True
            seen = self._going_on.get(key, Head.EMPTY)
            if last.head != seen and _ended(await self._log.load(subject, after=seen)):
                self._going_on.pop(key, None)
                return True
        except LogUnavailable:
            raise
        except LogError as error:
            _log.error("execution.unreadable", execution="/".join(key), reason=str(error))
            return True
        self._going_on[key] = last.head
        self._going_on.move_to_end(key)
        if len(self._going_on) > _KEPT:
            self._going_on.popitem(last=False)
        return False


def _ended(records: Iterable[Recorded]) -> bool:
    return any(
        isinstance(fact, ExecutionSucceeded | ExecutionFailed | ExecutionAborted | ExecutionDeleted)
        for record in records
        for fact in record.facts
    )
