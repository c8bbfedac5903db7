"""Literal maps kept at hand, so that a decision right after another finds its data without reading it back."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from flyteidl.core.literals_pb2 import LiteralMap


class LiteralCache(Mapping[str, LiteralMap]):
    """Literal maps by uri, the most recently used ones up to `limit` bytes. What lies under a uri never changes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[LiteralMap, int]] = OrderedDict()

    def __getitem__(self, uri: str) -> LiteralMap:
        entry = self._entries[uri]
        self._entries.move_to_end(uri)
        return entry[0]

    def __contains__(self, uri: object) -> bool:
        return uri in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, uri: str, literals: LiteralMap) -> None:
        """Adds a map, and lets go of the longest unused ones when there are too many bytes."""
        if uri in self._entries:
            return
        size = literals.ByteSize() + len(uri)
        self._entries[uri] = (literals, size)
        self._bytes += size
        while self._bytes > self._limit and self._entries:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._bytes -= dropped
