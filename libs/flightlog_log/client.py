"""nats-py's client with less to do for each message: what it does in between cost us more than the message itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

_VERSION = b"NATS/1.0"
_PLAIN = _VERSION + b"\r\n"

Take = Callable[[Msg], None]
"""Gets a message while it is read from the socket: it must be quick, and must not raise."""


class Headers(Mapping[str, str]):
    """The headers of a message, taken apart when somebody asks: most are never looked at.

    Args:
        lines: as they came, each behind its line break.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def __getitem__(self, name: str) -> str:
        key = _key(name)
        at = self._lines.rfind(key)
        if at < 0:
            return self._all()[name]
        value, _, _ = self._lines[at + len(key) :].partition(b"\r\n")
        return value.decode("utf-8", "replace").strip()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, str]:
        lines = self._lines.decode("utf-8", "replace").split("\r\n")
        divided = (line.partition(":") for line in lines)
        return {name.strip(): value.strip() for name, colon, value in divided if colon}


class FastClient(Client):
    """Hands messages over as they are read, and leaves their headers as they are."""

    async def subscribe_directly(self, subject: str, take: Take) -> Subscription:
        """Has each message given to `take` at once, without a queue and a task in between.

        Limits and counters of such a subscription do nothing.
        """
        return await self.subscribe(subject, cb=partial(_hand_over, take))

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        subscription = self._subs.get(sid)
        callback: Any = getattr(subscription, "_cb", None)
        if type(callback) is not partial or callback.func is not _hand_over:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        read = await self._process_headers(headers)
        try:
            callback.args[0](self._build_message(sid, subject, reply, data, read))
        except Exception as error:  # noqa: BLE001  # the socket must go on being read
            await self._error_cb(error)

    async def _process_headers(self, headers: bytes | None) -> Any:
        if headers is None or not headers.startswith(_PLAIN):
            return await super()._process_headers(headers)
        return Headers(headers[len(_VERSION) :])


async def _hand_over(take: Take, message: Msg) -> None:
    take(message)


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return f"\r\n{name}:".encode()
