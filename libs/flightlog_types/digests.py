"""Content digests of messages: what re-registration compares."""

import hashlib

from google.protobuf.message import Message


def digest(message: Message) -> bytes:
    """SHA-256 (32 bytes) of a message's content.

    Equal for equal content whatever the order in which map entries arrived; unknown fields count as content, so a field
    of a newer client is never silently equal to its absence (admin-contract §3.8, T37).
    """
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()
