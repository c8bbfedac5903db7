"""The catalog on a real log: questions in, answers out, also when it dies between the two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import nats
import pytest
import pytest_asyncio
from flyteidl.core.identifier_pb2 import DATASET, TASK, Identifier
from google.protobuf.message import Message

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, LogUnavailable, Recorded, Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CacheKey
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog import subjects
from services.catalog.entries import Rules
from services.catalog.keeping import Entries
from services.catalog.requests import Evict
from services.catalog.shell import Catalog

CAUSE = Cause.service("test")


class Execution:
    """An execution that asks; its envelopes are on the log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.parts = ("tests", "development", f"a{uuid4().hex}")
        self._head = Head.EMPTY

    async def says(self, *said: Message) -> Recorded:
        subject = Subject.of("EXECUTION", *self.parts)
        recorded = await self._log.append(subject, said, head=self._head, cause=CAUSE)
        self._head = recorded.head
        return recorded

    async def heard(self) -> list[tuple[str, str]]:
        """What it was answered so far: node and kind."""
        records = await self._log.load(subjects.answers(self.parts))
        return [
            (fact.node.node_id, CacheAnswer.Kind.Name(fact.kind))
            for record in records
            for fact in record.facts
            if isinstance(fact, CacheAnswer)
        ]


class Dying(Log):
    """A connection that breaks when something is published."""

    async def publish(self, *arguments: Any, **named: Any) -> int:
        raise LogUnavailable("the process died here")


@pytest_asyncio.fixture(loop_scope="session")
async def blobs(blob_settings: BlobSettings) -> AsyncIterator[BlobStore]:
    store = BlobStore.open(blob_settings)
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def log(log_settings: LogSettings, blobs: BlobStore) -> AsyncIterator[Log]:
    log = await Log.connect(log_settings, blobs, name="test")
    yield log
    await log.close()


@pytest_asyncio.fixture(loop_scope="session")
async def dying(log_settings: LogSettings, blobs: BlobStore) -> AsyncIterator[Log]:
    log = await Dying.connect(log_settings, blobs, name="test")
    yield log
    await log.close()


def new_key() -> CacheKey:
    dataset = Identifier(
        resource_type=DATASET, project="tests", domain="development", name="flyte_task-t.t", version="1-a-b"
    )
    return CacheKey(dataset=dataset, tag=f"flyte_cached-{uuid4().hex}")


def asked(key: CacheKey, node_id: str = "n0") -> facts.CacheAsked:
    return facts.CacheAsked(node=facts.NodeQueued(node_id=node_id, cache=facts.CacheUse(key=key)))


def put(key: CacheKey, node_id: str = "n0", *, overwrites: bool = False, attempt: int = 0) -> facts.CachePutRequested:
    return facts.CachePutRequested(
        node_id=node_id,
        attempt=attempt,
        key=key,
        outputs=DataRef(uri="s3://bucket/outputs.pb"),
        task_id=Identifier(resource_type=TASK, project="tests", domain="development", name="t.t", version="v1"),
        overwrites=overwrites,
    )


def reserving(key: CacheKey, node_id: str = "n0") -> facts.ReservationAsked:
    return facts.ReservationAsked(node_id=node_id, key=key)


def released(key: CacheKey, node_id: str = "n0") -> facts.ReservationReleased:
    return facts.ReservationReleased(node_id=node_id, key=key)


async def entry_facts(log: Log, key: CacheKey) -> list[str]:
    return [fact.DESCRIPTOR.name for record in await log.load(subjects.entry(key)) for fact in record.facts]


async def test_all_questions_of_an_envelope_are_answered_in_one(log: Log) -> None:
    catalog, key = Catalog(log), new_key()
    maker, finder = Execution(log), Execution(log)
    await catalog.take(await maker.says(put(key)))
    await catalog.take(
        await finder.says(*(asked(key if number % 2 else new_key(), f"n{number}") for number in range(9)))
    )
    assert await maker.heard() == [("n0", "STORED")]
    (record,) = await log.load(subjects.answers(finder.parts))
    kinds = {fact.node.node_id: fact.kind for fact in record.facts if isinstance(fact, CacheAnswer)}
    assert kinds == {f"n{n}": CacheAnswer.FOUND if n % 2 else CacheAnswer.NOT_FOUND for n in range(9)}
    (found,) = [fact for fact in record.facts if isinstance(fact, CacheAnswer) and fact.node.node_id == "n1"]
    source = found.result.source
    assert (source.task_id.name, source.node_execution_id.node_id) == ("t.t", "n0")
    assert source.node_execution_id.execution_id.name == maker.parts[-1]
    assert found.key == key


async def test_one_envelope_again_records_nothing_again(log: Log) -> None:
    catalog, key, execution = Catalog(log), new_key(), Execution(log)
    said = await execution.says(asked(key), reserving(key, "n1"), put(key, "n2", overwrites=True))
    await catalog.take(said)
    before = await entry_facts(log, key)
    await catalog.take(said)
    await Catalog(log).take(said)
    assert await entry_facts(log, key) == before == ["ReservationGranted", "ResultCached"]


