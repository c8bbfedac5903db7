"""The one-line text form in which Flyte prints messages inside its answers.

Clients' users read these texts (`project:"flytesnacks"  domain:"development"`), so error messages carry the same form:
fields in declaration order, two spaces between them, nested messages in braces, map entries sorted by key.
"""

import ctypes
import math
from collections.abc import Iterator
from decimal import Decimal

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


def prototext(message: Message | None) -> str:
    """The one-line text of a message, e.g. of an identifier or a literal type; `<nil>` for None."""
    if message is None:
        return "<nil>"
    return "  ".join(_fields(message))


def _fields(message: Message) -> Iterator[str]:
    for field, value in sorted(message.ListFields(), key=lambda pair: pair[0].index):
        if _is_map(field):
            entry = value.GetEntryClass().DESCRIPTOR.fields_by_name
            for key in sorted(value):
                pair = (f"key:{_scalar(entry['key'], key)}", f"value:{_value(entry['value'], value[key])}")
                yield f"{field.name}:{{{'  '.join(pair)}}}"
        elif field.is_repeated:
            for item in value:
                yield f"{field.name}:{_value(field, item)}"
        else:
            yield f"{field.name}:{_value(field, value)}"


def _is_map(field: FieldDescriptor) -> bool:
    return field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry


def _value(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        return f"{{{prototext(value)}}}"
    return _scalar(field, value)


def _scalar(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bytes):
        return _quoted_bytes(value)
    if isinstance(value, float):
        return _float(value, single=field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT)
    if field.enum_type is not None and isinstance(value, int):
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    return str(value)


def _quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{ord(character):02x}" if character < " " or character == "\x7f" else character


def _quoted_bytes(value: bytes) -> str:
    # Bytes that are no UTF-8 come back as lone surrogates, one per byte.
    text = value.decode("utf-8", "surrogateescape")
    return '"' + "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else _escaped(c) for c in text) + '"'


def _float(value: float, *, single: bool) -> str:
    """Shortest digits that read back the same value; with an exponent below 1e-4 and from 1e6 on."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    shortest = Decimal(_shortest_single(value) if single else repr(value)).normalize()
    sign, digits, _ = shortest.as_tuple()
    exponent = shortest.adjusted() if shortest else 0
    if -4 <= exponent < 6:
        return format(shortest, "f")
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{exponent:+03d}"


def _shortest_single(value: float) -> str:
    rounded = (f"{value:.{precision}g}" for precision in range(1, 10))
    return next((text for text in rounded if _as_single(float(text)) == value), repr(value))


def _as_single(value: float) -> float:
    return ctypes.c_float(value).value
