"""Erasing a deleted execution on a real log and object store: cut off anywhere, and beside others of its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.message import Message

from flightlog_blobs import BlobError, BlobRefused, BlobSettings, BlobStore
from flightlog_log import Cause, Head, Log, LogSettings, LogUnavailable, Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.execution import subjects
from services.execution.deletion.erasing import Erasing
from services.execution.lookup import Lookup
from services.execution.reactions import Reactions
from services.execution.settings import ExecutionSettings
from services.execution.shell import Shell
from services.execution.subjects import ExecutionKey
from services.history.archiving.settings import ArchiveSettings
from services.scheduler.deliveries.forgetting import Forgetting
from services.scheduler.deliveries.queues import Queues
from services.scheduler.deliveries.sources import DURABLE as SOURCES
from tests.integration.history.archives import AT_ONCE, archiving, connected, nats_server, store_in, until

CAUSE = Cause.service("test")
DOMAINS = ("development",)


class Interrupted(Exception):
    """The process dies here."""


class Dying:
    """A log, or an object store, that lets so many deletions through and then none."""

    def __init__(self, real: Any, left: list[int]) -> None:
        self._real = real
        self._left = left

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in ("delete", "erase", "erase_parked"):
            return found

        async def counted(*arguments: Any, **named: Any) -> Any:
            if not self._left[0]:
                raise Interrupted
            self._left[0] -= 1
            return await found(*arguments, **named)

        return counted


@dataclass
class World:
    """Executions on the log, with data in the object store."""

    log: Log
    blobs: BlobStore

    def erasing(self, *, left: int = -1, wait: timedelta = timedelta(), now: datetime | None = None) -> Erasing:
        """A process that erases, and dies after so many steps. It waits for nobody unless told."""
        counter = [left]
        log: Any = Dying(self.log, counter)
        blobs: Any = Dying(self.blobs, counter)
        return Erasing(log, blobs, DOMAINS, wait, lambda: now or datetime.now(UTC))

    async def append(self, key: ExecutionKey, items: Sequence[Message]) -> Recorded:
        subject = Subject.of("EXECUTION", *key)
        return await self.log.append(subject, items, head=await self.log.head(subject), cause=CAUSE)

    async def ran(self, key: ExecutionKey, *, large: bool = False) -> list[str]:
        """An execution that is over; the URIs of all that it has."""
        name = key[2]
        folder, raw = self.blobs.uri("metadata/propeller", "-".join(key)), self.blobs.uri("data/xy", f"{name}-n0-0")
        inputs = await self.blobs.put_content(f"metadata/{'/'.join(key)}", name.encode() + key[0].encode())
        data = [f"{folder}/n0/data/0/outputs.pb", f"{folder}/n0/data/inputs.pb", f"{raw}/file", f"{raw}/deep/file"]
        await self.blobs.put_many([(uri, b"data") for uri in data])
        created = facts.ExecutionCreated(
            id=subjects.identifier_of(key),
            inputs=inputs,
            user_inputs=inputs,
            config=facts.ResolvedConfig(metadata_prefix=folder, raw_output_prefix=self.blobs.uri("data")),
        )
        scheduled = facts.AttemptScheduled(node_id="n0", raw_output_prefix=raw, envs={"large": "x" * 300_000 * large})
        await self.append(key, [created])
        recorded = await self.append(key, [facts.ExecutionStarted(), scheduled])
        await self.append(key, [facts.ExecutionSucceeded()])
        observed = AttemptObserved(node_id="n0", execution_id=subjects.identifier_of(key))
        for told in subjects.told_of(key):
            await self.log.publish(told, [observed], cause=CAUSE, message_id=uuid4().hex)
        await self.log.park("EXECUTION", recorded.sequence, consumer="nobody", reason="a test")
        payload = [recorded.envelope.offloaded.uri] if large else []
        return [*data, inputs.uri, *payload]

    async def deleted(self, key: ExecutionKey) -> Recorded:
        return await self.append(key, [facts.ExecutionDeleted(reason="a test")])

    async def there(self, uris: Sequence[str]) -> list[str]:
        return [uri for uri in uris if await self.blobs.stat(uri) is not None]

    async def parked(self, key: ExecutionKey) -> int:
        subject = str(Subject.of("EXECUTION", *key))
        return len([entry async for entry in self.log.parked() if entry.subject == subject])

    async def is_erased(self, key: ExecutionKey, uris: Sequence[str], tombstone: Recorded) -> None:
        """Checks that nothing is left but the last envelope."""
        assert await self.there(uris) == []
        (left,) = await self.log.load(tombstone.subject)
        assert (left.head, left.event_id) == (tombstone.head, tombstone.event_id)
        for told in subjects.told_of(key):
            assert await self.log.load(told) == []
        assert await self.parked(key) == 0


@pytest_asyncio.fixture(loop_scope="session")
async def world(log_settings: LogSettings, blob_settings: BlobSettings) -> AsyncIterator[World]:
    blobs = BlobStore.open(blob_settings)
    log = await Log.connect(log_settings, blobs, name="test")
    yield World(log, blobs)
    await log.close()
    await blobs.close()


def named(project: str = "erasing") -> ExecutionKey:
    return project, "development", f"e{uuid4().hex}"


async def test_cut_off_anywhere_it_is_finished_by_whoever_comes_next(world: World) -> None:
    steps = 0
    finished = False
    while not finished:
        key = named()
        uris = await world.ran(key, large=True)
        assert await world.there(uris) == uris
        tombstone = await world.deleted(key)
        try:
            await world.erasing(left=steps).take(tombstone)
            finished = True
        except Interrupted:
            # Whoever reads meanwhile finds the beginning of its history, and nothing behind a gap.
            *history, last = await world.log.load(tombstone.subject)
            assert last.event_id == tombstone.event_id
            assert [one.envelope.position for one in history] == list(range(1, len(history) + 1))
            await world.erasing().take(tombstone)
        await world.is_erased(key, uris, tombstone)
        steps += 1
    assert steps > 8


async def test_what_the_launcher_kept_of_it_beside_the_log_goes(world: World) -> None:
    key = named()
    other = (key[0], key[1], key[2] + "0")
    large = AttemptObserved(node_id="x" * 300_000)
    for one in (key, other):
        subject = Subject.of("ORDER", *one, "n0", "0")
        await world.log.drop(subject, await world.log.keep(subject, large))
    folder = world.blobs.uri("flightlog/kept/order")
    names = [entry.name for entry in await world.blobs.entries(folder)]
    assert [len([name for name in names if f"/{one[2]}/" in name]) for one in (key, other)] == [1, 1]
    await world.ran(key)
    await world.erasing().take(await world.deleted(key))
    assert await world.blobs.entries(f"{folder}/{'/'.join(key)}") == []
    assert len(await world.blobs.entries(f"{folder}/{'/'.join(other)}")) == 1


async def test_what_the_launcher_says_afterwards_is_erased_too(world: World) -> None:
    """An execution that was ended by force is over before its attempts are."""
    key = named()
    uris = await world.ran(key)
    tombstone = await world.deleted(key)
    await world.erasing().take(tombstone)
    nobody: Any = None
    shell = Shell(world.log, world.blobs, Lookup(world.log, DOMAINS), ExecutionSettings())
    reactions = Reactions(world.log, shell, nobody, nobody)
    told = Subject.of("LAUNCHER", *key)
    observed = AttemptObserved(node_id="n0", execution_id=subjects.identifier_of(key))
    await world.log.publish(told, [observed], cause=CAUSE, message_id=uuid4().hex)
    (late,) = await world.log.load(told)
    for _ in range(2):
        await reactions.on_observation(late)
        await world.is_erased(key, uris, tombstone)

    unknown = Subject.of("LAUNCHER", *named())
    observed.execution_id.name = unknown.parts[2]
    await world.log.publish(unknown, [observed], cause=CAUSE, message_id=uuid4().hex)
    (stays,) = await world.log.load(unknown)
    await reactions.on_observation(stays)
    assert await world.log.load(unknown) == [stays]


async def test_erasing_what_is_erased_finds_nothing_to_do(world: World) -> None:
    key = named()
    uris = await world.ran(key)
    tombstone = await world.deleted(key)
    for _ in range(2):
        await world.erasing().take(tombstone)
        await world.is_erased(key, uris, tombstone)


async def test_data_of_another_execution_with_the_same_folder_stays(world: World) -> None:
    """Names of attempts are made of the execution's name alone, those of folders with dashes that names may have."""
    key = named()
    other = (f"other{uuid4().hex[:8]}", *key[1:])
    await world.ran(key)
    theirs = await world.ran(other)
    await world.erasing().take(await world.deleted(key))
    assert await world.there(theirs) == theirs
    tombstone = await world.deleted(other)
    await world.erasing().take(tombstone)
    await world.is_erased(other, theirs, tombstone)

    first = ("erasing", "development", f"development-{uuid4().hex}")
    second = ("erasing-development", "development", first[2].removeprefix("development-"))
    await world.ran(first)
    theirs = await world.ran(second)
    assert "-".join(first) == "-".join(second)
    await world.erasing().take(await world.deleted(first))
    assert await world.there(theirs) == theirs


