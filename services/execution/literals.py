"""Literals kept at hand, so that a decision right after another finds its data without reading it back."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TypeVar

from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import DecodeError

from flightlog_blobs import BlobStore, BlobTooLarge

_Value = TypeVar("_Value", Literal, LiteralMap)


class LiteralCache(Mapping[str, _Value]):
    """Literals by uri, the most recently used ones up to `limit` bytes. What lies under a uri never changes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[_Value, int]] = OrderedDict()

    def __getitem__(self, uri: str) -> _Value:
        entry = self._entries[uri]
        self._entries.move_to_end(uri)
        return entry[0]

    def __contains__(self, uri: object) -> bool:
        return uri in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, uri: str, literals: _Value) -> None:
        """Adds a value, and lets go of the longest unused ones when there are too many bytes."""
        size = literals.ByteSize() + len(uri)
        if uri in self._entries or size > self._limit:
            return
        self._entries[uri] = (literals, size)
        self._bytes += size
        while self._bytes > self._limit and self._entries:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._bytes -= dropped


async def load_offloaded(blobs: BlobStore, uri: str, limit: int) -> Literal | str:
    """An offloaded literal of at most `limit` bytes, or why it can never be had. Raises BlobError."""
    # Users name these.
    if not blobs.has_room_for(uri):
        return "it names no object of this store"
    try:
        data = await blobs.get_or_none(uri, limit=limit)
    except BlobTooLarge as error:
        return str(error)
    if data is None:
        return "it does not exist"
    try:
        return Literal.FromString(data)
    except DecodeError:
        return "it holds no literal"
