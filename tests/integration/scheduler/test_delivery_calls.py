"""DeliveryService over deliveries that follow a real log: lists, retries, replays, and tables that can be made anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from flyteidl.admin.common_pb2 import EmailNotification, Notification
from flyteidl.core.execution_pb2 import WorkflowExecution
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Log, LogSettings
from flightlog_protos.scheduler.v1.delivery_service_pb2 import (
    Delivery,
    DeliverySelection,
    ListDeliveriesRequest,
    ReplayDeliveriesRequest,
    RetryDeliveriesRequest,
)
from flightlog_read import Database, DatabaseSettings, rebuild
from flightlog_read.batches import SESSION
from flightlog_rpc import CallContext
from flightlog_rpc.errors import RpcError, translate
from services.scheduler.deliveries.projection import DDL, LOAD, DeliveryProjection
from services.scheduler.deliveries.service import Deliveries
from services.scheduler.deliveries.settings import DeliverySettings
from services.scheduler.deliveries.smtp import NO_SERVER
from tests.integration.scheduler.delivering import Execution
from tests.integration.scheduler.receivers import Receiver, answering, web_server

CALL = CallContext.of([("user-agent", "tests")], "ipv4:10.0.0.1:5000")
HOOK = "calls"


class Calls:
    """The calls, and what they are about."""

    def __init__(self, log: Log, deliveries: Deliveries, receiver: Receiver) -> None:
        self.log = log
        self.receiver = receiver
        self._methods = deliveries.methods()

    async def ask(self, name: str, request: Any) -> Any:
        return await self._methods[f"/flightlog.scheduler.v1.DeliveryService/{name}"](request, CALL)

    async def list(self, execution: Execution, **selected: Any) -> list[Delivery]:
        request = ListDeliveriesRequest(selection=of(execution, **selected))
        return list((await self.ask("ListDeliveries", request)).deliveries)

    async def until(self, execution: Execution, true: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """Lists, whenever something happens, until it is true."""
        async with asyncio.timeout(60):
            async for _ in self.log.follow("SCHEDULER", after=0):
                found = await self.list(execution)
                if true(found):
                    return found
        raise AssertionError


def of(execution: Execution, **selected: Any) -> DeliverySelection:
    named: dict[str, Any] = {
        "project": execution.id.project,
        "domain": execution.id.domain,
        "execution": execution.id.name,
    }
    return DeliverySelection(**{**named, **selected})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def calls(
    log_settings: LogSettings, blob_settings: BlobSettings, database_settings: DatabaseSettings
) -> AsyncIterator[Calls]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    database = await Database.connect(database_settings)
    async with web_server() as receiver:
        settings = DeliverySettings.model_validate(
            {"webhooks": [{"name": HOOK, "url": receiver.url, "phases": ["RUNNING", "SUCCEEDED"]}], "first_pause": 0.02}
        )
        deliveries = Deliveries(log, database, settings)
        await deliveries.begin()
        running = asyncio.create_task(deliveries.run())
        await deliveries.projector.wait_until_serving()
        yield Calls(log, deliveries, receiver)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await database.close()
    await log.close()
    await blobs.close()


async def ended(calls: Calls, *answers: Any, mailed: bool = False) -> Execution:
    """An execution that ran from beginning to end; `answers` are the receiver's to what it is told of it."""
    calls.receiver.answers = list(answers)
    mail = Notification(
        phases=[WorkflowExecution.SUCCEEDED], email=EmailNotification(recipients_email=["ada@corp.example"])
    )
    execution = Execution(calls.log, *([mail] if mailed else []))
    await execution.runs()
    return execution


def over(count: int) -> Callable[[list[Delivery]], bool]:
    return lambda found: len(found) == count and all(one.state in ("delivered", "parked") for one in found)


async def test_deliveries_are_listed_with_what_became_of_them(calls: Calls) -> None:
    execution = await ended(calls, answering(503, "busy"), mailed=True)
    found = await calls.until(execution, over(3))
    assert {(one.sink, one.event, one.state, one.tries, one.last_error) for one in found} == {
        (HOOK, "running", "delivered", 2, "answered 503: busy"),
        (HOOK, "succeeded", "delivered", 1, ""),
        ("email", "succeeded", "parked", 1, NO_SERVER),
    }
    assert {tuple(one.recipients) for one in found} == {
        ("ada@corp.example",),
        (calls.receiver.url.removesuffix("/hook"),),
    }
    assert {one.event_id for one in found if one.sink == HOOK} == {post.id for post in calls.receiver.taken[-2:]}
    assert all(one.execution_id == execution.id and not one.HasField("next_try_at") for one in found)


async def test_a_list_takes_filters_and_pages(calls: Calls) -> None:
    execution = await ended(calls, mailed=True)
    await calls.until(execution, over(3))
    assert [one.sink for one in await calls.list(execution, state="parked")] == ["email"]
    assert [one.event for one in await calls.list(execution, sink=HOOK)] == ["succeeded", "running"]
    assert not await calls.list(execution, project="another")
    (mailed,) = await calls.list(execution, sink="email")
    later = Timestamp(seconds=mailed.created_at.seconds + 1)
    assert len(await calls.list(execution, to=later)) == 3
    assert not await calls.list(execution, **{"from": later})
    pages, token = list[str](), ""
    for _ in range(3):
        page = await calls.ask("ListDeliveries", ListDeliveriesRequest(selection=of(execution), limit=1, token=token))
        pages += [one.event_id for one in page.deliveries]
        token = page.token
    assert pages == [one.event_id for one in await calls.list(execution)]


