"""A collector of traces: a real OTLP/gRPC endpoint that keeps what it gets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Span:
    """One span as its process exported it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str] = field(hash=False)

    @property
    def facts(self) -> list[str]:
        """The facts of the append that the span is about."""
        return self.attributes.get("facts", "").split(",")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans, and wakes whoever waits for some."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}
        self._arrived = threading.Condition()

    def Export(self, request: Any, context: Any) -> Any:
        with self._arrived:
            for resource in request.resource_spans:
                service = _values(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self._spans[span.span_id.hex()] = Span(
                            service,
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            _values(span.attributes),
                        )
            self._arrived.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in self._spans.values() if span.trace_id == trace_id]

    def wait_for(self, trace_id: str, wanted: Callable[[list[Span]], bool]) -> list[Span]:
        """The trace's spans, once they are as wanted."""
        with self._arrived:
            there = self._arrived.wait_for(lambda: wanted(self.of_trace(trace_id)), timeout=60)
            spans = self.of_trace(trace_id)
        assert there, "\n".join(f"{span.service} {span.name} {span.facts}" for span in spans)
        return spans

    def path(self, span: Span) -> list[tuple[str, str]]:
        """Service and name of the span and of everything above it, up to one that no service of ours made."""
        found: list[tuple[str, str]] = []
        current: Span | None = span
        while current is not None:
            found.append((current.service, current.name))
            above = self._spans.get(current.parent_id)
            if above is None:
                found.append(("client", current.parent_id))
            current = above
        return found


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    """The endpoint's address, and what arrives there."""
    server = grpc.server(ThreadPoolExecutor(2))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", collector
    finally:
        server.stop(1).wait()


def _values(attributes: Sequence[Any]) -> dict[str, str]:
    return {item.key: item.value.string_value for item in attributes}