async def test_two_with_the_same_folder_that_go_at_once_leave_nothing(world: World) -> None:
    key = named()
    other = (f"other{uuid4().hex[:8]}", *key[1:])
    uris = {one: await world.ran(one) for one in (key, other)}
    tombstones = {one: await world.deleted(one) for one in (key, other)}
    await asyncio.gather(*(world.erasing().take(tombstone) for tombstone in tombstones.values()))
    for one in (key, other):
        await world.is_erased(one, uris[one], tombstones[one])


async def until_behind(log: Log, durable: str, sequence: int, *, behind: bool, stream: str = "EXECUTION") -> None:
    """Waits for what the server knows of a consumer."""
    async with asyncio.timeout(30):
        while (durable in await log.consumers_behind(stream, sequence)) is not behind:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("stream", ["EXECUTION", "ADMISSION"])
async def test_what_others_have_yet_to_read_is_waited_for_but_not_for_ever(world: World, stream: str) -> None:
    key = named()
    uris = await world.ran(key)
    tombstone = await world.deleted(key)
    durable = f"reader{uuid4().hex[:8]}"
    let_through = asyncio.Event()
    subject = str(Subject.of("EXECUTION", *key))
    # What is read of it: its own history, or what was answered to who asked for it.
    read_of = subject if stream == "EXECUTION" else str(subjects.answer(key))
    sequence = await world.log.last_sequence(read_of)

    async def read(recorded: Recorded) -> None:
        await let_through.wait()

    patient = world.erasing(wait=timedelta(hours=1))
    consuming = asyncio.ensure_future(
        world.log.consume(stream, durable, read, facts=None, subjects=read_of, max_in_flight=1)
    )
    try:
        await until_behind(world.log, durable, sequence, behind=True, stream=stream)
        # Other tests on these servers have left consumers that nobody goes on with.
        for other in set(await world.log.consumers_behind("EXECUTION", tombstone.sequence)) - {durable}:
            await world.log.forget("EXECUTION", other)
        with pytest.raises(LogUnavailable, match=durable):
            await patient.take(tombstone)
        assert await world.there(uris) == uris
        assert len(await world.log.load(subject)) == 4
        let_through.set()
        await until_behind(world.log, durable, sequence, behind=False, stream=stream)
    finally:
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        await world.log.forget(stream, durable)
    late = tombstone.recorded_at + timedelta(hours=2)
    await world.erasing(wait=timedelta(hours=1), now=late).take(tombstone)
    await world.is_erased(key, uris, tombstone)


