"""Reservations on a real log and its clock: whoever waits gets it once its holder is gone, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import nats
import pytest
import pytest_asyncio

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, Recorded, Subject
from flightlog_protos.catalog.v1.artifacts_pb2 import ArtifactUpdated
from flightlog_protos.catalog.v1.cache_pb2 import CachedResult, CacheKey, ReservationAlarm, ReservationEnded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog import subjects
from services.catalog.entries import Rules
from services.catalog.keeping import Entries
from services.catalog.liveness import Executions
from services.catalog.requests import Asker, Evict, GiveBack, Owner, Put
from services.catalog.reservations import Reservations
from services.catalog.shell import Catalog
from tests.integration.catalog.test_answering import CAUSE, Execution, new_key, released, reserving

HEARTBEAT = timedelta(milliseconds=300)
OUTSIDE = "a client outside"


class Running:
    """A running catalog that looks after holders often."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.entries = Entries(log, Rules(heartbeat=HEARTBEAT))
        self.reservations = Reservations(log, self.entries)
        self.catalog = Catalog(log, self.entries, self.reservations)

    def execution(self) -> Execution:
        return Execution(self.log)

    async def claim(
        self, key: CacheKey, owner: str = OUTSIDE, heartbeat: timedelta = HEARTBEAT
    ) -> Asker | Owner | None:
        outcome = await self.reservations.claim(key, owner, heartbeat, Cause.request(owner, "test", ""))
        return outcome.entry.holder

    async def told(self, execution: Execution, count: int) -> list[str]:
        """The kinds of the first answers to an execution, once there are so many."""
        async with asyncio.timeout(30):
            async for _ in self.log.follow("CATALOG", after=0, subjects=str(subjects.answers(execution.parts))):
                heard = [kind for _, kind in await execution.heard()]
                if len(heard) >= count:
                    return heard
        raise AssertionError("following ends only by the timeout")

    async def history(self, key: CacheKey) -> list[str]:
        return [fact.DESCRIPTOR.name for record in await self.log.load(subjects.entry(key)) for fact in record.facts]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Running]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    running = Running(log)
    service = asyncio.ensure_future(running.catalog.run())
    yield running
    service.cancel()
    await asyncio.wait({service})
    await log.close()
    await blobs.close()


def created() -> facts.ExecutionCreated:
    return facts.ExecutionCreated()


async def test_a_node_that_waits_for_a_client_goes_on_when_it_gives_the_reservation_back(running: Running) -> None:
    key, node = new_key(), running.execution()
    held = await running.claim(key, heartbeat=timedelta(hours=1))
    assert isinstance(held, Owner)
    await node.says(reserving(key))
    assert await running.told(node, 1) == ["AWAITING"]
    await running.reservations.give_back(key, "somebody else", CAUSE)
    assert (await running.entries.entry(key)).holder == held
    await running.reservations.give_back(key, OUTSIDE, Cause.service("test"))
    assert await running.told(node, 2) == ["AWAITING", "RESERVED"]
    assert await running.history(key) == [
        "ReservationGranted",
        "ReservationQueued",
        "ReservationEnded",
        "ReservationGranted",
    ]


async def test_a_node_that_waits_for_a_client_goes_on_when_it_is_not_heard_of(running: Running) -> None:
    key, node, second = new_key(), running.execution(), running.execution()
    first = await running.claim(key)
    await node.says(created(), reserving(key))
    await second.says(created(), reserving(key))
    await running.told(second, 1)
    extended = await running.claim(key)
    assert isinstance(first, Owner)
    assert isinstance(extended, Owner)
    assert extended.expires_at.ToNanoseconds() > first.expires_at.ToNanoseconds()
    assert await running.told(node, 2) == ["AWAITING", "RESERVED"]
    records = await running.log.load(subjects.entry(key))
    ended = next(record for record in records for fact in record.facts if isinstance(fact, ReservationEnded))
    # Not before the time that the heartbeat had moved it to.
    assert ended.envelope.occurred_at.ToNanoseconds() >= extended.expires_at.ToNanoseconds()
    assert [fact.lapsed for fact in ended.facts if isinstance(fact, ReservationEnded)] == [True]
    # The client is told that it is another's now.
    assert await running.claim(key) == Asker(*node.parts, "n0")
    await node.says(released(key))
    assert await running.told(second, 2) == ["AWAITING", "RESERVED"]


