"""How two versions of the same entity differ, as text for the person who registered the second one.

The form is Flyte's: a path, what was there, what is given (tests/recordings/errors.json, "same id, other content").
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_LINES = 40
"""Differences listed; more help nobody and do not fit a gRPC status (admin-contract T8)."""

_MAX_VALUE = 200


def listed(before: Message, after: Message) -> str:
    """The differences between two messages of one type, one paragraph each; "" when there are none."""
    found: list[str] = []
    for path, old, new in _differences(before, after, ""):
        if len(found) == MAX_LINES:
            found.append("…")
            break
        lines = [f"{path}:"]
        lines += [f"\t- {old} "] if old is not None else []
        lines += [f"\t+ {new}"] if new is not None else []
        found.append("\n".join(lines))
    return "\n".join(found)


def _differences(before: Message, after: Message, path: str) -> Iterator[tuple[str, str | None, str | None]]:
    for field in cast(Iterable[FieldDescriptor], before.DESCRIPTOR.fields):
        here = f"{path}/{_step(field)}"
        if field.is_repeated:
            yield from _repeated(field, getattr(before, field.name), getattr(after, field.name), here)
        elif field.message_type is not None:
            yield from _single(
                getattr(before, field.name) if before.HasField(field.name) else None,
                getattr(after, field.name) if after.HasField(field.name) else None,
                here,
            )
        elif getattr(before, field.name) != getattr(after, field.name):
            yield here, _short(getattr(before, field.name)), _short(getattr(after, field.name))


def _single(old: Message | None, new: Message | None, path: str) -> Iterator[tuple[str, str | None, str | None]]:
    if old is not None and new is not None:
        if old != new:
            yield from _differences(old, new, path)
    elif old is not None:
        yield path, _short(old), None
    elif new is not None:
        yield path, None, _short(new)


def _repeated(field: FieldDescriptor, old: Any, new: Any, path: str) -> Iterator[tuple[str, str | None, str | None]]:
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    before: dict[Any, object] = dict(old.items() if is_map else enumerate(old))
    after: dict[Any, object] = dict(new.items() if is_map else enumerate(new))
    for key in sorted({*before, *after}):
        here, mine, theirs = f"{path}/{key}", before.get(key), after.get(key)
        if isinstance(mine, Message) and isinstance(theirs, Message):
            yield from _single(mine, theirs, here)
        elif mine != theirs:
            yield here, None if mine is None else _short(mine), None if theirs is None else _short(theirs)


def _step(field: FieldDescriptor) -> str:
    """A field of a oneof is named twice, after the oneof and after itself, both in camel case."""
    oneof = field.containing_oneof
    if oneof is None or oneof.name.startswith("_"):
        return field.name
    return f"{_camel(oneof.name)}/{_camel(field.name)}"


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