async def test_queues_wait_for_nobody_but_who_fills_them(world: World) -> None:
    """A consumer of a service that was removed is behind for good."""
    key = named()
    await world.ran(key)
    tombstone = await world.deleted(key)
    subject, told = tombstone.subject, str(Subject.of("CATALOG", "lineage", *key))
    forgetting = Forgetting(world.log, Queues(world.log))

    async def behind(stream: str, durable: str, read_of: str) -> asyncio.Future[None]:
        async def never(recorded: Recorded) -> None:
            await asyncio.Event().wait()

        consuming = asyncio.ensure_future(world.log.consume(stream, durable, never, facts=None, subjects=read_of))
        await until_behind(world.log, durable, await world.log.last_sequence(read_of), behind=True, stream=stream)
        return consuming

    removed = f"removed{uuid4().hex[:8]}"
    for stream, durable, read_of, waits in (
        ("EXECUTION", removed, subject, False),
        ("EXECUTION", SOURCES, subject, True),
        ("CATALOG", SOURCES, told, True),
    ):
        consuming = await behind(stream, durable, read_of)
        try:
            with pytest.raises(LogUnavailable, match="not all known yet") if waits else nullcontext():
                await forgetting.take(tombstone)
        finally:
            consuming.cancel()
            await asyncio.gather(consuming, return_exceptions=True)
            await world.log.forget(stream, durable)


