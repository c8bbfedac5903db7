"""One call from bytes to bytes: parse, ask the method, map what goes wrong, count, trace.

Every method of a service goes through `Answering`, whether it is implemented here, forwarded or not served, so none of
them can end a call with UNKNOWN (admin-contract T1).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError, EncodeError, Message

from flightlog_rpc import metrics
from flightlog_rpc.context import TRACEPARENT, CallContext
from flightlog_rpc.errors import RpcError, internal, invalid, resource_exhausted, to_wire, translate, unavailable
from flightlog_rpc.forwarding import OWNER_TRAILER, BytesHandler, ForwardedRefusal
from flightlog_rpc.methods import Method
from flightlog_rpc.routing import short_name
from flightlog_telemetry import current_traceparent, span_from

logger = structlog.get_logger(__name__)

Implementation: TypeAlias = Callable[[Any, CallContext], Awaitable[Message]]
"""A method of a service: request and context in, response out, `RpcError` (or an error with `grpc_code`) for a
refusal.
"""

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


def implemented(method: Method, implementation: Implementation, max_message_bytes: int) -> BytesHandler:
    """A handler of bytes around an implementation."""
    parse = method.request.FromString
    name = short_name(method.full_name)

    async def answer(data: bytes, context: ServicerContext) -> bytes:
        try:
            request = parse(data)
        except DecodeError:
            raise invalid(f"the request is not a {method.request.DESCRIPTOR.full_name}") from None
        call = CallContext.of(
            cast("Sequence[tuple[str, str | bytes]]", context.invocation_metadata() or ()),
            context.peer(),
            current_traceparent(),
        )
        response = await implementation(request, call)
        try:
            encoded = response.SerializeToString()
        except EncodeError as error:
            raise internal(f"{name}: the response cannot be encoded: {error}") from error
        if len(encoded) > max_message_bytes:
            raise resource_exhausted(f"{name}: the response has {len(encoded)} bytes, the limit is {max_message_bytes}")
        return encoded

    return answer


def refusing(error: Callable[[], RpcError]) -> BytesHandler:
    """A handler that always refuses."""

    async def refuse(_data: bytes, _context: ServicerContext) -> bytes:
        raise error()

    return refuse


def guarded(full_name: str, handler: BytesHandler, service: str) -> BytesHandler:
    """The outermost layer: span, counters, and a status for whatever happens inside."""
    name = short_name(full_name)
    seconds = metrics.seconds.labels(name)
    succeeded = metrics.requests.labels(name, "OK")
    rpc_service, _, rpc_method = full_name.lstrip("/").partition("/")
    attributes = {"rpc.system": "grpc", "rpc.service": rpc_service, "rpc.method": rpc_method}

    async def call(data: bytes, context: ServicerContext) -> bytes:
        started = time.perf_counter()
        try:
            with span_from(_traceparent(context), name, kind="server", **attributes):
                response = await handler(data, context)
        except asyncio.CancelledError:
            if _cancelled_by_caller():
                metrics.requests.labels(name, "CANCELLED").inc()
                raise
            # Something inside was cancelled, not this call: a part is shutting down.
            await _refuse(context, name, service, unavailable("the server is stopping"))
        except Exception as error:  # noqa: BLE001 - the edge of the call
            await _refuse(context, name, service, _planned(error, name))
        else:
            succeeded.inc()
            return response
        finally:
            seconds.observe(time.perf_counter() - started)

    return call


def _traceparent(context: ServicerContext) -> str:
    for key, value in cast("Sequence[tuple[str, str | bytes]]", context.invocation_metadata() or ()):
        if key == TRACEPARENT and isinstance(value, str):
            return value
    return ""


def _cancelled_by_caller() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _planned(error: Exception, name: str) -> RpcError:
    planned = translate(error)
    if planned is None:
        logger.error("rpc.failed", method=name, exc_info=error)
        return internal(f"{name} failed: {type(error).__name__}")
    if planned.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE):
        logger.warning("rpc.refused", method=name, code=planned.code.name, message=planned.message, error=repr(error))
    return planned


async def _refuse(context: ServicerContext, name: str, service: str, error: RpcError) -> NoReturn:
    if isinstance(error, ForwardedRefusal):
        metrics.requests.labels(name, error.code.name).inc()
        await context.abort(error.code, error.message, tuple(error.trailers))
    wire = to_wire(error)
    metrics.requests.labels(name, wire.code.name).inc()
    await context.abort(wire.code, wire.message, ((OWNER_TRAILER, service), *wire.trailers))
