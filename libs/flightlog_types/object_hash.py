"""Flyte's hash of a message: of its content as JSON, whatever the order of its entries (engine-semantics §10, note).

Cache keys are made of it, so every byte counts: results that another catalog of the same rules has stored are found.
"""

import base64
import hashlib
import math
from collections.abc import Mapping
from typing import Final

from google.protobuf.json_format import Error, MessageToDict
from google.protobuf.message import Message

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

_NULL: Final = hashlib.sha256(b"n").digest()


def object_hash(message: Message) -> bytes:
    """The hash (32 bytes) of a message's proto3 JSON form.

    Raises:
        ValueError: it has none, as a struct that holds an infinite number.
    """
    try:
        return json_hash(MessageToDict(message))
    except Error as error:
        raise ValueError(f"no JSON form, so no hash: {error}") from error


def encoded(digest: bytes) -> str:
    """A hash as it stands in keys: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def json_hash(value: JSON) -> bytes:
    """The hash (32 bytes) of a JSON value: SHA-256 over a letter for its type and its content.

    Numbers count as floating-point ones; the entries of an object have no order.
    """
    match value:
        case None:
            return _NULL
        case bool():
            content = b"b1" if value else b"b0"
        case str():
            content = b"u" + value.encode()
        case int() | float():
            content = b"f" + _normalized(float(value)).encode()
        case list():
            content = b"l" + b"".join(json_hash(item) for item in value)
        case dict():
            return composed({name: json_hash(item) for name, item in value.items()})
    return hashlib.sha256(content).digest()


def composed(entries: Mapping[str, bytes]) -> bytes:
    """The hash (32 bytes) of a JSON object whose entries have been hashed, by name."""
    content = b"d" + b"".join(sorted(json_hash(name) + digest for name, digest in entries.items()))
    return hashlib.sha256(content).digest()


def _normalized(number: float) -> str:
    """A finite number as sign, exponent and binary digits of a mantissa above a half and at most one."""
    if number == 0:
        return "+0:"
    sign = "+" if number > 0 else "-"
    mantissa, exponent = math.frexp(abs(number))
    if mantissa == 0.5:
        # The only mantissa that is written as one instead.
        return f"{sign}{exponent - 1}:1"
    digits: list[str] = []
    while mantissa:
        whole, mantissa = divmod(mantissa, 1)
        digits.append("1" if whole else "0")
        mantissa *= 2
    return f"{sign}{exponent}:{''.join(digits)}"
