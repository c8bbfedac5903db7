"""The past of a log that was trimmed is the same as before: the archive has what the log has no longer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_archive import Archive, Segment
from flightlog_log import Log, Raw, Recorded, Subject, Trimming
from flightlog_protos.execution.v1.facts_pb2 import TimerSet
from flightlog_protos.history.v1.events_pb2 import Event, ListEventsRequest
from flightlog_read import Database
from flightlog_rpc import CallContext
from services.history.events import listing
from tests.integration.history.archives import appended, archived_up_to, archiving, connected, nats_server, store_in


async def test_moments_and_aggregates_of_the_past_survive_trimming(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = store_in(tmp_path / "objects")
    subjects = [Subject.of("EXECUTION", "tests", "development", f"past{number}") for number in range(3)]
    async with nats_server(tmp_path / "nats") as settings:
        async with connected(settings, blobs) as log:
            for number in range(15):
                await appended(log, subjects[number % 3], TimerSet(timer_id=str(number)))
            records = [record for subject in subjects for record in await log.load(subject)]
            last = max(record.sequence for record in records)
            async with archiving(log, blobs, database) as archive:
                await archived_up_to(archive, "EXECUTION", last)
            extent = await log.extent("EXECUTION")
            before = await past(log, records)
            told = await listed(log)
            assert [at for at, _ in before] == [record.sequence for record in records]
            await log.note_trimming("EXECUTION", Trimming(last, last))
        async with connected(settings, blobs) as log:
            trimmed = [await log.trim(subject, before=last - 2) for subject in subjects]
            assert min(trimmed) > 2
            assert await log.extent("EXECUTION") == extent
            assert await past(log, records) == before
            assert await listed(log) == told
            assert [event.sequence for event in told] == sorted(record.sequence for record in records)
            # Of a log in the archive, no more is read than the times asked for.
            monkeypatch.setattr(listing, "_CLOCKS_DIFFER_SECONDS", 0)
            read = noted(log, monkeypatch)
            assert await listed(log, until=told[5].recorded_at) == told[:5]
            assert 0 < max(read) <= told[5].sequence
    await blobs.close()


async def test_one_aggregate_of_the_past_is_found_without_reading_all_segments(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = store_in(tmp_path / "objects")
    subjects = [Subject.of("EXECUTION", "tests", "development", f"past{number}") for number in range(4)]
    async with nats_server(tmp_path / "nats") as settings:
        async with connected(settings, blobs) as log, archiving(log, blobs, database) as archive:
            for subject in subjects:
                for number in range(2):
                    last = await appended(log, subject, TimerSet(timer_id=str(number)))
                await archived_up_to(archive, "EXECUTION", last)
            stored = [raw async for raw in log.stored(subjects[0])]
            await log.note_trimming("EXECUTION", Trimming(last, last))
        segments = [one.key for one in (await archive.manifest("EXECUTION")).segments]
        assert len(segments) >= len(subjects)
        read: list[str] = []
        segment = Archive.segment

        async def noted_segment(archive: Archive, stream: str, one: Segment) -> bytes:
            read.append(one.key)
            return await segment(archive, stream, one)

        monkeypatch.setattr(Archive, "segment", noted_segment)
        async with connected(settings, blobs) as log:
            assert await log.trim(subjects[0], before=stored[-1].sequence) == 1
            assert [raw.data async for raw in log.stored(subjects[0])] == [raw.data for raw in stored]
        assert set(read) <= set(segments[:2])
    await blobs.close()


async def past(log: Log, records: Sequence[Recorded]) -> list[tuple[int, list[str]]]:
    """Of each event, the sequence at its time, and the aggregate as it was then."""
    found: list[tuple[int, list[str]]] = []
    for record in records:
        at = await log.sequence_at("EXECUTION", record.envelope.recorded_at)
        loaded = await log.load(record.subject, until=record.sequence)
        found.append((at, [one.event_id for one in loaded]))
    return found


def noted(log: Log, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequences that are followed from now on."""
    read: list[int] = []
    follow = log.follow_stored

    async def following(stream: str, **options: Any) -> AsyncGenerator[list[Raw]]:
        async with aclosing(follow(stream, **options)) as batches:
            async for batch in batches:
                read.extend(raw.sequence for raw in batch)
                yield batch

    monkeypatch.setattr(log, "follow_stored", following)
    return read


async def listed(log: Log, until: Timestamp | None = None) -> list[Event]:
    """All events, as clients get them page by page."""
    calls = listing.Listing(log)
    found: list[Event] = []
    request = ListEventsRequest(limit=4, until=until)
    while True:
        page = await calls.list_events(request, CallContext({}, "", ""))
        found += page.events
        if not page.next_after:
            return found
        request.after = page.next_after
