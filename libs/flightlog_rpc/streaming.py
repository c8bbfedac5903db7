"""One call that is answered by a stream: the same as `answering.py` does for calls that are answered once.

A stream ends when its implementation does, when its client goes (the implementation is cancelled at whatever it waits
for), and when the server stops.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeAlias, cast

from google.protobuf.message import Message

from flightlog_rpc import metrics
from flightlog_rpc.answering import (
    ServicerContext,
    call_of,
    encoded,
    parsed,
    planned,
    refuse,
    refuse_cancelled,
    span_attributes,
    traceparent_of,
)
from flightlog_rpc.context import CallContext
from flightlog_rpc.errors import unavailable
from flightlog_rpc.forwarding import StreamHandler
from flightlog_rpc.methods import Method
from flightlog_rpc.routing import short_name
from flightlog_telemetry import span_from

StreamImplementation: TypeAlias = Callable[[Any, CallContext], AsyncIterator[Message]]
"""A method that answers with a stream: an async generator function of request and context. It may raise what an
`Implementation` raises, at any point. The next message is asked for when the client's connection has room for it.
"""


def implemented_stream(method: Method, implementation: StreamImplementation, max_message_bytes: int) -> StreamHandler:
    """A handler of bytes around an implementation."""
    name = short_name(method.full_name)
    sent = metrics.stream_messages.labels(name)

    async def answer(data: bytes, context: ServicerContext) -> None:
        answers = cast("AsyncGenerator[Message]", implementation(parsed(method, data), call_of(method, context)))
        # Closed here and not when it is collected: what it holds must not outlive the call.
        async with aclosing(answers):
            async for message in answers:
                await context.write(encoded(name, message, max_message_bytes))
                sent.inc()

    return answer


class Streams:
    """The streams that a server answers now."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._ended = False

    def end(self) -> None:
        """Ends all that are open with UNAVAILABLE, and each that begins from now on."""
        self._ended = True
        now = asyncio.get_running_loop().time()
        for limit in self._open:
            limit.reschedule(now)

    def guarded(self, full_name: str, handler: StreamHandler, service: str) -> StreamHandler:
        """The outermost layer: span, counters, and a status for whatever happens inside."""
        name = short_name(full_name)
        succeeded = metrics.requests.labels(name, "OK")
        attributes = span_attributes(full_name)
        going_on = metrics.streams_open.labels(name)

        async def call(data: bytes, context: ServicerContext) -> None:
            try:
                with span_from(traceparent_of(context), name, kind="server", **attributes), going_on.track_inprogress():
                    await self._unless_ended(handler, data, context)
            except asyncio.CancelledError:
                await refuse_cancelled(context, name, service)
            except Exception as error:  # noqa: BLE001 - the edge of the call
                await refuse(context, name, service, planned(error, name))
            succeeded.inc()

        return call

    async def _unless_ended(self, handler: StreamHandler, data: bytes, context: ServicerContext) -> None:
        limit = asyncio.timeout(0 if self._ended else None)
        try:
            async with limit:
                self._open.add(limit)
                try:
                    await handler(data, context)
                finally:
                    self._open.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise
            raise unavailable("the server is stopping; what was answered so far is good") from None
