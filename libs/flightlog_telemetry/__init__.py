"""Logs, traces and metrics of one process.

configure("execution", settings)
with span_from(record.traceparent, "execution.decide", execution=name):
    ...
"""

from .setup import TelemetrySettings, configure, shut_down
from .tracing import current_traceparent, span_from

__all__ = ["TelemetrySettings", "configure", "current_traceparent", "shut_down", "span_from"]
