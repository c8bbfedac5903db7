"""What the tests of the log share besides fixtures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import nats

from flightlog_cli.embedded.child import Child
from flightlog_log import Cause, Head, Log, LogSettings, Recorded, Subject
from flightlog_protos.execution.v1.facts_pb2 import TimerSet

CAUSE = Cause.service("test")


@dataclass(frozen=True)
class OwnNats:
    """A server to be killed and restarted at will."""

    child: Child
    settings: LogSettings

    async def client(self) -> nats.NATS:
        """A client that knows nothing of envelopes."""
        settings = self.settings
        assert settings.password is not None
        return await nats.connect(settings.nats_url, user=settings.user, password=settings.password.get_secret_value())


class Handled:
    """A handler that keeps what it got for the subjects it watches."""

    def __init__(self, *subjects: Subject) -> None:
        self.records: list[Recorded] = []
        self._arrived: asyncio.Queue[Recorded] = asyncio.Queue()
        self._subjects = {str(subject) for subject in subjects}

    async def __call__(self, record: Recorded) -> None:
        if record.subject in self._subjects:
            self.records.append(record)
            self._arrived.put_nowait(record)

    async def next(self, seconds: float = 20) -> Recorded:
        return await asyncio.wait_for(self._arrived.get(), seconds)


async def append_many(log: Log, subject: Subject, count: int, head: Head = Head.EMPTY) -> Head:
    """Timers named 0, 1, …, an append each."""
    for index in range(count):
        head = (await log.append(subject, [TimerSet(timer_id=str(index))], head=head, cause=CAUSE)).head
    return head
