"""One stream's archive: what is appended is read again, merges and crashes lose nothing, two writers are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flightlog_archive import Archive, ArchiveTaken, ManifestDamaged, SegmentDamaged, SegmentMissing, link
from flightlog_archive.manifest import index_key
from flightlog_archive.writing import FAN_IN, StreamWriter, mergeable
from flightlog_blobs import BlobError, BlobStore
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted, ExecutionSucceeded
from flightlog_protos.log.v1.envelope_pb2 import FactList


async def alone() -> None:
    """Nobody else writes."""


async def opened(archive: Archive) -> StreamWriter:
    return await StreamWriter.open(archive, "EXECUTION", alone)


async def read(archive: Archive, after: int = 0, until: int | None = None) -> list[Any]:
    return [message async for batch in archive.read("EXECUTION", after=after, until=until) for message in batch]


async def test_what_was_appended_is_read_as_it_lay_on_the_stream(
    archive: Archive, stream: Callable[[str], Any]
) -> None:
    source = stream("EXECUTION")
    source.skip(4)
    messages = [source.say("a", ExecutionStarted()), source.say("b", ExecutionStarted())]
    source.skip()
    messages.append(source.say("a", ExecutionSucceeded()))
    writer = await opened(archive)
    await writer.append(messages[:2])
    await writer.append(messages[2:])

    found = await read(archive)
    assert [(one.subject, one.sequence, one.data, dict(one.headers)) for one in found] == [
        (one.subject, one.sequence, one.data, dict(one.headers)) for one in messages
    ]
    manifest = await archive.manifest("EXECUTION")
    assert manifest.sequence == messages[-1].sequence
    assert [(one.first, one.last, one.count) for one in manifest.segments] == [(5, 6, 2), (8, 8, 1)]
    chain = b""
    for one in found:
        chain = link(chain, one.sequence, one.hash)
    assert manifest.chain == chain
    assert [one.sequence for one in await read(archive, after=5, until=7)] == [6]


async def test_one_aggregate_is_found_without_reading_the_other_segments(
    archive: Archive, blobs: BlobStore, stream: Callable[[str], Any]
) -> None:
    source = stream("EXECUTION")
    writer = await opened(archive)
    for name in ("a", "b", "a"):
        await writer.append([source.say(name, ExecutionStarted())])
    elsewhere = (await archive.manifest("EXECUTION")).segments[1]
    await blobs.delete(archive.uri("EXECUTION", elsewhere.key))

    subject = source.say("a", ExecutionSucceeded()).subject
    assert [one.sequence for one in await archive.subject(subject, "EXECUTION")] == [1, 3]
    assert [one.sequence for one in await archive.subject(subject, "EXECUTION", after=1)] == [3]
    assert [one.sequence for one in await archive.subject(subject, "EXECUTION", until=2)] == [1]
    with pytest.raises(SegmentMissing):
        await read(archive)


async def test_small_neighbours_become_one_and_the_chain_stays(archive: Archive, stream: Callable[[str], Any]) -> None:
    source = stream("EXECUTION")
    writer = await opened(archive)
    messages: list[Any] = []
    for _ in range(FAN_IN):
        messages.append(source.say("a", ExecutionStarted()))
        await writer.append(messages[-1:])
    before = writer.manifest.chain
    assert await writer.merge(1_000, 1_000_000)
    assert not await writer.merge(1_000, 1_000_000)
    manifest = await archive.manifest("EXECUTION")
    assert [(one.first, one.last) for one in manifest.segments] == [(1, FAN_IN)]
    assert manifest.chain == before
    assert [one.data for one in await read(archive)] == [one.data for one in messages]
    names = {entry.name for entry in await archive.blobs.entries(archive.uri("EXECUTION", "").rstrip("/"))}
    assert len(names) == 3, "the manifest, one segment and its subjects"


def test_what_is_merged_grows_by_powers() -> None:
    sizes: list[int] = []
    rewritten = 0

    class Sized:
        def __init__(self, count: int, size: int = 1) -> None:
            self.count = count
            self.size = size

    for _ in range(4_096):
        sizes.append(1)
        while chosen := mergeable([Sized(size) for size in sizes], 100_000, 10_000):  # pyright: ignore[reportArgumentType]
            rewritten += sum(one.count for one in chosen)
            sizes = [*sizes[: len(sizes) - len(chosen)], sum(one.count for one in chosen)]
    assert len(sizes) < 5 * FAN_IN
    assert rewritten <= 4 * 4_096, "each message is rewritten once for every power"
    assert mergeable([Sized(10) for _ in range(FAN_IN)], 40, 100) == ()  # pyright: ignore[reportArgumentType]
    large = [Sized(10, 1_000) for _ in range(2 * FAN_IN)]
    assert mergeable(large, 10_000, FAN_IN * 1_000 - 1) == (), "all that is merged is in memory"  # pyright: ignore[reportArgumentType]
    assert len(mergeable(large, 10_000, FAN_IN * 1_000)) == FAN_IN  # pyright: ignore[reportArgumentType]


class Away(BlobStore):
    """An object store that ends the writer at a chosen put."""

    left = 1_000

    async def put(self, uri: str, data: bytes) -> Any:
        if self.left == 0:
            raise BlobError("killed")
        self.left -= 1
        return await super().put(uri, data)


@pytest.mark.parametrize("left", range(3))
async def test_a_writer_that_dies_at_any_put_loses_nothing(
    left: int, archive: Archive, stream: Callable[[str], Any]
) -> None:
    source = stream("EXECUTION")
    first, second = source.say("a", ExecutionStarted()), source.say("a", ExecutionSucceeded())
    await (await opened(archive)).append([first])
    dying = Away(archive.blobs.settings, archive.blobs._driver)
    writer = await StreamWriter.open(Archive(dying), "EXECUTION", alone)
    dying.left = left
    with pytest.raises(BlobError):
        await writer.append([second])
    assert [one.sequence for one in await read(archive)] == [1], "what was archived is still whole"

    writer = await opened(archive)
    assert writer.manifest.sequence == 1
    names = {entry.name for entry in await archive.blobs.entries(archive.uri("EXECUTION", "").rstrip("/"))}
    assert len(names) == 3, "what the dead one left has been deleted"
    await writer.append([second])
    assert [one.data for one in await read(archive)] == [first.data, second.data]


async def test_who_takes_anothers_place_leaves_what_that_one_is_about_to_name(
    archive: Archive, stream: Callable[[str], Any]
) -> None:
    source = stream("EXECUTION")
    await (await opened(archive)).append([source.say("a", ExecutionStarted())])

    async def displaced() -> None:
        # The lock goes to another one after this one was asked for the last time.
        other = await StreamWriter.open(archive, "EXECUTION", alone, clean=False)
        assert other.manifest.sequence == 1

    await (await StreamWriter.open(archive, "EXECUTION", displaced)).append([source.say("a", ExecutionSucceeded())])
    assert [one.sequence for one in await read(archive)] == [1, 2], "what the manifest names is there"


async def test_lists_of_subjects_are_remembered_within_limits(
    archive: Archive, stream: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flightlog_archive import archive as module

    monkeypatch.setattr(module, "_REMEMBERED", 3)
    source, writer = stream("EXECUTION"), await opened(archive)
    for number in range(4):
        await writer.append([source.say(f"{number}-{one}", ExecutionStarted()) for one in range(2)])
    for _ in range(2):
        for segment in writer.manifest.segments:
            assert not await archive.may_have("EXECUTION", segment, "execution.1.p.d.nobody")
            assert sum(len(index) for index in archive._indexes.values() if index is not None) <= 3


async def test_the_second_of_two_writers_stops(archive: Archive, stream: Callable[[str], Any]) -> None:
    source = stream("EXECUTION")
    first = [source.say("a", ExecutionStarted())]
    one, other = await opened(archive), await opened(archive)
    await one.append(first)
    with pytest.raises(ArchiveTaken):
        await other.append(first)
    assert [message.sequence for message in await read(archive)] == [1]


async def test_a_writer_that_may_no_longer_write_stops(archive: Archive, stream: Callable[[str], Any]) -> None:
    async def lost() -> None:
        raise ArchiveTaken("the lock is gone")

    writer = await StreamWriter.open(archive, "EXECUTION", lost)
    with pytest.raises(ArchiveTaken):
        await writer.append([stream("EXECUTION").say("a", ExecutionStarted())])
    assert (await archive.manifest("EXECUTION")).sequence == 0


async def test_offloaded_facts_are_in_the_archive(
    archive: Archive, blobs: BlobStore, stream: Callable[[str], Any]
) -> None:
    from flightlog_log.envelopes import pack

    content = FactList(facts=pack([ExecutionSucceeded()])).SerializeToString()
    reference = await blobs.put_content("flightlog/facts/execution", content)
    source = stream("EXECUTION")
    messages = [
        source.say("a", ExecutionStarted(), offloaded=(reference.uri, content)),
        source.say("b", ExecutionStarted(), offloaded=("s3://b/gone", content)),
    ]
    await (await opened(archive)).append(messages)
    found = await read(archive)
    assert [one.payload for one in found] == [content, None]


async def test_altered_and_foreign_objects_are_named(
    archive: Archive, blobs: BlobStore, stream: Callable[[str], Any]
) -> None:
    writer = await opened(archive)
    await writer.append([stream("EXECUTION").say("a", ExecutionStarted())])
    segment = writer.manifest.segments[0]
    uri = archive.uri("EXECUTION", segment.key)
    data = bytearray(await blobs.get(uri))
    data[len(data) // 2] ^= 1
    await blobs.put(uri, bytes(data))
    with pytest.raises(SegmentDamaged, match=segment.key):
        await read(archive)
    await blobs.put(archive.uri("EXECUTION"), b"{}")
    with pytest.raises(ManifestDamaged):
        await read(archive)


async def test_segments_whose_manifest_is_lost_are_no_leftovers(
    archive: Archive, blobs: BlobStore, stream: Callable[[str], Any]
) -> None:
    source, writer = stream("EXECUTION"), await opened(archive)
    for _ in range(2):
        await writer.append([source.say("a", ExecutionStarted())])
    await blobs.delete(archive.uri("EXECUTION"))
    assert await archive.segments_without_manifest("EXECUTION") == 2
    with pytest.raises(ManifestDamaged, match="2 segments"):
        await opened(archive)
    assert await archive.segments_without_manifest("EXECUTION") == 2


async def test_a_segment_is_made_again_from_the_same_messages_and_no_others(
    archive: Archive, blobs: BlobStore, stream: Callable[[str], Any]
) -> None:
    source, writer = stream("EXECUTION"), await opened(archive)
    messages = [source.say(name, ExecutionStarted()) for name in "aba"]
    await writer.append(messages[:2])
    await writer.append(messages[2:])
    first = writer.manifest.segments[0]
    await blobs.delete(archive.uri("EXECUTION", first.key))
    await blobs.put(archive.uri("EXECUTION", index_key(first.key)), b"not an index")
    with pytest.raises(SegmentMissing):
        await archive.subject(messages[0].subject, "EXECUTION")
    with pytest.raises(SegmentDamaged, match="not the messages"):
        await writer.remake(first, [messages[0], messages[2]])
    made = await writer.remake(first, messages[:2])
    assert (made.chain, made.count) == (first.chain, first.count)
    assert [one.data for one in await read(archive)] == [one.data for one in messages]
