"""Spans that cross the log: the trace of an envelope is continued by whoever reacts to it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_propagator = TraceContextTextMapPropagator()
_on = False


def switch_on() -> None:
    """From now on spans are recorded."""
    global _on
    _on = True


def tracer(name: str) -> trace.Tracer:
    """A tracer of the process; it records nothing while tracing is off."""
    return trace.get_tracer(name)


def current_traceparent() -> str:
    """W3C `traceparent` of the span we are in; empty when there is none."""
    if not _on:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def span_from(traceparent: str, name: str, **attributes: AttributeValue) -> Generator[trace.Span]:
    """A span that continues the trace `traceparent`; a new one when that is empty. Nearly free while tracing is off."""
    if not _on:
        yield trace.INVALID_SPAN
        return
    parent: Any = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with trace.get_tracer("flightlog").start_as_current_span(name, context=parent, attributes=attributes) as span:
        yield span
