"""What was registered never changes, so it may be kept; memory is the only limit."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


class MessageCache(Generic[M]):
    """The most recently used messages, up to a number of (serialized) bytes. They are shared: nobody changes them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[M, int]] = OrderedDict()

    def get(self, key: Hashable) -> M | None:
        """The message under a key, which counts as used now."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def clear(self) -> None:
        """Keep nothing any more."""
        self._kept.clear()
        self._bytes = 0

    def put(self, key: Hashable, message: M) -> None:
        """Keep a message; the least recently used ones make room."""
        size = message.ByteSize()
        before = self._kept.pop(key, None)
        self._bytes += size - (before[1] if before else 0)
        self._kept[key] = (message, size)
        while self._bytes > self._max_bytes and self._kept:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed
