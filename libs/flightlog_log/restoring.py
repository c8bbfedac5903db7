"""Giving an empty log its messages back, each under the sequence that it had.

Sequences are what rows, heads and other services' facts name messages by, so they must be the same ones. The server
counts by itself: where a sequence is no longer wanted, because its message was deleted once, something is put in its
place and taken away again at the end.

While it goes on, every stream is marked, and `Log.connect` refuses the log: a service that began in between would take
what is there for all there is. One that was cut off goes on where it was.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from .connection import ApiError, Connection, ConnectionLost, parse_api
from .errors import LogError, LogNotEmpty
from .reading import Raw
from .settings import LogSettings
from .streams import RESTORED, RESTORING, STREAMS, ensure_streams

_AT_ONCE: Final = 500
_WRONG_LAST_SEQUENCE: Final = 10071
_NO_MESSAGE: Final = 10037
_PLACEHOLDER: Final = "restored"


class Restoration:
    """A log that is being restored. Made by `open`; everything raises `LogUnavailable`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, settings: LogSettings, *, name: str) -> Restoration:
        """Make the streams and mark them as being restored.

        Raises `LogNotEmpty` when there is anything on the log that no restore has put there.
        """
        connection = await Connection.open(settings, name)
        try:
            await ensure_streams(connection, restoring=True)
            self = cls(connection)
            infos = {stream: await self._info(stream) for stream in STREAMS}
            begun = any(RESTORING in (info["config"].get("metadata") or {}) for info in infos.values())
            full = [stream for stream, info in infos.items() if int(info["state"]["last_seq"])]
            if full and not begun:
                raise LogNotEmpty(f"the log is not empty: there is something on {', '.join(full)}")
            for stream in STREAMS:
                await self._mark(stream, restoring=True)
        except BaseException:
            await connection.close()
            raise
        return self

    async def close(self) -> None:
        await self._connection.close()

    async def position(self, stream: str) -> int:
        """The last sequence that has been given back."""
        return int((await self._info(stream))["state"]["last_seq"])

    async def latest(self, stream: str) -> Raw | None:
        """The message at that position, None when there is none; one of `is_placeholder` where nothing belongs."""
        position = await self.position(stream)
        try:
            found = await self._connection.api(f"STREAM.MSG.GET.{stream}", {"seq": position})
        except ApiError as error:
            if error.err_code == _NO_MESSAGE:
                return None
            raise
        message = found["message"]
        return Raw(message["subject"], position, b64decode(message.get("data", "")), {})

    async def put(self, stream: str, messages: Sequence[Raw]) -> None:
        """Give back messages behind the stream's position, in order. Raises `LogError` when one gets another place."""
        last = await self.position(stream)
        pending = [message for message in messages if message.sequence > last]
        if pending and last == 0 and pending[0].sequence > 1:
            # On a stream without messages this moves its beginning.
            await self._connection.api(f"STREAM.PURGE.{stream}", {"seq": pending[0].sequence})
            last = await self.position(stream)
        await self._put_all(stream, _filled(stream, pending, last), last)

    async def fill(self, stream: str, sequence: int) -> None:
        """Let a stream end at a sequence, although what was there is not to be given back."""
        last = await self.position(stream)
        await self._put_all(stream, _filled(stream, [], last, sequence), last)

    async def _put_all(self, stream: str, filled: Iterator[Raw], last: int) -> None:
        pending: list[Raw] = []
        while pending or (pending := list(islice(filled, _AT_ONCE))):
            try:
                await asyncio.gather(*(self._put(message) for message in pending))
            except (ConnectionLost, ApiError) as error:
                if isinstance(error, ApiError) and error.err_code != _WRONG_LAST_SEQUENCE:
                    raise
                reached = await self.position(stream)
                if reached <= last and isinstance(error, ApiError):
                    raise LogError(f"{stream}: nothing can be put behind {last}: {error}") from error
                last = reached
            else:
                last = pending[-1].sequence
            pending = [message for message in pending if message.sequence > last]

    async def _put(self, message: Raw) -> None:
        headers = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
        headers["Nats-Expected-Last-Sequence"] = str(message.sequence - 1)
        stored = parse_api(await self._connection.request(message.subject, message.data, headers))
        if int(stored["seq"]) != message.sequence:
            raise LogError(f"{message.subject}: sequence {message.sequence} has become {stored['seq']}")

    async def finish(self) -> None:
        """Take away what stood in the place of missing messages, and let everybody use the log."""
        for stream in STREAMS:
            await self._connection.api(f"STREAM.PURGE.{stream}", {"filter": _placeholder(stream)})
        for stream in STREAMS:
            await self._mark(stream, restoring=False)

    async def _mark(self, stream: str, *, restoring: bool) -> None:
        info = await self._info(stream)
        config = info["config"]
        metadata = {name: value for name, value in (config.get("metadata") or {}).items() if name != RESTORING}
        mark = {RESTORING: "yes"} if restoring else {RESTORED: str(info["state"]["last_seq"])}
        config["metadata"] = metadata | mark
        await self._connection.api(f"STREAM.UPDATE.{stream}", config)

    async def _info(self, stream: str) -> dict[str, Any]:
        return await self._connection.api(f"STREAM.INFO.{stream}")


def _filled(stream: str, messages: Sequence[Raw], last: int, until: int = 0) -> Iterator[Raw]:
    """The messages, with something in every gap between them, behind `last` and up to `until`.

    One after the other: a gap can be as long as all that was ever deleted.
    """
    for message in messages:
        yield from _gap(stream, last, message.sequence - 1)
        yield message
        last = message.sequence
    yield from _gap(stream, last, until)


def _gap(stream: str, after: int, until: int) -> Iterator[Raw]:
    return (Raw(_placeholder(stream), sequence, b"", {}) for sequence in range(after + 1, until + 1))


def is_placeholder(message: Raw) -> bool:
    """Whether a message only stands where one is missing."""
    return message.subject.partition(".")[2] == _PLACEHOLDER


def _placeholder(stream: str) -> str:
    return f"{STREAMS[stream]['subjects'][0].partition('.')[0]}.{_PLACEHOLDER}"
