"""Signatures of webhooks, as Standard Webhooks defines them: who has the secret knows that a message is ours, and when.

The secret is `whsec_` and base64 of 24 to 64 random bytes. What is signed is `<id>.<seconds>.<body>`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
_PREFIX = "whsec_"
_LENGTHS = range(24, 65)


def key_of(secret: str) -> bytes:
    """The key of a secret. Raises `ValueError`, whose text does not repeat the secret."""
    if not secret.startswith(_PREFIX):
        raise ValueError(f"a signing secret begins with {_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {_PREFIX} in a signing secret is base64") from None
    if len(key) not in _LENGTHS:
        raise ValueError("a signing secret has 24 to 64 bytes")
    return key


def headers(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers of a message: one signature for each key, so that a receiver may know either while keys change.

    Args:
        timestamp: of this try, in seconds since 1970: receivers refuse what is too old.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys)
    found = {ID: message_id, TIMESTAMP: str(timestamp)}
    joined = " ".join(f"v1,{signature}" for signature in signatures)
    return {**found, SIGNATURE: joined} if joined else found
