"""Set-up of structlog, OpenTelemetry and Prometheus, once per process."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Literal

import structlog
from opentelemetry import trace
from prometheus_client import start_http_server
from pydantic import BaseModel, ConfigDict

from . import tracing

_LAST_SPANS_SECONDS = 2.0


class TelemetrySettings(BaseModel):
    """What a process tells about itself, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otlp_endpoint: str | None = None
    """`http://host:4317` of an OpenTelemetry collector; without one nothing is traced."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Port of the Prometheus page; none and 0 mean no page."""


def configure(service: str, settings: TelemetrySettings) -> None:
    """Set up logs (to stderr), traces and metrics. Called once, at the start of a process.

    Raises `OSError` when the port for the metrics is taken.
    """
    _configure_logs(service, settings)
    if settings.otlp_endpoint:
        _configure_traces(service, settings.otlp_endpoint)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.metrics_host)


def shut_down() -> None:
    """Send the spans that are still here. They are given up soon when nobody takes them: a stop is not to wait."""
    provider = trace.get_tracer_provider()
    stop = getattr(provider, "shutdown", None)
    if stop is not None:
        sending = threading.Thread(target=stop, daemon=True)
        sending.start()
        sending.join(_LAST_SPANS_SECONDS)


def _configure_logs(service: str, settings: TelemetrySettings) -> None:
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.otlp_endpoint:
        shared.append(tracing.name_trace)
    if settings.log_format == "json":
        rendering: list[structlog.typing.Processor] = [
            # Without the values of local variables: they may be secrets, and they are many.
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    else:
        rendering = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries log through the standard library; they get the same form.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _configure_traces(service: str, endpoint: str) -> None:
    # Imported here: the exporter costs a process without tracing a quarter of a second.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"flightlog-{service}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    tracing.switch_on()
