"""An execution that was deleted: the archive forgets what its messages said, and still verifies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flightlog_archive import Archive
from flightlog_archive.checking import Problem, check_messages
from flightlog_archive.erasing import elsewhere
from flightlog_archive.segments import tables_of
from flightlog_archive.writing import StreamWriter
from flightlog_protos.execution.v1.facts_pb2 import ExecutionDeleted, ExecutionStarted, ExecutionSucceeded


async def alone() -> None:
    """Nobody else writes."""


async def test_a_deleted_execution_is_erased_and_the_chain_verifies(
    archive: Archive, stream: Callable[[str], Any]
) -> None:
    source = stream("EXECUTION")
    writer = await StreamWriter.open(archive, "EXECUTION", alone)
    kept = [source.say("other", ExecutionStarted())]
    gone = [source.say("a", ExecutionStarted()), source.say("a", ExecutionSucceeded())]
    await writer.append([*kept, *gone])
    last = source.say("a", ExecutionDeleted(reason="asked for"))
    await writer.append([last])
    (erasing,) = writer.manifest.erasing
    assert (erasing.subject, erasing.before, erasing.reason) == (last.subject, last.sequence, "asked for")
    before = writer.manifest.segments[0]

    # A writer that comes after a crash finds what is still to be erased.
    writer = await StreamWriter.open(archive, "EXECUTION", alone)
    assert await writer.erase(writer.manifest.erasing) == 2
    await writer.has_erased([erasing])
    assert await writer.erase([erasing]) == 0, "once more changes nothing"

    manifest = await archive.manifest("EXECUTION")
    assert manifest.erasing == ()
    assert [(one.reason, one.subjects, one.messages) for one in manifest.erased] == [("asked for", 1, 2)]
    after = manifest.segments[0]
    assert (after.chain, after.erased, after.key) == (before.chain, 2, before.key.replace(".parquet", ".1.parquet"))
    assert await archive.blobs.get_or_none(archive.uri("EXECUTION", before.key)) is None

    data = await archive.segment("EXECUTION", after)
    found = list(check_messages(after, b"", data, after.key))
    assert not [one for one in found if isinstance(one, Problem)]
    messages = [message for one in found if not isinstance(one, Problem) for message in one]
    assert [(one.data is None, one.erased) for one in messages] == [
        (False, ""),
        (True, "asked for"),
        (True, "asked for"),
    ]
    rows = tables_of(data, after.key).to_pylist()
    for row in rows[1:]:
        assert row["fact_types"], "what happened is still to be seen"
        assert {row[name] for name in row if name.startswith("actor_")} == {None}
        assert row["facts"] is row["message"] is row["payload"] is row["headers"] is None
    assert rows[0]["actor_subject"] == "somebody"


async def test_what_other_streams_have_of_it_is_known() -> None:
    from flightlog_archive import Erasing
    from flightlog_log import Subject

    subject = Subject.of("EXECUTION", "p", "d", "n")
    found = elsewhere(Erasing(str(subject), 7, "asked for"))
    assert ("LAUNCHER", str(Subject.of("LAUNCHER", "p", "d", "n"))) in [(name, one.subject) for name, one in found]
    assert {name for name, _ in found} == {"LAUNCHER", "CATALOG", "ADMISSION", "PARKED"}


async def test_what_was_parked_of_it_is_erased_too(archive: Archive, stream: Callable[[str], Any]) -> None:
    from flightlog_archive import Erasing
    from flightlog_log import Raw
    from flightlog_protos.log.v1.envelope_pb2 import Parked

    of_it, other = (stream("EXECUTION").say(name, ExecutionStarted()) for name in ("a", "other"))
    parked = [
        Raw("parked.EXECUTION.c", place, Parked(subject=one.subject, message=one.data).SerializeToString(), {})
        for place, one in enumerate((of_it, other), 1)
    ]
    writer = await StreamWriter.open(archive, "PARKED", alone)
    await writer.append(parked)
    orders = [order for name, order in elsewhere(Erasing(of_it.subject, 7, "asked for")) if name == "PARKED"]
    assert await writer.erase(orders) == 1
    left = [one for batch in [batch async for batch in archive.read("PARKED", after=0)] for one in batch]
    assert [one.data for one in left] == [None, parked[1].data]


async def test_a_segment_altered_together_with_its_manifest_breaks_the_chain(
    archive: Archive, stream: Callable[[str], Any]
) -> None:
    source = stream("EXECUTION")
    writer = await StreamWriter.open(archive, "EXECUTION", alone)
    true, false = source.say("a", ExecutionStarted()), source.say("a", ExecutionSucceeded())
    await writer.append([true])
    segment = writer.manifest.segments[0]
    forged = await StreamWriter.open(Archive(archive.blobs, "s3://b/elsewhere"), "EXECUTION", alone)
    await forged.append([false])
    data = await archive.blobs.get(f"s3://b/elsewhere/EXECUTION/{forged.manifest.segments[0].key}")
    reasons = [one.reason for one in check_messages(segment, b"", data, segment.key) if isinstance(one, Problem)]
    assert any("chain" in reason for reason in reasons)
