"""ListAudit: who asked for what, newest first."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.history.v1.audit_pb2 import AuditEntry, ListAuditRequest, ListAuditResponse
from flightlog_protos.log.v1.envelope_pb2 import Actor
from flightlog_rpc import CallContext, invalid, invalid_value
from services.history.audit.projection import Row, projections
from services.history.audit.queries import Place, Reads, Wanted

MOST_LISTED: Final = 1000
_DEFAULT_LISTED: Final = 100
_STREAMS: Final = frozenset(projection.stream for projection in projections())


class Listing:
    """The call."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def list_audit(self, request: ListAuditRequest, _call: CallContext) -> ListAuditResponse:
        """A page; 100 entries unless told.

        Raises:
            RpcError: INVALID_ARGUMENT for a limit above 1,000, a time that is none, or a token of another list.
            StaleRead, DatabaseUnavailable: as the reads.
        """
        limit = request.limit or _DEFAULT_LISTED
        if limit > MOST_LISTED:
            raise invalid(f"invalid value for limit: at most {MOST_LISTED} entries are listed at once")
        wanted = Wanted(
            actor=request.actor,
            kind=request.kind,
            project=request.project,
            domain=request.domain,
            name=request.name,
            since=_moment(request.since, "since") if request.HasField("since") else None,
            until=_moment(request.until, "until") if request.HasField("until") else None,
            only_refused=request.only_refused,
        )
        behind = _place(request.token) if request.token else None
        # One more than is told says whether there is a next page.
        found = await self._reads.entries(wanted, limit + 1, behind)
        told = found[:limit]
        response = ListAuditResponse(entries=[_entry(stream, row) for stream, row in told])
        if len(found) > limit:
            stream, row = told[-1]
            response.token = _token(Place(row.at, stream, row.sequence))
        return response


def _entry(stream: str, row: Row) -> AuditEntry:
    actor = Actor(subject=row.actor, method=row.method, client=row.client, address=row.address, verified=row.verified)
    entry = AuditEntry(
        actor=actor,
        allowed=row.allowed,
        action=row.action,
        kind=row.kind,
        project=row.project,
        domain=row.domain,
        name=row.name,
        version=row.version,
        code=row.code,
        message=row.message,
        stream=stream,
        sequence=row.sequence,
        event_id=row.event_id,
    )
    entry.at.FromDatetime(row.at)
    return entry


def _moment(value: Timestamp, name: str) -> datetime:
    try:
        return value.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid_value(name) from None


def _token(place: Place) -> str:
    text = f"{place.at.isoformat()} {place.stream} {place.sequence}"
    return urlsafe_b64encode(text.encode()).decode()


def _place(token: str) -> Place:
    try:
        at, stream, sequence = urlsafe_b64decode(token.encode()).decode().split(" ")
        place = Place(datetime.fromisoformat(at), stream, int(sequence))
    except ValueError:
        raise invalid_value("token") from None
    if place.stream not in _STREAMS or place.at.tzinfo is None or not 0 <= place.sequence < 1 << 63:
        raise invalid_value("token")
    return place
