"""Spans that cross the log: the trace of an envelope is continued by whoever reacts to it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

Kind = Literal["internal", "server", "producer", "consumer"]
"""What a span is to a trace viewer: work, an answered call, an append, a reaction to one."""

_propagator = TraceContextTextMapPropagator()
_kinds = {kind.name.lower(): kind for kind in trace.SpanKind}
_NO_SPAN: AbstractContextManager[trace.Span] = nullcontext(trace.INVALID_SPAN)
_on = False


def switch_on() -> None:
    """From now on spans are recorded."""
    global _on
    _on = True


def current_traceparent() -> str:
    """W3C `traceparent` of the span we are in; empty when there is none."""
    if not _on:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def span_from(
    traceparent: str, name: str, *, kind: Kind = "internal", **attributes: AttributeValue
) -> AbstractContextManager[trace.Span]:
    """A span that continues the trace `traceparent`; a new one when that is empty. Nearly free while tracing is off."""
    return _span(traceparent, name, kind, attributes) if _on else _NO_SPAN


@contextmanager
def _span(traceparent: str, name: str, kind: Kind, attributes: dict[str, AttributeValue]) -> Generator[trace.Span]:
    parent: Any = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with trace.get_tracer("flightlog").start_as_current_span(
        name, context=parent, kind=_kinds[kind], attributes=attributes
    ) as span:
        yield span


def name_trace(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Names the trace and span in which a line is logged (a processor of structlog)."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