async def test_nobody_is_given_a_reservation_without_being_told(log: Log) -> None:
    """An envelope comes again whose answer needed no fact, and the entry is another one by now."""
    entries, key, maker, finder = Entries(log, Rules()), new_key(), Execution(log), Execution(log)
    await Catalog(log).take(await maker.says(put(key)))
    said = await finder.says(reserving(key))
    await Catalog(log).take(said)
    await Catalog(log).take(said)
    assert await finder.heard() == [("n0", "FOUND")]
    await entries.change(key, [Evict()], CAUSE)
    for _ in range(2):
        await Catalog(log).take(said)
        assert await finder.heard() == [("n0", "FOUND"), ("n0", "RESERVED")]


async def test_those_who_wait_are_told_although_the_catalog_died_before_it_told_them(log: Log, dying: Log) -> None:
    key = new_key()
    maker, waiter = Execution(log), Execution(log)

    async def dies_and_comes_back(said: Recorded, recorded: str) -> None:
        with pytest.raises(LogUnavailable):
            await Catalog(dying).take(said)
        assert (await entry_facts(log, key))[-1] == recorded
        await Catalog(log).take(said)
        assert (await entry_facts(log, key))[-1] == recorded

    for said in (await maker.says(reserving(key)), await waiter.says(reserving(key))):
        await Catalog(log).take(said)
    await dies_and_comes_back(await maker.says(released(key)), "ReservationGranted")
    assert await waiter.heard() == [("n0", "AWAITING"), ("n0", "RESERVED")]
    await dies_and_comes_back(await maker.says(reserving(key)), "ReservationQueued")
    await dies_and_comes_back(await waiter.says(put(key)), "ResultCached")
    assert await maker.heard() == [("n0", "RESERVED"), ("n0", "AWAITING"), ("n0", "FOUND")]
    assert await waiter.heard() == [("n0", "AWAITING"), ("n0", "RESERVED"), ("n0", "STORED")]


async def test_what_is_older_than_the_operator_wants_is_not_found(log: Log) -> None:
    key, execution = new_key(), Execution(log)
    catalog = Catalog(log, Entries(log, Rules(max_age=timedelta(0))))
    await catalog.take(await execution.says(put(key)))
    for said in (asked(key), put(key, "n1"), asked(key, "n2")):
        await catalog.take(await execution.says(said))
    assert await execution.heard() == [("n0", "STORED"), ("n0", "NOT_FOUND"), ("n1", "STORED"), ("n2", "NOT_FOUND")]
    assert await entry_facts(log, key) == ["ResultCached", "ResultCached"]
    await Catalog(log).take(await execution.says(asked(key, "n3")))
    assert (await execution.heard())[-1] == ("n3", "FOUND")


async def test_of_many_who_ask_at_once_one_is_to_make_the_result(log: Log) -> None:
    """Several processes decide side by side; the log lets one of them be first."""
    key = new_key()
    executions = [Execution(log) for _ in range(12)]
    said = [await execution.says(reserving(key)) for execution in executions]
    await asyncio.gather(*(Catalog(log).take(one) for one in said))
    heard = [answers[0][1] for answers in await all_heard(executions)]
    assert sorted(heard) == ["AWAITING"] * 11 + ["RESERVED"]
    maker = executions[heard.index("RESERVED")]
    await Catalog(log).take(await maker.says(put(key)))
    assert sorted(answers[-1][1] for answers in await all_heard(executions)) == ["FOUND"] * 11 + ["STORED"]


async def all_heard(executions: Sequence[Execution]) -> list[list[tuple[str, str]]]:
    return [await execution.heard() for execution in executions]


async def test_an_entry_nobody_can_read_stops_no_run(log: Log, log_settings: LogSettings) -> None:
    key, execution = new_key(), Execution(log)
    password = log_settings.password
    assert password is not None
    client = await nats.connect(log_settings.nats_url, user=log_settings.user, password=password.get_secret_value())
    await client.jetstream().publish(str(subjects.entry(key)), b"no envelope")
    await client.close()
    await Catalog(log).take(await execution.says(asked(key), reserving(key, "n1"), put(key, "n2"), released(key, "n3")))
    assert await execution.heard() == [("n0", "NOT_FOUND"), ("n1", "NOT_RESERVED"), ("n2", "NOT_STORED")]


async def test_the_running_service_answers_what_is_said(log: Log) -> None:
    key, execution = new_key(), Execution(log)
    catalog = asyncio.ensure_future(Catalog(log).run())
    try:
        await execution.says(put(key), asked(key, "n1"))
        await execution.says(facts.NodeStarted(node_id="n2"))
        async with asyncio.timeout(30):
            async for batch in log.follow("CATALOG", after=0, subjects=str(subjects.answers(execution.parts))):
                (record,) = batch
                assert isinstance(record, Recorded)
                assert len(record.facts) == 2
                break
    finally:
        catalog.cancel()
