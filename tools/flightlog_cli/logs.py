"""Log lines of the commands: to stderr, so that stdout carries nothing but what was asked for."""

import logging
import sys

import structlog


def to_stderr(level: int = logging.WARNING) -> None:
    """Send structlog's events of at least this level to stderr, readable."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
