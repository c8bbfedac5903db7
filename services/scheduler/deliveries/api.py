"""DeliveryService: looking at deliveries, trying parked ones again, delivering a range once more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.scheduler.v1.delivery_service_pb2 import (
    Delivery,
    DeliverySelection,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ReplayDeliveriesRequest,
    ReplayDeliveriesResponse,
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
)
from flightlog_read import parse_page
from flightlog_rpc import CallContext
from flightlog_rpc.errors import invalid
from services.scheduler.deliveries.projection import STATES, Row
from services.scheduler.deliveries.queries import Reads, Wanted
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.replaying import Range, Replaying
from services.scheduler.deliveries.subjects import QueueKey

MOST_LISTED: Final = 1000
_DEFAULT_LISTED: Final = 100
_LONGEST_NAMES: Final = 2000
"""As they are written in subjects of the log."""
_SERVICE: Final = "/flightlog.scheduler.v1.DeliveryService/"


class DeliveryApi:
    """The calls. `sinks` are the names of those that are configured now."""

    def __init__(self, reads: Reads, queues: Queues, replaying: Replaying, sinks: Collection[str]) -> None:
        self._reads = reads
        self._queues = queues
        self._replaying = replaying
        self._sinks = sinks

    def methods(self) -> Mapping[str, Callable[[Any, CallContext], Awaitable[Message]]]:
        """By full name."""
        return {
            f"{_SERVICE}ListDeliveries": self.list,
            f"{_SERVICE}RetryDeliveries": self.retry,
            f"{_SERVICE}ReplayDeliveries": self.replay,
        }

    async def list(self, request: ListDeliveriesRequest, call: CallContext) -> ListDeliveriesResponse:
        """Newest first; 100 unless told, at most 1000 at once."""
        limit = min(request.limit or _DEFAULT_LISTED, MOST_LISTED)
        page = parse_page(limit, request.token, "ListDeliveries")
        rows = await self._reads.deliveries(_wanted(request.selection), page)
        return ListDeliveriesResponse(deliveries=map(_delivery, rows), token=page.next_token(len(rows)))

    async def retry(self, request: RetryDeliveriesRequest, call: CallContext) -> RetryDeliveriesResponse:
        """Parked ones wait again, behind all that waits."""
        selection = request.selection
        if selection.state not in ("", "parked"):
            raise invalid("only parked deliveries can be retried")
        cause, count = call.cause(), 0
        async for rows in self._reads.all_of(_wanted(selection, state="parked")):
            by_queue: defaultdict[QueueKey, list[str]] = defaultdict(list)
            for row in rows:
                project, domain, execution, sink, event_id = row.key
                by_queue[QueueKey(sink, project, domain, execution)].append(event_id)
            for key, event_ids in by_queue.items():
                count += await self._queues.retry(key, event_ids, cause)
        return RetryDeliveriesResponse(count=count)

    async def replay(self, request: ReplayDeliveriesRequest, call: CallContext) -> ReplayDeliveriesResponse:
        """What the log has of a range, or of an execution, is queued once more for the sinks there are now."""
        selection = request.selection
        wanted = _wanted(selection)
        if selection.state:
            raise invalid("a replay takes no state: it delivers whatever happened")
        if wanted.sink and wanted.sink not in self._sinks:
            raise invalid(f"no sink [{wanted.sink}] is configured; those that are: {', '.join(sorted(self._sinks))}")
        if wanted.begin is None and not wanted.execution:
            raise invalid("a replay needs an execution, or a moment from which on")
        chosen = Range(wanted.sink, wanted.project, wanted.domain, wanted.execution, wanted.begin, wanted.end)
        return ReplayDeliveriesResponse(count=await self._replaying.replay(chosen, call.cause()))


def _wanted(selection: DeliverySelection, state: str = "") -> Wanted:
    """Raises INVALID_ARGUMENT for a state that does not exist, times that are none, and names that cannot be."""
    if selection.state not in ("", *STATES):
        raise invalid(f"[{selection.state}] is no state of a delivery; those are {', '.join(STATES)}")
    names = (selection.sink, selection.project, selection.domain, selection.execution)
    if any("\0" in name for name in names) or sum(len(quote(name, safe="")) for name in names) > _LONGEST_NAMES:
        raise invalid("no execution and no sink has such a name")
    if selection.execution and not (selection.project and selection.domain):
        raise invalid("an execution is named with its project and domain")
    begin = _moment(getattr(selection, "from"), "from") if selection.HasField("from") else None
    end = _moment(selection.to, "to") if selection.HasField("to") else None
    if begin is not None and end is not None and end <= begin:
        raise invalid("the range is empty: to is not after from")
    return Wanted(
        selection.sink,
        selection.project,
        selection.domain,
        selection.execution,
        state or selection.state,
        begin,
        end,
    )


def _moment(stamp: Timestamp, field: str) -> datetime:
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid(f"{field} is no moment between the years 1 and 9999") from None


def _delivery(row: Row) -> Delivery:
    project, domain, execution, sink, event_id = row.key
    found = Delivery(
        event_id=event_id,
        sink=sink,
        execution_id=QueueKey(sink, project, domain, execution).identifier,
        event=row.event,
        state=row.state,
        tries=row.tries,
        last_error=row.last_error,
        created_at=row.created_at,
        updated_at=row.updated_at,
        recipients=row.recipients,
    )
    if row.next_try_at is not None:
        found.next_try_at.FromDatetime(row.next_try_at)
    return found