async def test_a_node_whose_execution_is_over_holds_nothing(running: Running) -> None:
    key, holder, waiter, last = new_key(), running.execution(), running.execution(), running.execution()
    await holder.says(created(), reserving(key))
    assert await running.told(holder, 1) == ["RESERVED"]
    for execution in (waiter, last):
        await execution.says(created(), reserving(key))
        assert await running.told(execution, 1) == ["AWAITING"]
    await holder.says(facts.ExecutionAborted())
    # Something may follow an end.
    await holder.says(facts.NodeStarted(node_id="n9"))
    assert await running.told(waiter, 2) == ["AWAITING", "RESERVED"]
    await waiter.says(facts.ExecutionSucceeded())
    assert await running.told(last, 2) == ["AWAITING", "RESERVED"]
    assert (await running.entries.entry(key)).holder == Asker(*last.parts, "n0")


async def test_a_client_takes_over_from_a_node_whose_execution_is_over(running: Running) -> None:
    key, node = new_key(), running.execution()
    await node.says(created(), reserving(key))
    assert await running.told(node, 1) == ["RESERVED"]
    assert await running.claim(key) == Asker(*node.parts, "n0")
    await node.says(facts.ExecutionFailed())
    taken = await running.claim(key)
    assert isinstance(taken, Owner)
    assert taken.name == OUTSIDE


async def test_one_client_after_another(running: Running) -> None:
    key = new_key()
    first = await running.claim(key, "first", timedelta(milliseconds=50))
    assert isinstance(first, Owner)
    assert await running.claim(key, "second") == first
    async with asyncio.timeout(30):
        while (held := await running.claim(key, "second")) == first:
            pass
    assert isinstance(held, Owner)
    assert held.name == "second"


async def test_whether_executions_go_on(running: Running) -> None:
    execution, executions = running.execution(), Executions(running.log)
    assert await executions.over(("tests", "development", ""))
    assert await executions.over(execution.parts)
    await execution.says(created())
    assert not await executions.over(execution.parts)
    assert not await executions.over(execution.parts)
    await execution.says(facts.NodeStarted(node_id="n0"))
    assert not await executions.over(execution.parts)
    await execution.says(facts.ExecutionSucceeded())
    assert await executions.over(execution.parts)
    await execution.says(facts.NodeStarted(node_id="n0"))
    assert await executions.over(execution.parts)
    assert await Executions(running.log).over(execution.parts)


async def test_those_who_wait_are_told_a_clients_result(running: Running) -> None:
    key, nodes = new_key(), [running.execution() for _ in range(2)]
    await running.claim(key, heartbeat=timedelta(hours=1))
    for node in nodes:
        await node.says(created(), reserving(key))
        assert await running.told(node, 1) == ["AWAITING"]
    result = CachedResult(artifact_id="a", outputs=DataRef(uri="s3://bucket/a"))
    assert (await running.entries.change(key, [Put(None, result)], Cause.service("test"))).facts
    for node in nodes:
        assert await running.told(node, 2) == ["AWAITING", "FOUND"]
    # Who makes one now is of no interest to them.
    assert isinstance((await running.entries.entry(key)).holder, Owner)
    assert not (await running.entries.change(key, [Put(None, result)], Cause.service("test"))).facts


async def test_entries_follow_an_artifact_although_whoever_updated_it_died(running: Running) -> None:
    key = new_key()
    before = CachedResult(artifact_id="a", outputs=DataRef(uri="s3://bucket/a"))
    await running.entries.change(key, [Put(None, before)], Cause.service("test"))
    updated = ArtifactUpdated(
        dataset=key.dataset, artifact_id="a", data=DataRef(uri="s3://bucket/b"), tags=[key.tag, "another"], revision=1
    )
    subject = subjects.artifact(key.dataset, f"a of {key.tag}")
    await running.log.publish(subject, [updated], cause=Cause.request("me", "test", ""), message_id=key.tag)
    async with asyncio.timeout(30):
        async for _ in running.log.follow("CATALOG", after=0, subjects=str(subjects.entry(key))):
            entry = await running.entries.entry(key)
            if entry.result is not None and entry.result.outputs.uri == "s3://bucket/b":
                break
    assert await running.history(key) == ["ResultCached", "ResultCached"]


