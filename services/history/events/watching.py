"""WatchEvents: a stream of events that goes on, for as long as somebody reads it.

A watch keeps nothing but its place. It asks the log for more when the client has taken what there was, so one who reads
slowly, or not at all, costs no more memory than one batch. It outlives restarts of NATS; what ends it with UNAVAILABLE
(this service stops, say) is gone on from by the client, behind the last sequence that it was told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

import grpc

from flightlog_log import Log, LogUnavailable, Raw
from flightlog_protos.history.v1.events_pb2 import WatchEventsRequest, WatchEventsResponse
from flightlog_rpc import CallContext, RpcError, resource_exhausted
from services.history.events.selection import Selection
from services.history.events.telling import event_of

_BATCH: Final = 200
_BATCH_BYTES: Final = 2 * 1024 * 1024


class Watching:
    """The call.

    Args:
        sign_seconds: after so long without an event a client is told how far the stream was looked through.
        most: watches at once; each is a consumer of NATS, and up to 2 MB.
    """

    def __init__(self, log: Log, *, sign_seconds: float, most: int) -> None:
        self._log = log
        self._sign_seconds = sign_seconds
        self._most = most
        self._open = 0

    async def watch_events(self, request: WatchEventsRequest, _call: CallContext) -> AsyncIterator[WatchEventsResponse]:
        """A sign of life first, with the place that the watch begins behind; then every event, in order.

        Raises:
            RpcError: INVALID_ARGUMENT for a filter that cannot be; OUT_OF_RANGE for a place behind the end of the
                stream, which is another log's; RESOURCE_EXHAUSTED when there are too many watches.
            LogUnavailable: NATS is away at the start.
        """
        selection = Selection.of(request.filter)
        if self._open >= self._most:
            raise resource_exhausted(f"{self._most} watches are open, and no more are taken")
        self._open += 1
        try:
            end = await self._log.stream_sequence(selection.stream)
            after = end if request.only_new else request.after
            if after > end:
                raise RpcError(
                    grpc.StatusCode.OUT_OF_RANGE,
                    f"{selection.stream} ends at {end}: {after} is a place of another log",
                )
            watch = _Watch(self._log, selection, after, sign_seconds=self._sign_seconds, json=request.json)
            async with aclosing(watch.responses()) as responses:
                async for response in responses:
                    yield response
        finally:
            self._open -= 1


class _Watch:
    """One of them."""

    def __init__(self, log: Log, selection: Selection, after: int, *, sign_seconds: float, json: bool) -> None:
        self._log = log
        self._selection = selection
        self._sign_seconds = sign_seconds
        self._json = json
        self._passed = after
        """Nothing up to here is still to be told."""
        self._told_at = 0.0

    async def responses(self) -> AsyncGenerator[WatchEventsResponse]:
        yield self._sign()
        followed = self._log.follow_stored(
            self._selection.stream,
            after=self._passed,
            subjects=self._selection.subjects,
            on_demand=True,
            batch=_BATCH,
            max_bytes=_BATCH_BYTES,
        )
        async with aclosing(followed) as batches:
            coming: asyncio.Future[list[Raw]] | None = None
            try:
                while True:
                    coming = coming or asyncio.ensure_future(anext(batches))
                    if not (await asyncio.wait({coming}, timeout=self._sign_seconds))[0]:
                        await self._look()
                        yield self._sign()
                        continue
                    batch, coming = coming.result(), None
                    for raw in batch:
                        response = await self._response(raw)
                        if response is not None:
                            yield response
            finally:
                if coming is not None:
                    coming.cancel()
                    await asyncio.wait({coming})
                    if not coming.cancelled():
                        coming.exception()  # of no interest any more

    async def _response(self, raw: Raw) -> WatchEventsResponse | None:
        """The event, if it is meant; else a sign of life when it is time for one."""
        entry = await self._log.decoded(raw) if self._selection.may_have(raw) else None
        self._passed = max(self._passed, raw.sequence)
        if entry is not None and self._selection.has(entry):
            self._told_at = time.monotonic()
            event = event_of(self._selection.stream, entry, json=self._json)
            return WatchEventsResponse(event=event, sequence=raw.sequence)
        return self._sign() if time.monotonic() - self._told_at > self._sign_seconds else None

    def _sign(self) -> WatchEventsResponse:
        self._told_at = time.monotonic()
        return WatchEventsResponse(sequence=self._passed)

    async def _look(self) -> None:
        """Finds out how far there is nothing for us: a client that goes on from there need not look through it again.

        Nor need we, so each time only what has come since is looked through. The end comes first: what is stored by
        then, and was not given to us, would be found.
        """
        stream = self._selection.stream
        try:
            end = await self._log.stream_sequence(stream)
            if not await self._log.stored_after(stream, self._selection.subjects, self._passed, 1):
                self._passed = max(self._passed, end)
        except LogUnavailable:
            # It will be back; until then nobody knows more than before.
            return
