"""Whose an envelope is, from its bytes alone: ten times as quick as decoding it. Pure.

The audit of a stream looks at every message of it, and nearly all of them are services'. The fields of an envelope lie
in the order of their numbers, so only what comes before the actor is passed over.
"""

from __future__ import annotations

from typing import Final

_ACTOR: Final = 7
_METHOD: Final = 2
_SERVICE: Final = b"service"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def made_by_service(envelope: bytes) -> bool:
    """Whether an envelope says that a service acted by itself. False for what cannot be read like this."""
    try:
        actor = _field(envelope, _ACTOR)
        return actor is not None and _field(actor, _METHOD) == _SERVICE
    except IndexError:
        return False


def _field(data: bytes, wanted: int) -> bytes | None:
    """The first field of this number, which has a length; None when there is none.

    Raises `IndexError` for bytes that are no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _BYTES:
            length, at = _varint(data, at)
            end = at + length
            if end > len(data):
                raise IndexError("the field ends behind the message")
            if key >> 3 == wanted:
                return data[at:end]
            at = end
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise IndexError("no field of a message begins like this")
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
