"""The archiver with a real log: what it writes is what the log had, whoever dies and whatever is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flightlog_archive import Archive
from flightlog_archive.restoring import AnotherArchive, NothingArchived, restore
from flightlog_archive.writing import StreamWriter
from flightlog_blobs import BlobError
from flightlog_log import Log, LogNotEmpty, LogRestoring, Restoration, Subject, Trimming
from flightlog_log.streams import ensure_streams
from flightlog_protos.execution.v1.facts_pb2 import (
    ExecutionCreated,
    ExecutionDeleted,
    ExecutionStarted,
    ExecutionSucceeded,
)
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from services.history.archiving import metrics
from services.history.archiving.archiver import ArchiveOfAnotherLog, _Stream
from services.history.archiving.settings import ArchiveSettings, TrimmingSettings
from services.history.archiving.trimming import Trimmer
from tests.integration.history.archives import (
    AT_ONCE,
    CAUSE,
    appended,
    archived_up_to,
    archiving,
    connected,
    everything,
    nats_server,
    store_in,
    until,
    wrong,
)
from tests.unit.archive.conftest import Stream


def execution(name: str) -> Subject:
    return Subject.of("EXECUTION", "p", "d", name)


async def ran(log: Log, name: str, note: str = "") -> int:
    """An execution with its attempts' observations; returns the sequence of its end."""
    subject = execution(name)
    await appended(log, subject, ExecutionCreated())
    await appended(log, subject, ExecutionStarted(addresses=[note] if note else []))
    observed = Subject.of("LAUNCHER", "p", "d", name)
    await log.publish(observed, [AttemptObserved()], cause=CAUSE, message_id=f"{name}-1")
    return await appended(log, subject, ExecutionSucceeded())


async def test_archive_and_restore_give_back_the_same_log(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path / "objects")
    (tmp_path / "objects").mkdir()
    large = "x" * 300_000
    async with nats_server(tmp_path / "one") as settings, connected(settings, blobs) as log:
        async with archiving(log, blobs, database) as archive:
            for number in range(20):
                last = await ran(log, f"run-{number}", large if number == 7 else "")
                await archived_up_to(archive, "EXECUTION", last)
        # Nothing is lost between two archivers, and a sequence that is gone stays free.
        gone = await appended(log, execution("gone"), ExecutionCreated())
        await log.erase(execution("gone"))
        last = await ran(log, "after")
        async with archiving(log, blobs, database) as archive:
            await archived_up_to(archive, "EXECUTION", last)
            await archived_up_to(archive, "LAUNCHER", await log.stream_sequence("LAUNCHER"))
        before = await everything(log)
        heads = {name: await log.head(execution(name)) for name in ("run-3", "run-7", "after", "gone")}
        with pytest.raises(LogNotEmpty):
            await Restoration.open(settings, name="restore")
    assert gone not in [sequence for sequence, _, _ in before["EXECUTION"]]
    assert len((await archive.manifest("EXECUTION")).segments) < 15, "small segments are merged"
    offloaded = await blobs.entries(blobs.uri("flightlog", "facts"))
    assert offloaded, "large facts lie in the object store"
    for entry in offloaded:
        await blobs.delete(blobs.uri("flightlog", "facts", entry.name))

    async with nats_server(tmp_path / "two") as settings:
        restoration = await Restoration.open(settings, name="restore")
        with pytest.raises(LogRestoring):
            await Log.connect(settings, blobs, name="too-early")
        with pytest.raises(NothingArchived):
            await restore(Archive(blobs, "s3://b/nowhere"), restoration, blobs)

        def killed(progress: Any) -> None:
            if progress.stream == "EXECUTION":
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await restore(archive, restoration, blobs, killed)
        await restoration.close()
        restoration = await Restoration.open(settings, name="restore")
        restored = await restore(archive, restoration, blobs)
        await restoration.close()
        assert {one.stream: one.sequence for one in restored}["EXECUTION"] == last
        async with connected(settings, blobs) as log:
            assert await everything(log) == before
            assert {name: await log.head(execution(name)) for name in heads} == heads
            (_, started, _) = await log.load(execution("run-7"))
            assert started.facts[0].addresses == [large]
            # It goes on, and so does its archive.
            last = await appended(log, execution("run-3"), ExecutionStarted())
            async with archiving(log, blobs, database) as archive:
                await archived_up_to(archive, "EXECUTION", last)


