"""Making a long log in a short time: real executions, stored again and again under other names.

The envelopes are those of executions that ran: the same facts, sizes and headers. Names and ids are replaced by others
of the same length, so that the bytes stay valid messages, and the hash chains are made anew. Many executions go on at
once, as on a busy day, and many appends are under way at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

import nats
from nats.aio.msg import Msg

from flightlog_log import LogSettings, Recorded, Subject

AT_ONCE = 500
"""Executions that go on at the same time."""
_IN_FLIGHT = 4000
_HASH_BYTES = 32


class Refused(Exception):
    """The server did not store an envelope."""


@dataclass(frozen=True)
class Template:
    """An execution to be stored again: its subject, and each envelope's bytes with the names of its facts."""

    subject: str
    envelopes: tuple[tuple[bytes, str], ...]
    event_ids: tuple[bytes, ...]

    @staticmethod
    def of(records: Sequence[Recorded]) -> Template:
        """All envelopes of one execution, none of them with facts in the object store."""
        return Template(
            records[0].subject,
            tuple(
                (one.envelope.SerializeToString(), ",".join(dict.fromkeys(fact.DESCRIPTOR.name for fact in one.facts)))
                for one in records
            ),
            tuple(one.event_id.encode() for one in records),
        )

    def renamed(self, number: int) -> Iterator[tuple[str, bytes, str, str]]:
        """Subject, bytes, names of facts and event id of each envelope of another execution, chained anew."""
        old = Subject.parse(self.subject)
        project, domain, name = old.parts
        new_name = f"a{number:0{len(name) - 1}d}"
        new = Subject.of(old.stream, project, domain, new_name)
        ids = [str(UUID(int=number << 32 | index)) for index in range(len(self.envelopes))]
        replaced = [(self.subject.encode(), new.text.encode()), (name.encode(), new_name.encode())]
        replaced += [(was, now.encode()) for was, now in zip(self.event_ids, ids, strict=True)]
        before: tuple[bytes, bytes] | None = None
        for (data, facts), event_id in zip(self.envelopes, ids, strict=True):
            renamed = data
            for was, now in replaced:
                renamed = renamed.replace(was, now)
            if before is not None:
                renamed = renamed.replace(*before)
            before = sha256(data).digest(), sha256(renamed).digest()
            yield new.text, renamed, facts, event_id


async def fill(
    settings: LogSettings, templates: Sequence[Template], count: int, report: Callable[[int], None], first: int = 0
) -> int:
    """Appends `count` envelopes to the stream EXECUTION, which nobody else writes; returns how many executions.

    Args:
        report: told now and then how many are stored.
        first: number of the first execution's name.

    Raises `Refused`.
    """
    password = settings.password.get_secret_value() if settings.password else None
    client = await nats.connect(settings.nats_url, user=settings.user, password=password)
    stored = 0
    room = asyncio.Event()
    refused: list[str] = []

    async def acknowledged(message: Msg) -> None:
        nonlocal stored
        stored += 1
        if b'"error"' in message.data:
            refused.append(message.data.decode())
        room.set()
        if stored % 10_000 == 0:
            report(stored)

    try:
        stream = await client.jetstream().stream_info("EXECUTION")
        base = stream.state.last_seq
        inbox = client.new_inbox()
        await client.subscribe(inbox, cb=acknowledged, pending_msgs_limit=0, pending_bytes_limit=0)
        heads: dict[str, int] = {}
        executions = _Executions(templates, first)
        for index in range(count):
            subject, data, facts, event_id = executions.next()
            headers = {
                "Nats-Msg-Id": event_id,
                "Nats-Expected-Last-Subject-Sequence": str(heads.get(subject, 0)),
                "Flightlog-Facts": facts,
            }
            heads[subject] = base + index + 1
            while index - stored >= _IN_FLIGHT and not refused:
                room.clear()
                await room.wait()
            if refused:
                raise Refused(refused[0])
            await client.publish(subject, data, reply=inbox, headers=headers)
        while stored < count:
            room.clear()
            await room.wait()
        if refused:
            raise Refused(refused[0])
        return executions.begun
    finally:
        await client.close()


class _Executions:
    """The envelopes of many executions, one of each in turn; where one ends, another begins."""

    def __init__(self, templates: Sequence[Template], first: int) -> None:
        self._templates = templates
        self._first = first
        self.begun = 0
        self._running: list[Iterator[tuple[str, bytes, str, str]]] = []
        self._turn = 0

    def next(self) -> tuple[str, bytes, str, str]:
        if len(self._running) < AT_ONCE:
            self._running.append(self._begin())
            return next(self._running[-1])
        self._turn = (self._turn + 1) % AT_ONCE
        found = next(self._running[self._turn], None)
        if found is None:
            self._running[self._turn] = self._begin()
            found = next(self._running[self._turn])
        return found

    def _begin(self) -> Iterator[tuple[str, bytes, str, str]]:
        number = self._first + self.begun
        self.begun += 1
        return self._templates[number % len(self._templates)].renamed(number)
