"""Reservations by clients outside, of DataCatalog and CacheService; nodes of executions hold the same ones.

The owner extends its reservation by asking again, at least at every heartbeat interval; it lapses after three
(engine-semantics §4.6, §4.7).
"""

from __future__ import annotations

from datetime import timedelta

from flyteidl.cacheservice import cacheservice_pb2 as cacheservice
from flyteidl.datacatalog import datacatalog_pb2 as datacatalog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey
from flightlog_rpc import CallContext, invalid_value
from services.catalog import artifacts
from services.catalog.api import checks
from services.catalog.api.keys import key_of
from services.catalog.entries import HEARTBEATS
from services.catalog.keeping import Entries, now
from services.catalog.requests import Asker, Owner
from services.catalog.reservations import Reservations


class Reserving:
    """`GetOrExtendReservation` and `ReleaseReservation` of both services."""

    def __init__(self, entries: Entries, reservations: Reservations) -> None:
        self._entries = entries
        self._reservations = reservations

    async def reserve(
        self, request: datacatalog.GetOrExtendReservationRequest, call: CallContext
    ) -> datacatalog.GetOrExtendReservationResponse:
        """The reservation as it is then, the caller's or another's. Raises INVALID_ARGUMENT."""
        key = _tag(request.reservation_id)
        owner, interval, expires_at = await self._claim(key, request, call)
        reservation = datacatalog.Reservation(
            reservation_id=datacatalog.ReservationID(
                dataset_id=artifacts.dataset_name(request.reservation_id.dataset_id),
                tag_name=request.reservation_id.tag_name,
            ),
            owner_id=owner,
            heartbeat_interval=interval,
            expires_at=expires_at,
        )
        return datacatalog.GetOrExtendReservationResponse(reservation=reservation)

    async def release(
        self, request: datacatalog.ReleaseReservationRequest, call: CallContext
    ) -> datacatalog.ReleaseReservationResponse:
        """OK, too, where the caller holds nothing. Raises INVALID_ARGUMENT."""
        key = _tag(request.reservation_id)
        checks.named(request.owner_id, "ownerID")
        await self._reservations.give_back(key, request.owner_id, call.cause())
        return datacatalog.ReleaseReservationResponse()

    async def reserve_key(
        self, request: cacheservice.GetOrExtendReservationRequest, call: CallContext
    ) -> cacheservice.GetOrExtendReservationResponse:
        """The reservation as it is then, the caller's or another's. Raises INVALID_ARGUMENT."""
        owner, interval, expires_at = await self._claim(key_of(request.key), request, call)
        reservation = cacheservice.Reservation(
            key=request.key, owner_id=owner, heartbeat_interval=interval, expires_at=expires_at
        )
        return cacheservice.GetOrExtendReservationResponse(reservation=reservation)

    async def release_key(
        self, request: cacheservice.ReleaseReservationRequest, call: CallContext
    ) -> cacheservice.ReleaseReservationResponse:
        """OK, too, where the caller holds nothing. Raises INVALID_ARGUMENT."""
        key = key_of(request.key)
        checks.named(request.owner_id, "ownerID")
        await self._reservations.give_back(key, request.owner_id, call.cause())
        return cacheservice.ReleaseReservationResponse()

    async def _claim(
        self,
        key: CacheKey,
        request: datacatalog.GetOrExtendReservationRequest | cacheservice.GetOrExtendReservationRequest,
        call: CallContext,
    ) -> tuple[str, Duration, Timestamp]:
        """Who holds it then, the caller's heartbeat interval, and until when it is held if no more is heard."""
        checks.named(request.owner_id, "ownerID")
        interval = self._interval(request)
        outcome = await self._reservations.claim(key, request.owner_id, interval, call.cause())
        shown = Duration()
        shown.FromTimedelta(interval)
        match outcome.entry.holder:
            case Owner() as owner:
                return owner.name, shown, owner.expires_at
            case Asker() as node:
                # It holds it for as long as its execution goes on.
                expires_at = Timestamp()
                lasting = HEARTBEATS * self._entries.rules.heartbeat // timedelta(microseconds=1) * 1000
                expires_at.FromNanoseconds(now().ToNanoseconds() + lasting)
                return "/".join(node), shown, expires_at
            case None:
                raise AssertionError("a reservation that was asked for is somebody's")

    def _interval(
        self, request: datacatalog.GetOrExtendReservationRequest | cacheservice.GetOrExtendReservationRequest
    ) -> timedelta:
        longest = self._entries.rules.heartbeat
        if not request.HasField("heartbeat_interval"):
            return longest
        try:
            asked = request.heartbeat_interval.ToTimedelta()
        except (OverflowError, ValueError):
            raise invalid_value("heartbeat_interval") from None
        return asked if timedelta() < asked < longest else longest


def _tag(reservation: datacatalog.ReservationID) -> CacheKey:
    checks.dataset_id(reservation.HasField("dataset_id"), reservation.dataset_id)
    checks.named(reservation.tag_name, "tagName")
    return CacheKey(dataset=artifacts.identifier_of(reservation.dataset_id), tag=reservation.tag_name)
