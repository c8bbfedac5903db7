"""One call from bytes to bytes: parse, ask the method, map what goes wrong, count, trace.

Every method of a service goes through `guarded`, whether it is implemented here, forwarded or not served, so none of
them can end a call with UNKNOWN (admin-contract T1). Calls that are answered by a stream are in `streaming.py`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError, EncodeError, Message

from flightlog_rpc import as_of, metrics
from flightlog_rpc.auditing import Refusals
from flightlog_rpc.context import TRACEPARENT, CallContext
from flightlog_rpc.errors import RpcError, internal, invalid, resource_exhausted, to_wire, translate, unavailable
from flightlog_rpc.forwarding import OWNER_TRAILER, BytesHandler, ForwardedRefusal
from flightlog_rpc.methods import METHODS, Method
from flightlog_rpc.routing import short_name
from flightlog_rpc.targets import changes
from flightlog_telemetry import current_traceparent, span_from

logger = structlog.get_logger(__name__)

Implementation: TypeAlias = Callable[[Any, CallContext], Awaitable[Message]]
"""A method of a service: request and context in, response out, `RpcError` (or an error with `grpc_code`) for a
refusal.
"""

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


def implemented(method: Method, implementation: Implementation, max_message_bytes: int) -> BytesHandler:
    """A handler of bytes around an implementation."""
    name = short_name(method.full_name)

    async def answer(data: bytes, context: ServicerContext) -> bytes:
        request = parsed(method, data)
        response = await implementation(request, call_of(method, context))
        return encoded(name, response, max_message_bytes)

    return answer


def parsed(method: Method, data: bytes) -> Message:
    """The request of a call. Raises `RpcError` for bytes that are none."""
    try:
        return method.request.FromString(data)
    except DecodeError:
        raise invalid(f"the request is not a {method.request.DESCRIPTOR.full_name}") from None


def call_of(method: Method, context: ServicerContext) -> CallContext:
    """What the method is told of its call. Raises `RpcError` when it asks about a moment that there can be none of."""
    call = _as_it_came(context)
    moment = as_of.asked(method.full_name, call)
    return call if moment is None else replace(call, as_of=moment)


def _as_it_came(context: ServicerContext) -> CallContext:
    return CallContext.of(
        cast("Sequence[tuple[str, str | bytes]]", context.invocation_metadata() or ()),
        context.peer(),
        current_traceparent(),
    )


def encoded(name: str, response: Message, max_message_bytes: int) -> bytes:
    """A response as it is sent. Raises `RpcError` when it cannot be, or is too large."""
    try:
        data = response.SerializeToString()
    except EncodeError as error:
        raise internal(f"{name}: the response cannot be encoded: {error}") from error
    if len(data) > max_message_bytes:
        raise resource_exhausted(f"{name}: the response has {len(data)} bytes, the limit is {max_message_bytes}")
    return data


def refusing(error: Callable[[], RpcError]) -> Callable[[bytes, ServicerContext], Awaitable[NoReturn]]:
    """A handler that always refuses."""

    async def refuse(_data: bytes, _context: ServicerContext) -> NoReturn:
        raise error()

    return refuse


def guarded(full_name: str, handler: BytesHandler, service: str, refusals: Refusals | None = None) -> BytesHandler:
    """The outermost layer: span, counters, and a status for whatever happens inside.

    `refusals` is told of each call that is refused here, where the method is one that changes something.
    """
    name = short_name(full_name)
    seconds = metrics.seconds.labels(name)
    succeeded = metrics.requests.labels(name, "OK")
    attributes = span_attributes(full_name)
    noting = refusals if changes(METHODS[full_name]) else None

    async def call(data: bytes, context: ServicerContext) -> bytes:
        started = time.perf_counter()
        try:
            with span_from(traceparent_of(context), name, kind="server", **attributes):
                response = await handler(data, context)
        except asyncio.CancelledError:
            await refuse_cancelled(context, name, service)
        except Exception as error:  # noqa: BLE001 - the edge of the call
            found = planned(error, name)
            if noting is not None and not isinstance(found, ForwardedRefusal):
                noting.note(METHODS[full_name], data, _as_it_came(context), found)
            await refuse(context, name, service, found)
        else:
            succeeded.inc()
            return response
        finally:
            seconds.observe(time.perf_counter() - started)

    return call


def span_attributes(full_name: str) -> dict[str, str]:
    """What OpenTelemetry says of a call."""
    service, _, method = full_name.lstrip("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def traceparent_of(context: ServicerContext) -> str:
    """The trace that the client has begun."""
    for key, value in cast("Sequence[tuple[str, str | bytes]]", context.invocation_metadata() or ()):
        if key == TRACEPARENT and isinstance(value, str):
            return value
    return ""


def _cancelled_by_caller() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def refuse_cancelled(context: ServicerContext, name: str, service: str) -> NoReturn:
    """Ends a call in which something was cancelled. Called while that error is handled; passes on a call's own end."""
    if _cancelled_by_caller():
        metrics.requests.labels(name, "CANCELLED").inc()
        raise
    # Something inside was cancelled, not this call: a part is shutting down.
    await refuse(context, name, service, unavailable("the server is stopping"))


def planned(error: Exception, name: str) -> RpcError:
    """The status for whatever went wrong; what nobody planned for is logged, and INTERNAL."""
    found = translate(error)
    if found is None:
        logger.error("rpc.failed", method=name, exc_info=error)
        return internal(f"{name} failed: {type(error).__name__}")
    if found.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE):
        logger.warning("rpc.refused", method=name, code=found.code.name, message=found.message, error=repr(error))
    return found


async def refuse(context: ServicerContext, name: str, service: str, error: RpcError) -> NoReturn:
    """Ends a call with a status, counted."""
    if isinstance(error, ForwardedRefusal):
        metrics.requests.labels(name, error.code.name).inc()
        await context.abort(error.code, error.message, tuple(error.trailers))
    wire = to_wire(error)
    metrics.requests.labels(name, wire.code.name).inc()
    await context.abort(wire.code, wire.message, ((OWNER_TRAILER, service), *wire.trailers))