async def test_the_same_event_again_is_decided_once(running: Running) -> None:
    key, cause = new_key(), Cause.service("test")
    first = await running.entries.change(key, [GiveBack(OUTSIDE), Put(None, CachedResult(artifact_id="a"))], cause)
    again = await running.entries.change(key, [GiveBack(OUTSIDE), Put(None, CachedResult(artifact_id="a"))], cause)
    assert [fact.DESCRIPTOR.name for fact in again.facts] == [fact.DESCRIPTOR.name for fact in first.facts]
    assert await running.history(key) == ["ResultCached"]


async def test_several_who_decide_about_an_entry_see_one_anothers_decisions(running: Running) -> None:
    key, other = new_key(), Entries(running.log, Rules())
    await running.entries.change(key, [Put(None, CachedResult(artifact_id="a"))], Cause.service("test"))
    assert (await other.entry(key)).result == CachedResult(artifact_id="a")
    await other.change(key, [Evict()], Cause.service("test"))
    assert (await running.entries.entry(key)).result is None
    results = [CachedResult(artifact_id=str(number)) for number in range(8)]
    outcomes = await asyncio.gather(
        *(
            (running.entries if number % 2 else other).change(key, [Put(None, result)], Cause.service("test"))
            for number, result in enumerate(results)
        )
    )
    assert [bool(outcome.facts) for outcome in outcomes].count(True) == 1
    assert len({outcome.entry.result.artifact_id for outcome in outcomes if outcome.entry.result}) == 1
    assert (await other.entry(key)) == (await running.entries.entry(key))


async def test_a_long_history_is_read_once_for_all_who_ask(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    key, started_anew, read = new_key(), Entries(running.log, Rules()), list[int]()
    for number in range(20):
        await running.claim(key, str(number % 2), timedelta(microseconds=1))
    load = running.log.load

    async def counted(subject: Subject, *, after: Head = Head.EMPTY) -> list[Recorded]:
        records = await load(subject, after=after)
        read.append(len(records))
        return records

    monkeypatch.setattr(running.log, "load", counted)
    found = await asyncio.gather(*(started_anew.entry(key) for _ in range(50)))
    assert len(set(map(str, found))) == 1
    assert [count for count in read if count] == [len(await load(subjects.entry(key)))]


async def test_whoever_waits_is_looked_after_although_the_entry_cannot_be_read(
    running: Running, log_settings: LogSettings
) -> None:
    key = new_key()
    await spoil(log_settings, subjects.entry(key))
    alarm = ReservationAlarm(key=key, alarm_id="a", correlation_id="c")
    await Reservations(running.log, Entries(running.log, Rules())).on_alarm(alarm, datetime.now(UTC))
    assert await running.log.last_sequence(subjects.alarm(key))


async def spoil(log_settings: LogSettings, subject: Subject) -> None:
    """Puts something on a subject that nobody can read."""
    password = log_settings.password
    assert password is not None
    client = await nats.connect(log_settings.nats_url, user=log_settings.user, password=password.get_secret_value())
    await client.jetstream().publish(str(subject), b"no envelope")
    await client.close()


async def test_an_execution_nobody_can_read_holds_nothing(running: Running, log_settings: LogSettings) -> None:
    key, holder, waiter = new_key(), running.execution(), running.execution()
    await holder.says(created(), reserving(key))
    await running.told(holder, 1)
    await waiter.says(created(), reserving(key))
    await spoil(log_settings, Subject.of("EXECUTION", *holder.parts))
    assert await running.told(waiter, 2) == ["AWAITING", "RESERVED"]
