"""The log: envelopes on JetStream, with optimistic concurrency per subject, and what reads them.

log = await Log.connect(settings, blobs, name="execution")
head = await log.head(subject)
recorded = await log.append(subject, [fact], head=head, cause=Cause.service("execution"))
records = await log.load(subject)
"""

from .cold import KNOWN_SECONDS, Cold, Trimming
from .envelopes import Cause, Head, Recorded, Unreadable, new_id, parse_envelope, verify_chain
from .errors import (
    BrokenChain,
    Conflict,
    EventsMissing,
    LogError,
    LogNotEmpty,
    LogRestoring,
    LogUnavailable,
    PayloadMissing,
    Undecodable,
)
from .keeping import Kept
from .keys import Keys
from .log import Log
from .moments import Extent
from .parking import ParkedEntry
from .reading import Raw
from .restoring import Restoration
from .settings import LogSettings, PersonalDataSettings
from .subjects import PARTITIONS, Subject, decode_token, encode_token, stream_of
from .verbatim import came_at, recorded_of

__all__ = [
    "KNOWN_SECONDS",
    "PARTITIONS",
    "BrokenChain",
    "Cause",
    "Cold",
    "Conflict",
    "EventsMissing",
    "Extent",
    "Head",
    "Kept",
    "Keys",
    "Log",
    "LogError",
    "LogNotEmpty",
    "LogRestoring",
    "LogSettings",
    "LogUnavailable",
    "ParkedEntry",
    "PayloadMissing",
    "PersonalDataSettings",
    "Raw",
    "Recorded",
    "Restoration",
    "Subject",
    "Trimming",
    "Undecodable",
    "Unreadable",
    "came_at",
    "decode_token",
    "encode_token",
    "new_id",
    "parse_envelope",
    "recorded_of",
    "stream_of",
    "verify_chain",
]
