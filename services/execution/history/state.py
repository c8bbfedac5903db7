"""GetStateAt: an execution with its nodes and attempts as they were, all in one answer."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from flyteidl.admin.task_execution_pb2 import TaskExecution

from flightlog_log import Log, Recorded
from flightlog_protos.history.v1.state_pb2 import GetStateAtRequest, GetStateAtResponse, NodeState
from flightlog_rpc import CallContext, RpcError, as_of, invalid_value, out_of_range
from flightlog_rpc.moments import Moment
from services.execution import subjects
from services.execution.api import answers
from services.execution.projection import elements
from services.execution.projection.past import rows_of
from services.execution.projection.rows import Row, Rows, TaskRow

R = TypeVar("R", bound=Row)


class States:
    """The call about an execution as it was."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def get(self, request: GetStateAtRequest, call: CallContext) -> GetStateAtResponse:
        """GetStateAt: from the log alone.

        Raises:
            RpcError: INVALID_ARGUMENT without a whole id, or for a time that is none; NOT_FOUND when there was no such
                execution then; OUT_OF_RANGE for a moment that the log, or the execution, does not have.
            Undecodable, PayloadMissing, LogUnavailable: its envelopes cannot be had.
        """
        identifier = answers.execution_id(request)
        key = subjects.key_of(identifier)
        subject = subjects.execution(key)
        if subject is None:
            raise answers.missing_execution(identifier)
        records = _until(request, await self._log.load(subject, until=await self._sequence(request)))
        rows = await rows_of(records)
        row = rows.executions.get(key)
        if row is None:
            raise answers.missing_execution(identifier)
        last = records[-1]
        return GetStateAtResponse(
            execution=row.message,
            nodes=_nodes(rows),
            signals=[signal.message for signal in _in_order(rows.signals.values())],
            sequence=last.sequence,
            position=last.envelope.position,
            recorded_at=last.envelope.recorded_at,
        )

    async def _sequence(self, request: GetStateAtRequest) -> int | None:
        """Up to where the stream counts; None where this is a matter of the execution's own envelopes."""
        match request.WhichOneof("moment"):
            case "time":
                try:
                    moment = Moment(request.time.ToJsonString(), time=request.time)
                except ValueError:
                    raise invalid_value("time") from None
            case "sequence":
                moment = Moment(str(request.sequence), sequence=request.sequence)
            case _:
                return None
        return await as_of.sequence_of(self._log, subjects.EXECUTION, moment)


def _until(request: GetStateAtRequest, records: Sequence[Recorded]) -> Sequence[Recorded]:
    """The envelopes that count, of those that the execution has."""
    if not records:
        return records
    match request.WhichOneof("moment"):
        case "position":
            if not 1 <= request.position <= records[-1].envelope.position:
                raise _no_such_place(f"position {request.position}", records)
            return [record for record in records if record.envelope.position <= request.position]
        case "elapsed":
            try:
                elapsed = request.elapsed.ToNanoseconds()
            except ValueError:
                raise invalid_value("elapsed") from None
            if elapsed < 0:
                raise _no_such_place("what was before its first envelope", records)
            limit = _occurred(records[0]) + elapsed
            count = max(number for number, record in enumerate(records, start=1) if _occurred(record) <= limit)
            return records[:count]
        case _:
            return records


def _no_such_place(what: str, records: Sequence[Recorded]) -> RpcError:
    last = records[-1].envelope.position
    return out_of_range(f"the execution does not have {what}: its envelopes have the positions 1 to {last}")


def _occurred(record: Recorded) -> int:
    return record.envelope.occurred_at.ToNanoseconds()


def _in_order(rows: Iterable[R]) -> list[R]:
    return sorted(rows, key=lambda row: row.id)


def _nodes(rows: Rows) -> list[NodeState]:
    attempts: defaultdict[str, list[TaskExecution]] = defaultdict(list)
    for task in _in_order(rows.tasks.values()):
        attempts[task.key[1]].append(_shown(rows, task))
    return [
        NodeState(node=row.message, parent_node_id=row.parent_node_id, attempts=attempts[row.key[1]])
        for row in _in_order(rows.nodes.values())
    ]


def _shown(rows: Rows, row: TaskRow) -> TaskExecution:
    """A task execution as clients get it: an array's with its elements."""
    message = TaskExecution()
    message.CopyFrom(row.message)
    if row.elements:
        _, node_id, attempt = row.key
        own = [one for one in rows.elements.values() if (one.array_id, one.array_attempt) == (node_id, attempt)]
        own.sort(key=lambda one: (one.message.index, one.key[2]))
        elements.show(message, row.elements, ((one.message.index, one.message.SerializeToString()) for one in own))
    return message
