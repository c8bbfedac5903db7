"""Whose an envelope is, without its facts. Pure.

The audit of a stream looks at every message of it, and nearly all of them are services': facts, which are most of an
envelope, need not be made of those.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from flightlog_protos.log.v1.envelope_pb2 import Envelope


def made_by_service(message: bytes) -> bool:
    """Whether an envelope says that a service acted by itself. False for what is no envelope."""
    try:
        return Envelope.FromString(message).actor.method == "service"
    except DecodeError:
        return False
