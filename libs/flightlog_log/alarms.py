"""The alarm clock: messages that the server delivers when they are due.

A schedule is the last message on its key's subject below `alarm.`; when it is due, the server puts its body on the same
subject below `alarmed.`, where a durable consumer finds it. Both survive restarts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from flightlog_telemetry import span_from

from .connection import Connection, parse_api
from .consuming import Delivery
from .errors import Undecodable
from .subjects import Subject, encode_token

_DUE = "Flightlog-Due"
_TRACEPARENT = "traceparent"
# What fired is dropped after this time, handled or not, unless it is to last.
_KEPT = "720h"
_Alarm = TypeVar("_Alarm", bound=Message)


async def schedule(
    connection: Connection, key: Subject, due: datetime, message: Message, traceparent: str, *, lasting: bool
) -> None:
    """See `Log.schedule`."""
    if key.stream != "ALARM":
        raise ValueError(f"{key}: the key of an alarm is a subject of the stream ALARM")
    due = due.astimezone(UTC)
    moment = due.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
    text = str(key)
    headers = {
        "Nats-Schedule": f"@at {moment}",
        "Nats-Schedule-Target": "alarmed." + text.partition(".")[2],
        _DUE: moment,
    }
    if not lasting:
        headers["Nats-Schedule-TTL"] = _KEPT
    if traceparent:
        headers[_TRACEPARENT] = traceparent
    data = message.SerializeToString()

    async def attempt() -> None:
        parse_api(await connection.request(text, data, headers))

    await connection.patiently(attempt)


class AlarmSource(Generic[_Alarm]):
    """Draws the alarms of one kind and hands them on parsed."""

    stream = "ALARM"

    def __init__(
        self,
        durable: str,
        kind: str,
        handler: Callable[[_Alarm, datetime], Awaitable[None]],
        message_type: type[_Alarm],
    ) -> None:
        self.durable = durable
        self.filter = f"alarmed.*.{encode_token(kind)}.>"
        self._handler = handler
        self._message_type = message_type

    def wanted(self, headers: Mapping[str, str]) -> bool:
        return True

    async def handle(self, delivery: Delivery) -> None:
        try:
            message = self._message_type.FromString(delivery.data)
        except DecodeError as error:
            raise Undecodable(f"{delivery.subject}: not a {self._message_type.DESCRIPTOR.name}: {error}") from error
        moment = delivery.headers.get(_DUE)
        due = datetime.fromisoformat(moment[:26]).replace(tzinfo=UTC) if moment else datetime.now(UTC)
        traceparent = delivery.headers.get(_TRACEPARENT, "")
        with span_from(traceparent, f"consume ALARM {self.durable}", kind="consumer", subject=delivery.subject):
            await self._handler(message, due)