async def test_an_archive_of_another_log_is_left_alone(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path)
    for number in range(2):
        async with nats_server(tmp_path / f"nats-{number}") as settings, connected(settings, blobs) as log:
            last = await ran(log, "a")
            async with archiving(log, blobs, database) as archive:
                if number == 0:
                    await archived_up_to(archive, "EXECUTION", last)
                    written = await blobs.get(archive.uri("EXECUTION"))
                else:

                    async def refused() -> bool:
                        return metrics.refused._value.get() == 1

                    await until(refused, "the archiver has refused")
    assert await blobs.get(archive.uri("EXECUTION")) == written


class _Away:
    """An object store that can be away."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.away = False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        if self.away:
            self.refused += 1
            raise BlobError("the object store is away")
        return getattr(self._driver, name)


async def test_an_object_store_that_is_away_is_waited_for(tmp_path: Path, database: Any) -> None:
    away: list[_Away] = []

    def wrapped(driver: Any) -> Any:
        away.append(_Away(driver))
        return away[0]

    plain = store_in(tmp_path)
    blobs = plain.through(wrapped)
    async with (
        nats_server(tmp_path / "nats") as settings,
        connected(settings, plain) as log,
        archiving(log, blobs, database) as archive,
    ):
        await archived_up_to(archive, "EXECUTION", await ran(log, "a"))
        away[0].away = True
        last = await ran(log, "b")

        async def noticed() -> bool:
            return away[0].refused > 0

        await until(noticed, "the archiver has noticed")
        away[0].away = False
        await archived_up_to(archive, "EXECUTION", last)


async def test_two_archivers_take_turns(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path)
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        async with archiving(log, blobs, database) as archive:
            await archived_up_to(archive, "EXECUTION", await ran(log, "a"))
            async with archiving(log, blobs, database):
                await archived_up_to(archive, "EXECUTION", await ran(log, "b"))
                backends = await database.pool.fetch(
                    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                assert len(backends) == 1
                await database.pool.fetchval("SELECT pg_terminate_backend($1)", backends[0]["pid"])
                await archived_up_to(archive, "EXECUTION", await ran(log, "c"))
        stored = [one async for batch in archive.read("EXECUTION", after=0) for one in batch]
        assert [one.sequence for one in stored] == list(range(1, 10))


async def test_what_a_deleted_execution_said_leaves_the_archive(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path)
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        async with archiving(log, blobs, database) as archive:
            await archived_up_to(archive, "EXECUTION", await ran(log, "a"))
        await ran(log, "b")
        deleted = await appended(log, execution("a"), ExecutionDeleted(reason="asked for"))
        await log.erase(execution("a"), before=deleted)
        async with archiving(log, blobs, database) as archive:

            async def erased() -> bool:
                manifest = await archive.manifest("EXECUTION")
                return manifest.sequence >= deleted and bool(manifest.erased) and not manifest.erasing

            await until(erased, "it has been erased")
        stored = await archive.subject(str(execution("a")), "EXECUTION")
        assert [(one.data is None, one.erased) for one in stored] == [(True, "asked for")] * 3 + [(False, "")]
        observed = await archive.subject(str(Subject.of("LAUNCHER", "p", "d", "a")), "LAUNCHER")
        assert [one.data for one in observed] == [None]
        assert [one.erased for one in await archive.subject(str(execution("b")), "EXECUTION")] == [""] * 3
        before = await everything(log)
        assert await wrong(log, blobs) == []
    async with nats_server(tmp_path / "two") as settings:
        restoration = await Restoration.open(settings, name="restore")
        await restore(archive, restoration, blobs)
        await restoration.close()
        async with connected(settings, blobs) as log:
            assert (await everything(log))["EXECUTION"] == before["EXECUTION"]
            assert await wrong(log, blobs) == []
            async with archiving(log, blobs, database) as archive:
                await archived_up_to(archive, "EXECUTION", await ran(log, "c"))


async def test_what_the_archive_has_yet_to_forget_is_no_loss(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path)
    observed = {name: Subject.of("LAUNCHER", "p", "d", name) for name in ("a", "b", "c")}
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        async with archiving(log, blobs, database) as archive:
            for name in observed:
                last = await ran(log, name)
            await archived_up_to(archive, "EXECUTION", last)
            await archived_up_to(archive, "LAUNCHER", await log.stream_sequence("LAUNCHER"))
        # The history service is away while executions are deleted.
        for name in ("a", "c"):
            deleted = await appended(log, execution(name), ExecutionDeleted(reason="asked for"))
            await log.erase(observed[name])
            await log.erase(execution(name), before=deleted)
        assert await wrong(log, blobs) == []
        # What is gone of others is a loss as before.
        await log.erase(observed["b"])
        (lost,) = await wrong(log, blobs)
        assert (lost.kind, lost.stream) == ("truncated", "LAUNCHER")
        await log.erase(execution("b"), before=last)
        assert {(one.kind, one.subject) for one in await wrong(log, blobs) if one.stream == "EXECUTION"} >= {
            ("gap", str(execution("b")))
        }


async def test_trimmed_executions_are_read_as_before(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path)
    # Until everybody knows of it takes seconds: it is looked less often than elsewhere.
    trimming = {"look_seconds": 0.1, "trimming": {"after_days": 0, "pause_seconds": 0.05}}
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        for name in ("a", "b"):
            await ran(log, name)
        running = await appended(log, execution("running"), ExecutionCreated())
        before = await everything(log)
        loaded = await log.load(execution("a"))
        async with archiving(
            log, blobs, database, ArchiveSettings.model_validate({**AT_ONCE.model_dump(), **trimming})
        ):

            async def trimmed() -> bool:
                return (await log.trimming("EXECUTION")).done >= running

            await until(trimmed, "what is over has left the server")
        async with connected(settings, store_in(tmp_path)) as plain:
            direct = plain._connection
            state = (await direct.api("STREAM.INFO.EXECUTION"))["state"]
            assert state["messages"] == 3, "the two ends, and what runs"
        assert await log.load(execution("a")) == loaded
        assert await log.load(execution("a"), after=loaded[0].head) == loaded[1:]
        assert await log.load(execution("a"), until=loaded[1].sequence) == loaded[:2]
        assert await log.first(execution("a")) == loaded[0]
        assert await log.load(execution("nobody")) == []
        observed = Subject.of("LAUNCHER", "p", "d", "a")
        assert len(await log.load(observed)) == 1
        assert await everything(log) == before
        paged: list[int] = []
        while found := await log.stored_after("EXECUTION", ">", paged[-1] if paged else 0, 2):
            paged += [one.sequence for one in found]
        assert paged == [sequence for sequence, _, _ in before["EXECUTION"]]
        assert [one.sequence async for one in log.stored(execution("a"))] == [one.sequence for one in loaded]
        followed = [one async for batch in log.follow("EXECUTION", after=0, live=False) for one in batch]
        assert [one.sequence for one in followed] == paged
        assert await wrong(log, blobs) == []
        # Its end is still there to be followed by more.
        await appended(log, execution("a"), ExecutionDeleted(reason="asked for"))
        assert [type(one.facts[0]).__name__ for one in await log.load(execution("a"))] == [
            *("ExecutionCreated", "ExecutionStarted", "ExecutionSucceeded", "ExecutionDeleted"),
        ]


async def test_all_that_is_old_enough_is_announced_at_once(tmp_path: Path, database: Any) -> None:
    """Else a log with many segments waits for each of them until everybody knows of it."""
    blobs = store_in(tmp_path)
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        async with archiving(log, blobs, database) as archive:
            ends = [await ran(log, "a")]
            await archived_up_to(archive, "EXECUTION", ends[0])
            ends.append(await ran(log, "b"))
            await archived_up_to(archive, "EXECUTION", ends[1])
        assert len((await archive.manifest("EXECUTION")).segments) > 1
        await Trimmer(log, archive, TrimmingSettings(after_days=1)).look()
        assert await log.trimming("EXECUTION") == Trimming(announced=0, done=0), "nothing is old enough"
        await Trimmer(log, archive, TrimmingSettings(after_days=0)).look()
        assert await log.trimming("EXECUTION") == Trimming(announced=ends[1], done=0)


async def test_facts_in_the_object_store_count_for_the_size_of_a_segment(tmp_path: Path, database: Any) -> None:
    blobs = store_in(tmp_path / "objects")
    (tmp_path / "objects").mkdir()
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        for name in ("a", "b", "c"):
            last = await appended(log, execution(name), ExecutionStarted(addresses=["x" * 300_000]))
        small = AT_ONCE.model_copy(update={"close_bytes": 400_000})
        async with archiving(log, blobs, database, small) as archive:
            await archived_up_to(archive, "EXECUTION", last)
        manifest = await archive.manifest("EXECUTION")
    assert [one.count for one in manifest.segments] == [2, 1]


async def test_a_log_that_is_emptied_under_the_archiver_is_another_one(tmp_path: Path) -> None:
    async def alone() -> None:
        """Nobody else writes."""

    blobs = store_in(tmp_path / "objects")
    async with nats_server(tmp_path / "nats") as settings, connected(settings, blobs) as log:
        for name in ("a", "b"):
            await appended(log, execution(name), ExecutionCreated())
        writer = await StreamWriter.open(Archive(blobs), "EXECUTION", alone)
        following = _Stream(log, writer, AT_ONCE)
        await following.look(at_once=True)
        assert writer.manifest.sequence == 2
        await log._connection.api("STREAM.DELETE.EXECUTION")
        await ensure_streams(log._connection)
        await appended(log, execution("other"), ExecutionCreated())
        with pytest.raises(ArchiveOfAnotherLog):
            await following.look(at_once=True)


async def test_a_restore_that_was_cut_off_does_not_go_on_with_another_archive(tmp_path: Path) -> None:
    async def alone() -> None:
        """Nobody else writes."""

    def killed(_progress: Any) -> None:
        raise ConnectionResetError

    blobs = store_in(tmp_path / "objects")
    archives: list[Archive] = []
    for name in ("one", "other"):
        archives.append(Archive(blobs, f"s3://b/{name}"))
        source = Stream("EXECUTION")
        source.skip(40)
        writer = await StreamWriter.open(archives[-1], "EXECUTION", alone)
        before = source.say(name, ExecutionStarted())
        source.skip(2_000)
        await writer.append([before, source.say(name, ExecutionSucceeded())])
    async with nats_server(tmp_path / "nats") as settings:
        restoration = await Restoration.open(settings, name="restore")
        with pytest.raises(ConnectionResetError):
            await restore(archives[0], restoration, blobs, killed)
        with pytest.raises(AnotherArchive, match="another archive"):
            await restore(archives[1], restoration, blobs)
        (restored,) = [one for one in await restore(archives[0], restoration, blobs) if one.sequence]
        await restoration.close()
        async with connected(settings, blobs) as log:
            assert [sequence for sequence, _, _ in (await everything(log))["EXECUTION"]] == [41, restored.sequence]
