"""Facts without the data of users that is in them: each value becomes its hash. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from flyteidl.core.literals_pb2 import Literal
from google.protobuf.message import Message

_PREFIX: Final = "sha256:"


def redacted(message: Message) -> Message | None:
    """The message with each literal replaced by its hash; None when it has none."""
    made = type(message)()
    made.CopyFrom(message)
    return made if _redact(made) else None


def is_redacted(literal: Literal) -> bool:
    """Whether only the hash of a value is left."""
    return literal.WhichOneof("value") is None and literal.hash.startswith(_PREFIX)


def _redact(message: Message) -> bool:
    if isinstance(message, Literal):
        if is_redacted(message):
            return True
        digest = sha256(message.SerializeToString(deterministic=True)).hexdigest()
        message.Clear()
        message.hash = _PREFIX + digest
        return True
    found = False
    for field, value in message.ListFields():
        for item in _messages(field, value):
            found = _redact(item) or found
    return found


def _messages(field: Any, value: Any) -> list[Message]:
    if field.message_type is None:
        return []
    if field.message_type.GetOptions().map_entry:
        return [item for item in value.values() if isinstance(item, Message)]
    if field.is_repeated:
        return list(value)
    return [value]
