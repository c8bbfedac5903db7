"""The streams: one per owning service, and two of the log's own."""

from __future__ import annotations

from typing import Any, Final

from .connection import ApiError, Connection
from .errors import LogRestoring

_NANOSECONDS = 1_000_000_000
_STREAM_NOT_FOUND = 10059

# Raw JSON because nats-py has no fields for message schedules; the server refuses names it does not know.
_COMMON: dict[str, Any] = {
    "retention": "limits",
    "storage": "file",
    "discard": "old",
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
    "allow_direct": True,
    "duplicate_window": 120 * _NANOSECONDS,
}
STREAMS: dict[str, dict[str, Any]] = {
    "REGISTRY": {"subjects": ["registry.>"]},
    "EXECUTION": {"subjects": ["execution.>"]},
    "LAUNCHER": {"subjects": ["launcher.>"]},
    "CATALOG": {"subjects": ["catalog.>"]},
    "SCHEDULER": {"subjects": ["scheduler.>"]},
    # Of the execution service: who may run, where that is limited, and its answers to those who ask for executions.
    "ADMISSION": {"subjects": ["admission.>"]},
    # Of all services: calls that were refused. What was done is on the other streams.
    "AUDIT": {"subjects": ["audit.>"]},
    # `alarm.>` holds what waits, `alarmed.>` what fired. One schedule per key: a later one replaces it.
    "ALARM": {
        "subjects": ["alarm.>", "alarmed.>"],
        "max_msgs_per_subject": 1,
        "allow_msg_schedules": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
    },
    # Of the launcher: what it has taken on and not yet reported the end of, by name.
    "ORDER": {"subjects": ["order.>"], "max_msgs_per_subject": 1},
    "PARKED": {"subjects": ["parked.>", "redriven.>"]},
}


RESTORING: Final = "flightlog-restoring"
"""Among a stream's metadata while a restore fills it."""
RESTORED: Final = "flightlog-restored"
"""Among them afterwards: the last sequence that was given back."""


async def ensure_streams(connection: Connection, *, restoring: bool = False) -> None:
    """Make the streams that are missing, and bring those that differ up to date. Safe for several processes at once.

    Raises `LogRestoring` while a restore is under way, unless it is `restoring` that asks.
    """
    for name, own in STREAMS.items():
        wanted = {**_COMMON, **own, "name": name, "num_replicas": connection.settings.replicas}
        try:
            info = await connection.api(f"STREAM.INFO.{name}")
        except ApiError as error:
            if error.err_code != _STREAM_NOT_FOUND:
                raise
            # A stream that somebody else made meanwhile with the same settings is answered like one that was made.
            await connection.api(f"STREAM.CREATE.{name}", wanted)
            continue
        config = info["config"]
        if RESTORING in (config.get("metadata") or {}) and not restoring:
            raise LogRestoring("the log is being restored from its archive; if that was cut off, restore it again")
        # Whoever asks for fewer replicas than there are, a tool say, must not take the others away.
        wanted["num_replicas"] = max(wanted["num_replicas"], config.get("num_replicas", 1))
        if any(config.get(key, _ABSENT.get(key)) != value for key, value in wanted.items()):
            await connection.api(f"STREAM.UPDATE.{name}", {**config, **wanted})


# The server leaves out what is zero.
_ABSENT: dict[str, Any] = {"max_age": 0}
