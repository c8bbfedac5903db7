"""Times of rows: protobuf's in messages, the database's in columns."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS = 1_000_000_000


def lasted(started: Timestamp, ended: Timestamp) -> Duration:
    """How long something took. Never negative: an observer's clock may lag behind the engine's."""
    nanos = max(0, (ended.seconds - started.seconds) * _NANOS + ended.nanos - started.nanos)
    return Duration(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def instant(stamp: Timestamp) -> datetime:
    """A timestamp as the database keeps it, to the microsecond."""
    return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)


def nanoseconds(duration: Duration) -> int:
    """A duration as lists filter and sort by it."""
    return duration.seconds * _NANOS + duration.nanos
