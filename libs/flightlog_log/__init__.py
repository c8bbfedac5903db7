"""The log: envelopes on JetStream, with optimistic concurrency per subject, and what reads them.

log = await Log.connect(settings, blobs, name="execution")
head = await log.head(subject)
recorded = await log.append(subject, [fact], head=head, cause=Cause.service("execution"))
records = await log.load(subject)
"""

from .envelopes import Cause, Head, Recorded, Unreadable, new_id, verify_chain
from .errors import BrokenChain, Conflict, LogError, LogUnavailable, PayloadMissing, Undecodable
from .keeping import Kept
from .keys import Keys
from .log import Log
from .moments import Extent
from .parking import ParkedEntry
from .reading import Raw
from .settings import LogSettings, PersonalDataSettings
from .subjects import PARTITIONS, Subject, decode_token, encode_token, stream_of
from .verbatim import recorded_of

__all__ = [
    "PARTITIONS",
    "BrokenChain",
    "Cause",
    "Conflict",
    "Extent",
    "Head",
    "Kept",
    "Keys",
    "Log",
    "LogError",
    "LogSettings",
    "LogUnavailable",
    "ParkedEntry",
    "PayloadMissing",
    "PersonalDataSettings",
    "Raw",
    "Recorded",
    "Subject",
    "Undecodable",
    "Unreadable",
    "decode_token",
    "encode_token",
    "new_id",
    "recorded_of",
    "stream_of",
    "verify_chain",
]
