"""Reservations that somebody waits for: nobody waits for ever for a holder that is gone.

While a node waits, an alarm comes back to its entry at every heartbeat interval, and when an outside owner's time is
up. It is looked anew then: the owner may have been heard of, the holder may be another one. An outside owner lapses
when it was not heard of; a node when its execution is over without having given the reservation back (engine-semantics
§4.6).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog

from flightlog_log import Cause, Log, LogError, LogUnavailable
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey, ReservationAlarm, ReservationQueued
from services.catalog import subjects
from services.catalog.entries import Entry, Outcome
from services.catalog.keeping import Entries, by_itself
from services.catalog.liveness import Executions
from services.catalog.requests import Asker, Check, Claim, GiveBack, Owner

_log = structlog.get_logger(__name__)


class Reservations:
    """Gives reservations to clients outside, and takes them from holders that are gone."""

    def __init__(self, log: Log, entries: Entries, executions: Executions | None = None) -> None:
        self._log = log
        self._entries = entries
        self._executions = executions or Executions(log)

    async def claim(self, key: CacheKey, owner: str, heartbeat: timedelta | None, cause: Cause) -> Outcome:
        """The reservation for a client outside, if nobody else has it or whoever has it is gone.

        Raises `LogError`.
        """
        return await self._entries.change(key, [await self._check(key), Claim(owner, heartbeat)], cause)

    async def give_back(self, key: CacheKey, owner: str, cause: Cause) -> None:
        """The reservation is its owner's no more; nothing happens when it is not. Raises `LogError`."""
        await self._entries.change(key, [GiveBack(owner)], cause)

    async def queued(self, key: CacheKey, outcome: Outcome, correlation_id: str) -> None:
        """To be called after a decision: where somebody has begun to wait, the holder is watched from now on.

        Calling it twice watches once. Raises `LogUnavailable`.
        """
        began = [Asker.of(fact.waiter) for fact in outcome.facts if isinstance(fact, ReservationQueued)]
        # Behind others that wait already, the alarm is set; moved each time somebody comes, it would never come.
        if outcome.entry.waiters and outcome.entry.waiters[0] in began:
            await self._watch(key, outcome.entry, correlation_id)

    async def on_alarm(self, alarm: ReservationAlarm, due: datetime) -> None:
        """Looks whether the holder is still there; as long as somebody waits, it will be looked again."""
        try:
            entry = await self._entries.entry(alarm.key)
            if not entry.waiters:
                return
            cause = by_itself(alarm.correlation_id, alarm.alarm_id)
            entry = (await self._entries.change(alarm.key, [await self._check(alarm.key)], cause)).entry
        except LogUnavailable:
            raise
        except LogError as error:
            # Whoever waits goes on once it can be read again.
            _log.error("reservation.unreadable", subject=str(subjects.entry(alarm.key)), reason=str(error))
            await self._arm(alarm.key, datetime.now(UTC) + self._entries.rules.heartbeat, alarm.correlation_id)
            return
        if entry.waiters:
            await self._watch(alarm.key, entry, alarm.correlation_id)

    async def _check(self, key: CacheKey) -> Check:
        holder = (await self._entries.entry(key)).holder
        if isinstance(holder, Asker) and await self._executions.over((holder.project, holder.domain, holder.execution)):
            return Check(gone=holder)
        return Check()

    async def _watch(self, key: CacheKey, entry: Entry, correlation_id: str) -> None:
        due = datetime.now(UTC) + self._entries.rules.heartbeat
        if isinstance(entry.holder, Owner):
            due = min(due, entry.holder.expires_at.ToDatetime(UTC))
        await self._arm(key, due, correlation_id)

    async def _arm(self, key: CacheKey, due: datetime, correlation_id: str) -> None:
        alarm = ReservationAlarm(key=key, alarm_id=str(uuid4()), correlation_id=correlation_id)
        await self._log.schedule(subjects.alarm(key), due, alarm)
