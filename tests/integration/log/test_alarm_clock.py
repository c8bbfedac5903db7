"""Alarms fire when they are due, whatever happens to the server in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from flightlog_log import Log, Subject
from flightlog_protos.execution.v1.alarms_pb2 import Alarm
from tests.integration.log.shared import OwnNats

Background = Callable[..., asyncio.Task[None]]


class Rung:
    """Takes alarms of a kind of its own, with the time at which they came."""

    def __init__(self, log: Log, background: Background) -> None:
        self.kind = f"kind.{uuid4().hex}"
        self._log = log
        self._alarms: asyncio.Queue[tuple[Alarm, datetime, datetime]] = asyncio.Queue()
        background(log.consume_alarms(f"alarms_{uuid4().hex}", self.kind, self._handle, Alarm))

    async def _handle(self, alarm: Alarm, due: datetime) -> None:
        self._alarms.put_nowait((alarm, due, datetime.now(UTC)))

    async def next(self) -> tuple[Alarm, datetime, datetime]:
        return await asyncio.wait_for(self._alarms.get(), 20)

    def key(self, name: str) -> Subject:
        return Subject.of("ALARM", self.kind, "p", "d", "run.1", name)

    async def set(self, name: str, due: datetime) -> None:
        await self._log.schedule(self.key(name), due, Alarm(timer_id=name))


async def test_alarm_rings_at_its_time_with_what_it_was_given(log: Log, background: Background) -> None:
    rung = Rung(log, background)
    due = datetime.now(UTC) + timedelta(milliseconds=1200)
    await rung.set("t1", due)
    alarm, said, at = await rung.next()
    assert alarm == Alarm(timer_id="t1")
    assert said == due
    assert due <= at < due + timedelta(seconds=1)


async def test_alarm_of_the_past_rings_at_once(log: Log, background: Background) -> None:
    rung = Rung(log, background)
    due = datetime.now(UTC) - timedelta(days=400)
    await rung.set("t1", due)
    alarm, said, _ = await rung.next()
    assert (alarm.timer_id, said) == ("t1", due)


async def test_alarm_moved_rings_only_at_its_new_time(log: Log, background: Background) -> None:
    rung = Rung(log, background)
    now = datetime.now(UTC)
    await rung.set("t1", now + timedelta(milliseconds=600))
    await rung.set("t1", now + timedelta(milliseconds=1500))
    await rung.set("t2", now + timedelta(milliseconds=2000))
    rings = [await rung.next() for _ in range(2)]
    assert [(alarm.timer_id, due) for alarm, due, _ in rings] == [
        ("t1", now + timedelta(milliseconds=1500)),
        ("t2", now + timedelta(milliseconds=2000)),
    ]


async def test_alarm_moved_back_rings_at_its_first_time(log: Log, background: Background) -> None:
    rung = Rung(log, background)
    due = datetime.now(UTC) + timedelta(milliseconds=800)
    await rung.set("t1", due)
    await rung.set("t1", due + timedelta(hours=1))
    await rung.set("t1", due)
    assert (await rung.next())[1] == due


async def test_alarm_set_twice_rings_once(log: Log, background: Background) -> None:
    rung = Rung(log, background)
    due = datetime.now(UTC) + timedelta(milliseconds=500)
    await rung.set("t1", due)
    await rung.set("t1", due)
    await rung.set("t2", due + timedelta(milliseconds=500))
    assert [(await rung.next())[0].timer_id for _ in range(2)] == ["t1", "t2"]


async def test_kinds_do_not_hear_one_another(log: Log, background: Background) -> None:
    one, other = Rung(log, background), Rung(log, background)
    now = datetime.now(UTC)
    await one.set("for one", now)
    await other.set("for other", now)
    assert (await one.next())[0].timer_id == "for one"
    assert (await other.next())[0].timer_id == "for other"


async def test_alarm_survives_a_kill_of_the_server(log: Log, own_nats: OwnNats, background: Background) -> None:
    rung = Rung(log, background)
    due = datetime.now(UTC) + timedelta(milliseconds=1500)
    await rung.set("t1", due)
    await own_nats.child.restart()
    alarm, said, at = await rung.next()
    assert (alarm.timer_id, said) == ("t1", due)
    assert at >= due


async def test_alarm_due_while_the_server_was_down_rings_when_it_is_back(
    log: Log, own_nats: OwnNats, background: Background
) -> None:
    rung = Rung(log, background)
    due = datetime.now(UTC) + timedelta(milliseconds=300)
    await rung.set("t1", due)
    await own_nats.child.kill()
    await asyncio.sleep((due - datetime.now(UTC)).total_seconds())
    await own_nats.child.start()
    alarm, said, _ = await rung.next()
    assert (alarm.timer_id, said) == ("t1", due)


async def test_alarm_that_is_to_last_does_so_until_somebody_takes_it(log: Log, own_nats: OwnNats) -> None:
    key, other = (Subject.of("ALARM", uuid4().hex, name) for name in ("lasting", "other"))
    now = datetime.now(UTC)
    await log.schedule(key, now, Alarm(), lasting=True)
    await log.schedule(other, now, Alarm())

    async with await own_nats.client() as client:
        stream = client.jetstream()

        async def fired(key: Subject) -> dict[str, str]:
            """Headers, as the server keeps it."""
            pulled = await stream.pull_subscribe("alarmed." + str(key).partition(".")[2], stream="ALARM")
            (message,) = await pulled.fetch(1, timeout=20)
            return (await stream.get_msg("ALARM", message.metadata.sequence.stream)).headers or {}

        assert "Nats-TTL" in await fired(other)
        assert "Nats-TTL" not in await fired(key)


async def test_key_of_another_stream_is_refused(log: Log) -> None:
    with pytest.raises(ValueError, match="ALARM"):
        await log.schedule(Subject.of("EXECUTION", "p", "d", "n"), datetime.now(UTC), Alarm())
