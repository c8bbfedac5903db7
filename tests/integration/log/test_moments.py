"""Which envelopes had been recorded by a moment."""

from __future__ import annotations

import time
from random import Random
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client

from flightlog_blobs import BlobStore
from flightlog_log import Head, Log, Subject, new_id
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from tests.integration.log.shared import OwnNats, append_many

# No other test of the log writes here.
STREAM = "ADMISSION"
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def at(nanoseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(nanoseconds)
    return moment


def envelope(nanoseconds: int) -> bytes:
    return Envelope(event_id=new_id(), schema_version=1, recorded_at=at(nanoseconds)).SerializeToString()


def chained(subject: Subject, nanoseconds: int) -> bytes:
    found = Envelope.FromString(envelope(nanoseconds))
    found.subject, found.position = str(subject), 1
    return found.SerializeToString()


async def emptied(client: Client) -> None:
    await client.jetstream().purge_stream(STREAM)


async def put(client: Client, data: bytes) -> int:
    stored = await client.jetstream().publish(str(Subject.of(STREAM, "tests", uuid4().hex)), data)
    return stored.seq


async def test_a_moment_is_found_between_envelopes_gaps_and_what_is_none(log: Log, own_nats: OwnNats) -> None:
    random = Random(7)
    client = await own_nats.client()
    try:
        await emptied(client)
        times: dict[int, int] = {}
        for number in range(150):
            if number % 10 == 3:
                await put(client, b"not an envelope")
                continue
            # Steps of a nanosecond tell whether all digits count.
            moment = max(times.values(), default=START) + random.choice((0, 1, SECOND // 3, 5 * SECOND))
            times[await put(client, envelope(moment))] = moment
        for sequence in random.sample(sorted(times), 60):
            await client.jetstream().delete_msg(STREAM, sequence)
            del times[sequence]
        wanted = [*times.values(), *(one + random.choice((-1, 1)) * random.randrange(SECOND) for one in times.values())]
        for moment in (*wanted, START - 1, START + 10**6 * SECOND):
            expected = max((sequence for sequence, recorded in times.items() if recorded <= moment), default=0)
            assert await log.sequence_at(STREAM, at(moment)) == expected, moment - START
        extent = await log.extent(STREAM)
        assert extent.first == min(times)
        assert extent.began == at(times[min(times)])
        assert extent.last == await log.stream_sequence(STREAM)
    finally:
        await client.close()


async def test_a_moment_that_is_past_stays_where_it_is_however_long_the_log_becomes(
    log: Log, own_nats: OwnNats, blobs: BlobStore
) -> None:
    random = Random(8)
    client = await own_nats.client()
    try:
        await emptied(client)
        # Clocks that differ by up to a second: neighbours do not lie in the order of their times.
        skewed = [START + number * SECOND // 4 + random.randrange(-SECOND // 2, SECOND // 2) for number in range(300)]
        places = [await put(client, envelope(moment)) for moment in skewed[:150]]
        asked = [START + number * SECOND // 7 for number in range(100)]
        before = [await log.sequence_at(STREAM, at(moment)) for moment in asked]
        for moment in skewed[150:]:
            await put(client, envelope(moment))
        assert [await log.sequence_at(STREAM, at(moment)) for moment in asked] == before
        # That one remembers; another one does not.
        other = await Log.connect(own_nats.settings, blobs, name="test")
        assert [await other.sequence_at(STREAM, at(moment)) for moment in asked] == before
        await other.close()
        recorded = dict(zip(places, skewed, strict=False))
        for moment, sequence in zip(asked, before, strict=True):
            if sequence:
                assert recorded[sequence] <= moment
                assert all(recorded[one] < moment + SECOND for one in places if one <= sequence)
    finally:
        await client.close()


async def test_what_was_imported_counts_from_then(log: Log, own_nats: OwnNats) -> None:
    client = await own_nats.client()
    try:
        await emptied(client)
        first = await put(client, envelope(START))
        subject = Subject.of(STREAM, "tests", uuid4().hex)
        imported = await log.put_back(subject, chained(subject, START - 10**5 * SECOND), head=Head.EMPTY)
        assert await log.sequence_at(STREAM, at(START + SECOND)) == first
        assert await log.sequence_at(STREAM, at(time.time_ns())) == imported.sequence
    finally:
        await client.close()


async def test_an_empty_stream_has_nothing_at_any_moment(log: Log, own_nats: OwnNats) -> None:
    client = await own_nats.client()
    try:
        await emptied(client)
        assert await log.sequence_at(STREAM, at(START)) == 0
        assert (await log.extent(STREAM)).first == 0
    finally:
        await client.close()


async def test_an_aggregate_is_loaded_up_to_a_sequence(log: Log, subject: Subject) -> None:
    await append_many(log, subject, 5)
    records = await log.load(subject)
    assert await log.load(subject, until=records[2].sequence) == records[:3]
    assert await log.load(subject, after=records[0].head, until=records[3].sequence - 1) == records[1:3]
    assert await log.load(subject, until=records[0].sequence - 1) == []
