"""ListEvents and WatchEvents against a real log: filters, pages, going on, signs of life, a log that is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.json_format import Parse
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_blobs import BlobSettings, BlobStore
from flightlog_cli.embedded.servers import Servers
from flightlog_log import Cause, Head, Log, LogSettings, Raw, Recorded, Subject, new_id
from flightlog_protos.execution.v1.facts_pb2 import NodeQueued, TimerSet
from flightlog_protos.history.v1.events_pb2 import (
    EventFilter,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from flightlog_rpc import RpcServer, RpcSettings
from services.history import events
from services.history.events import listing
from services.history.settings import HistorySettings

SERVICE = "/flightlog.history.v1.HistoryService/"
CAUSE = Cause.request("ann", "flytekit/1", "127.0.0.1:1")


class Calls:
    """The two calls of one server, on a log."""

    def __init__(self, log: Log, channel: grpc.aio.Channel) -> None:
        self.log = log
        self.project = f"p{uuid4().hex}"
        self._list = channel.unary_unary(
            f"{SERVICE}ListEvents", ListEventsRequest.SerializeToString, ListEventsResponse.FromString
        )
        self._watch = channel.unary_stream(
            f"{SERVICE}WatchEvents", WatchEventsRequest.SerializeToString, WatchEventsResponse.FromString
        )

    async def list(self, request: ListEventsRequest) -> ListEventsResponse:
        return await self._list(request, timeout=60)

    async def all(self, **fields: Any) -> list[int]:
        """Sequences of all that is listed, page by page."""
        found: list[int] = []
        request = ListEventsRequest(**fields)
        while True:
            page = await self.list(request)
            found += [event.sequence for event in page.events]
            if not page.next_after:
                return found
            request.after = page.next_after

    def watch(self, **fields: Any) -> grpc.aio.UnaryStreamCall[WatchEventsRequest, WatchEventsResponse]:
        return self._watch(WatchEventsRequest(**fields))

    def run(self, name: str = "", domain: str = "development") -> Subject:
        return Subject.of("EXECUTION", self.project, domain, name or uuid4().hex)

    async def append(self, subject: Subject, *facts: Any, count: int = 1) -> list[Recorded]:
        head = await self.log.head(subject)
        records: list[Recorded] = []
        for number in range(count):
            records.append(
                await self.log.append(
                    subject,
                    facts or [TimerSet(timer_id=str(number))],
                    head=records[-1].head if records else head,
                    cause=CAUSE,
                )
            )
        return records


@asynccontextmanager
async def serving(log: Log, **settings: Any) -> AsyncGenerator[Calls]:
    history = HistorySettings(**cast("Any", {"watch_sign_seconds": 0.05, **settings}))
    server = RpcServer(RpcSettings(port=0), "history", events.methods(log, history))
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Calls(log, channel)
    finally:
        await server.stop(0)


@pytest_asyncio.fixture(loop_scope="session")
async def calls(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[Calls]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test-events")
    async with serving(log) as found:
        yield found
    await log.close()
    await blobs.close()


def sequences(records: list[Recorded]) -> list[int]:
    return [record.sequence for record in records]


async def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


class Watched:
    """Reads a watch: the events, and what its signs of life say."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[WatchEventsRequest, WatchEventsResponse]) -> None:
        self.call = call
        self._messages = aiter(call)
        self.place = 0

    async def next(self) -> WatchEventsResponse:
        response = await asyncio.wait_for(anext(self._messages), 60)
        assert response.sequence >= self.place, "a place never goes back"
        self.place = response.sequence
        return response

    async def events(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            response = await self.next()
            if response.HasField("event"):
                assert response.event.sequence == response.sequence
                found.append(response.sequence)
        return found

    async def sign(self, at_least: int) -> None:
        """Until a sign of life says that the stream was looked through up to there."""
        while (response := await self.next()).HasField("event") or response.sequence < at_least:
            pass


async def test_an_event_is_told_with_all_that_is_known_of_it(calls: Calls) -> None:
    subject = calls.run("f.1")
    first, second = await calls.append(subject, NodeQueued(node_id="n0"), TimerSet(timer_id="t"), count=2)
    page = await calls.list(ListEventsRequest(filter=EventFilter(subject=str(subject)), json=True))
    assert [event.sequence for event in page.events] == sequences([first, second])
    assert page.next_after == 0
    event = page.events[1]
    assert (event.stream, event.subject, list(event.parts)) == ("EXECUTION", str(subject), list(subject.parts))
    assert (event.event_id, event.position) == (second.event_id, 2)
    assert (event.previous_hash, event.hash) == (first.head.hash, second.head.hash)
    assert event.recorded_at == second.envelope.recorded_at
    assert (event.actor.subject, event.actor.client, event.correlation_id) == (
        "ann",
        "flytekit/1",
        second.envelope.correlation_id,
    )
    assert [fact.type for fact in event.facts] == ["NodeQueued", "TimerSet"]
    unpacked = NodeQueued()
    assert event.facts[0].message.Unpack(unpacked)
    assert unpacked.node_id == "n0"
    assert Parse(event.facts[0].json, NodeQueued()) == unpacked
    assert not event.unreadable


async def test_events_are_chosen_by_project_domain_name_facts_and_subject(calls: Calls) -> None:
    here, there = calls.run("a"), calls.run("b", "production")
    queued = await calls.append(here, NodeQueued(node_id="n0"))
    timers = await calls.append(here, TimerSet(timer_id="t"))
    elsewhere = await calls.append(there, NodeQueued(node_id="n0"), TimerSet(timer_id="t"))
    own = EventFilter(project=calls.project)
    assert await calls.all(filter=own) == sequences(queued + timers + elsewhere)
    assert await calls.all(filter=own, limit=1) == sequences(queued + timers + elsewhere)
    assert await calls.all(filter=own, after=queued[0].sequence) == sequences(timers + elsewhere)
    for narrow, expected in (
        ({"domain": "production"}, elsewhere),
        ({"name": "a"}, queued + timers),
        ({"facts": ["TimerSet"]}, timers + elsewhere),
        ({"facts": ["TimerSet", "NodeQueued"], "name": "b"}, elsewhere),
        ({"subject": str(here), "facts": ["NodeQueued"]}, queued),
    ):
        assert await calls.all(filter=EventFilter(project=calls.project, **narrow)) == sequences(expected)  # pyright: ignore[reportArgumentType]


async def test_times_select_what_was_recorded_from_one_to_another(calls: Calls) -> None:
    records = await calls.append(calls.run(), count=5)
    times = [record.envelope.recorded_at for record in records]
    own = EventFilter(project=calls.project)
    assert await calls.all(filter=own, since=times[1], until=times[3]) == sequences(records[1:3])
    assert await calls.all(filter=own, since=times[4]) == sequences(records[4:])
    assert await calls.all(filter=own, until=times[0]) == []
    after_all = Timestamp(seconds=times[4].seconds + 3600)
    assert await calls.all(filter=own, since=after_all) == []
    assert await calls.all(filter=own, until=after_all) == sequences(records)


async def test_what_was_imported_is_found_by_the_time_of_its_import(calls: Calls) -> None:
    subject = calls.run()
    long_ago = Timestamp(seconds=1_500_000_000)
    begun = Timestamp()
    begun.GetCurrentTime()
    envelope = Envelope(event_id=new_id(), subject=str(subject), position=1, recorded_at=long_ago)
    head = await calls.log.put_back(subject, envelope.SerializeToString(), head=Head.EMPTY)
    own = EventFilter(subject=str(subject))
    assert await calls.all(filter=own, since=begun) == [head.sequence]
    assert await calls.all(filter=own, until=begun) == []


async def test_what_is_rare_comes_on_pages_that_may_be_empty(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 10)
    subject = calls.run()
    await calls.append(subject, count=150)
    wanted = await calls.append(subject, NodeQueued(node_id="n0"))
    asked = EventFilter(project=calls.project, facts=["NodeQueued"])
    first = await calls.list(ListEventsRequest(filter=asked))
    assert (len(first.events), first.next_after > 0) == (0, True)
    assert await calls.all(filter=asked) == sequences(wanted)


async def test_what_cannot_be_read_is_told_as_such(calls: Calls) -> None:
    subject = calls.run()
    before = await calls.append(subject)
    await calls.log._connection.request(str(subject), b"\xff\xff")  # pyright: ignore[reportPrivateUsage]
    page = await calls.list(ListEventsRequest(filter=EventFilter(subject=str(subject))))
    assert [bool(event.unreadable) for event in page.events] == [False, True]
    assert not page.events[1].facts
    watched = Watched(calls.watch(filter=EventFilter(subject=str(subject))))
    assert await watched.events(2) == [before[0].sequence, page.events[1].sequence]


async def test_a_request_that_cannot_be_is_invalid(calls: Calls) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert await refused(calls.list(ListEventsRequest(limit=1001))) is invalid
    assert await refused(calls.list(ListEventsRequest(filter=EventFilter(stream="ALARM")))) is invalid
    assert await refused(calls.list(ListEventsRequest(since=Timestamp(nanos=-1)))) is invalid
    assert await refused(anext(aiter(calls.watch(filter=EventFilter(subject="nonsense"))))) is invalid
    end = await calls.log.stream_sequence("EXECUTION")
    assert await refused(anext(aiter(calls.watch(after=end + 1000)))) is grpc.StatusCode.OUT_OF_RANGE


async def test_a_watch_gives_the_past_and_then_what_comes(calls: Calls) -> None:
    subject = calls.run()
    past = await calls.append(subject, count=450)
    watched = Watched(calls.watch(filter=EventFilter(project=calls.project)))
    first = await watched.next()
    assert not first.HasField("event")
    assert await watched.events(450) == sequences(past)
    more = await calls.append(subject, count=3)
    assert await watched.events(3) == sequences(more)
    watched.call.cancel()
    again = Watched(calls.watch(filter=EventFilter(project=calls.project), after=more[0].sequence))
    assert await again.events(2) == sequences(more[1:])


async def test_a_watch_of_what_is_new_says_where_it_begins(calls: Calls) -> None:
    subject = calls.run()
    past = await calls.append(subject)
    watched = Watched(calls.watch(filter=EventFilter(project=calls.project), only_new=True))
    assert (await watched.next()).sequence >= past[0].sequence
    records = await calls.append(subject)
    assert await watched.events(1) == sequences(records)


@pytest.mark.parametrize("narrow", [{}, {"facts": ["NodeQueued"]}])
async def test_signs_of_life_tell_how_far_there_is_nothing(calls: Calls, narrow: dict[str, Any]) -> None:
    """A client with a narrow filter goes on behind what was looked through for it, not behind its last event."""
    watched = Watched(calls.watch(filter=EventFilter(project=calls.project, **narrow), only_new=True))
    await watched.next()
    # Left out by the server's filter the one time, by the header the other time.
    noise = calls.run() if narrow else Subject.of("EXECUTION", "others", "development", uuid4().hex)
    records = await calls.append(noise, count=20)
    await watched.sign(records[-1].sequence)
    wanted = await calls.append(calls.run(), NodeQueued(node_id="n0"))
    assert await watched.events(1) == sequences(wanted)


async def test_a_watch_that_finds_nothing_looks_through_nothing_twice(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    stored_after = calls.log.stored_after

    async def noted(stream: str, subjects: str, sequence: int, count: int) -> list[Raw]:
        looked.append(sequence)
        return await stored_after(stream, subjects, sequence, count)

    monkeypatch.setattr(calls.log, "stored_after", noted)
    watched = Watched(calls.watch(filter=EventFilter(project=calls.project), only_new=True))
    noise = Subject.of("EXECUTION", "others", "development", uuid4().hex)
    first = await calls.append(noise, count=3)
    await watched.sign(first[-1].sequence)
    second = await calls.append(noise, count=3)
    await watched.sign(second[-1].sequence)
    assert looked[-1] >= first[-1].sequence


async def test_a_watch_outlives_a_restart_of_the_log(calls: Calls, servers: Servers) -> None:
    subject = calls.run()
    watched = Watched(calls.watch(filter=EventFilter(project=calls.project)))
    records = await calls.append(subject)
    assert await watched.events(1) == sequences(records)
    await servers.kill("nats")
    await servers.restart("nats")
    records = await calls.append(subject, count=5)
    assert await watched.events(5) == sequences(records)


async def test_there_are_only_so_many_watches(calls: Calls) -> None:
    async with serving(calls.log, watches=1) as narrow:
        first = Watched(narrow.watch())
        await first.next()
        assert await refused(anext(aiter(narrow.watch()))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.call.cancel()
        # Its place is free once the server has noticed.
        while (code := await _answered(narrow)) is not grpc.StatusCode.OK:
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _answered(calls: Calls) -> grpc.StatusCode:
    try:
        await Watched(calls.watch()).next()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