async def test_one_that_was_trimmed_goes_from_the_archive_too(tmp_path: Path, database: Any) -> None:
    """Most of its history, and facts that were too large for the log, are in the archive alone when it is deleted."""
    trimming = {"after_days": 0, "pause_seconds": 0.05}
    # Until everybody knows of it takes seconds: it is looked less often than elsewhere.
    settings = ArchiveSettings.model_validate({**AT_ONCE.model_dump(), "look_seconds": 0.1, "trimming": trimming})
    blobs = store_in(tmp_path)
    async with nats_server(tmp_path / "nats") as server, connected(server, blobs) as log:
        world, key = World(log, blobs), named()
        uris = await world.ran(key, large=True)
        subject = str(Subject.of("EXECUTION", *key))
        last = await log.last_sequence(subject)
        async with archiving(log, blobs, database, settings) as archive:

            async def trimmed() -> bool:
                return (await log.trimming("EXECUTION")).done >= last

            await until(trimmed, "it is trimmed")
            assert len([raw async for raw in log.hot().stored(subject)]) == 1
            tombstone = await world.deleted(key)

            async def archived() -> bool:
                manifest = await archive.manifest("EXECUTION")
                return manifest.sequence >= tombstone.sequence and bool(manifest.erasing)

            # The archive keeps what is to be read once more.
            await until(archived, "its deletion is archived")
            assert len(await log.load(subject)) == 4
            await world.erasing().take(tombstone)

            async def erased() -> bool:
                return not (await archive.manifest("EXECUTION")).erasing

            await until(erased, "it is erased in the archive")
            rows = await archive.subject(subject, "EXECUTION")
        assert [row.data is None for row in rows] == [True, True, True, False]
        assert await world.there(uris) == []
        (left,) = await log.load(subject)
        assert left.event_id == tombstone.event_id


async def test_a_place_where_nothing_may_be_deleted_keeps_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks write with rights of their own: what may be listed may yet not be deleted."""
    key = named()
    uris = await world.ran(key)
    theirs = [uri for uri in uris if "/data/xy/" in uri]
    delete = world.blobs.delete

    async def refusing(uri: str) -> None:
        if uri in theirs:
            raise BlobRefused("403 AccessDenied")
        await delete(uri)

    monkeypatch.setattr(world.blobs, "delete", refusing)
    tombstone = await world.deleted(key)
    await world.erasing().take(tombstone)
    assert await world.there(uris) == theirs
    await world.is_erased(key, [uri for uri in uris if uri not in theirs], tombstone)


async def test_an_object_store_that_is_away_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = named()
    uris = await world.ran(key)
    tombstone = await world.deleted(key)

    async def away(folder: str) -> Any:
        raise BlobError("the object store is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.blobs, "entries", away)
        with pytest.raises(LogUnavailable, match="is away"):
            await world.erasing().take(tombstone)
    assert len(await world.log.load(tombstone.subject)) == 4
    await world.erasing().take(tombstone)
    await world.is_erased(key, uris, tombstone)


async def test_a_subject_can_be_erased_up_to_a_message(world: World) -> None:
    subject = Subject.of("EXECUTION", *named())
    heads = [Head.EMPTY]
    for _ in range(4):
        recorded = await world.log.append(subject, [facts.ExecutionStarted()], head=heads[-1], cause=CAUSE)
        heads.append(recorded.head)
    assert await world.log.erase(subject, before=heads[3].sequence) == 2
    assert [one.head for one in await world.log.load(subject)] == heads[3:]
    assert await world.log.erase(subject, before=heads[3].sequence) == 0
    # The next append follows the last one, as if nothing had gone.
    await world.log.append(subject, [facts.ExecutionStarted()], head=heads[-1], cause=CAUSE)
    assert await world.log.erase(subject) == 3
    assert await world.log.head(subject) == Head.EMPTY