async def test_parked_ones_are_retried_when_asked(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.deliveries.queries._AT_ONCE", 1)
    execution = await ended(calls, answering(404), answering(410))
    assert {one.state for one in await calls.until(execution, over(2))} == {"parked"}
    answer = await calls.ask("RetryDeliveries", RetryDeliveriesRequest(selection=of(execution)))
    assert answer.count == 2
    found = await calls.until(execution, lambda found: all(one.state == "delivered" for one in found))
    told = [json.loads(post.body)["data"]["phase"] for post in calls.receiver.taken[-2:]]
    assert (told, {one.tries for one in found}) == (["RUNNING", "SUCCEEDED"], {1})
    assert (await calls.ask("RetryDeliveries", RetryDeliveriesRequest(selection=of(execution)))).count == 0
    retried = [record async for record in _records(calls, execution) if "DeliveryRetried" in str(record.envelope.facts)]
    assert {record.envelope.actor.subject for record in retried} == {"tests"}


async def _records(calls: Calls, execution: Execution) -> AsyncIterator[Any]:
    from services.scheduler.deliveries import subjects

    for record in await calls.log.load(subjects.queue(execution.queue(HOOK))):
        yield record


async def test_a_replay_sends_again_what_happened_under_the_same_ids(calls: Calls) -> None:
    execution = await ended(calls)
    await calls.until(execution, over(2))
    before, count = [post.id for post in calls.receiver.taken[-2:]], len(calls.receiver.taken)
    answer = await calls.ask("ReplayDeliveries", ReplayDeliveriesRequest(selection=of(execution, sink=HOOK)))
    assert answer.count == 2
    await calls.receiver.until(lambda: len(calls.receiver.taken) == count + 2)
    await calls.until(execution, over(2))
    assert [post.id for post in calls.receiver.taken[-2:]] == before


@pytest.mark.parametrize(
    ("name", "request_type", "selection", "says"),
    [
        ("ListDeliveries", ListDeliveriesRequest, {"state": "lost"}, "no state of a delivery"),
        ("ListDeliveries", ListDeliveriesRequest, {"execution": "a"}, "with its project and domain"),
        ("ListDeliveries", ListDeliveriesRequest, {"sink": "a\0"}, "no sink has such a name"),
        ("ListDeliveries", ListDeliveriesRequest, {"sink": "ä" * 1000}, "no sink has such a name"),
        ("ListDeliveries", ListDeliveriesRequest, {"from": Timestamp(seconds=10**15)}, "from is no moment"),
        ("ListDeliveries", ListDeliveriesRequest, {"from": Timestamp(seconds=9), "to": Timestamp(seconds=9)}, "empty"),
        ("RetryDeliveries", RetryDeliveriesRequest, {"state": "delivered"}, "only parked deliveries"),
        ("ReplayDeliveries", ReplayDeliveriesRequest, {"project": "a"}, "needs an execution, or a moment"),
        (
            "ReplayDeliveries",
            ReplayDeliveriesRequest,
            {"sink": "nobody", "from": Timestamp(seconds=9)},
            "no sink [nobody]",
        ),
        (
            "ReplayDeliveries",
            ReplayDeliveriesRequest,
            {"state": "parked", "from": Timestamp(seconds=9)},
            "takes no state",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(
    calls: Calls, name: str, request_type: Any, selection: dict[str, Any], says: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await calls.ask(name, request_type(selection=DeliverySelection(**selection)))
    assert (refused.value.code.name, says in refused.value.message) == ("INVALID_ARGUMENT", True)


async def test_a_token_that_is_none_is_refused(calls: Calls) -> None:
    with pytest.raises(Exception, match="invalid pagination token") as refused:
        await calls.ask("ListDeliveries", ListDeliveriesRequest(token="x"))
    translated = translate(refused.value)
    assert translated is not None
    assert translated.code.name == "INVALID_ARGUMENT"


async def test_the_tables_come_out_the_same_when_they_are_made_anew(
    calls: Calls, database_settings: DatabaseSettings
) -> None:
    execution = await ended(calls, answering(500), answering(404), mailed=True)
    await calls.until(execution, over(3))
    database = await Database.connect(database_settings)
    result = await rebuild(database, calls.log, DeliveryProjection())
    await database.close()
    assert result.identical
    assert [table.rebuilt.rows > 0 for table in result.tables if table.rebuilt] == [True]


async def test_rows_are_found_by_key_with_plans_made_for_empty_tables(database_settings: DatabaseSettings) -> None:
    connection = await asyncpg.connect(database_settings.dsn)
    schema = f"plans_{uuid4().hex}"
    try:
        await connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema};" + DDL)
        await connection.execute(SESSION + "SET plan_cache_mode TO force_generic_plan;")
        await connection.execute(f"PREPARE load AS {LOAD}")
        rows = await connection.fetch("EXPLAIN EXECUTE load ('{p}', '{d}', '{e}', '{s}', '{i}')")
        assert "deliveries_pkey" in "\n".join(row[0] for row in rows)
    finally:
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
        await connection.close()
