"""The log: envelopes on JetStream, with optimistic concurrency per subject, and what reads them.

log = await Log.connect(settings, blobs, name="execution")
head = await log.head(subject)
recorded = await log.append(subject, [fact], head=head, cause=Cause.service("execution"))
records = await log.load(subject)
"""

from .envelopes import Cause, Head, Recorded, Unreadable, new_id, verify_chain
from .errors import BrokenChain, Conflict, LogError, LogUnavailable, PayloadMissing, Undecodable
from .keeping import Kept
from .log import Log
from .parking import ParkedEntry
from .moments import Extent
from .settings import LogSettings
from .subjects import PARTITIONS, Subject, decode_token, encode_token, stream_of

__all__ = [
    "PARTITIONS",
    "BrokenChain",
    "Cause",
    "Conflict",
    "Head",
    "Kept",
    "Log",
    "Extent",
    "LogError",
    "LogSettings",
    "LogUnavailable",
    "ParkedEntry",
    "PayloadMissing",
    "Recorded",
    "Subject",
    "Undecodable",
    "Unreadable",
    "decode_token",
    "encode_token",
    "new_id",
    "stream_of",
    "verify_chain",
]
