"""The objects that facts name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.message import Message

from flightlog_protos.log.v1.envelope_pb2 import DataRef


def references(facts: Iterable[Message]) -> list[DataRef]:
    """What facts say lies in the object store, each object once, in the order in which they say it."""
    found: dict[str, DataRef] = {}
    for ref in named(facts):
        # Outputs of a task without any are named, and are not there.
        if ref.sha256:
            found.setdefault(ref.uri, ref)
    return list(found.values())


def named(facts: Iterable[Message]) -> Iterator[DataRef]:
    """Every place in the object store that facts name, whether something is there or not."""
    for fact in facts:
        yield from _references(fact)


def _references(message: Message) -> Iterator[DataRef]:
    if isinstance(message, DataRef):
        if message.uri:
            yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            items = list(value.values())
        else:
            items = list(value) if field.is_repeated else [value]
        for item in items:
            if isinstance(item, Message):
                yield from _references(item)
