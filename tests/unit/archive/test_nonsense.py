"""What nobody of us writes is archived as it lies there: one such message must not keep all others out."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from flightlog_archive import Archive
from flightlog_archive.manifest import Erasing
from flightlog_archive.writing import StreamWriter
from flightlog_log import Raw
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted
from flightlog_protos.log.v1.envelope_pb2 import Envelope


async def alone() -> None:
    """Nobody else writes."""


async def restored(archive: Archive, stream: str) -> list[Any]:
    return [message async for batch in archive.read(stream, after=0) for message in batch]


@pytest.mark.parametrize(
    "alter",
    [
        lambda envelope: setattr(envelope.recorded_at, "seconds", 2**62),
        lambda envelope: setattr(envelope.recorded_at, "seconds", 253402300800),
        lambda envelope: setattr(envelope.occurred_at, "seconds", -(2**40)),
        lambda envelope: setattr(envelope.occurred_at, "nanos", -1),
        lambda envelope: setattr(envelope, "position", 2**63),
    ],
)
async def test_an_envelope_that_says_what_cannot_be(
    archive: Archive, stream: Callable[[str], Any], alter: Callable[[Envelope], None]
) -> None:
    source = stream("EXECUTION")
    good = source.say("a", ExecutionStarted())
    envelope = Envelope.FromString(source.say("b", ExecutionStarted()).data)
    alter(envelope)
    bad = Raw(envelope.subject, 2, envelope.SerializeToString(), {})
    writer = await StreamWriter.open(archive, "EXECUTION", alone)
    await writer.append([good, bad])
    found = await restored(archive, "EXECUTION")
    assert [one.data for one in found] == [good.data, bad.data]
    assert found[1].hash == sha256(bad.data).digest()


async def test_what_is_no_entry_on_the_stream_of_the_parked(archive: Archive) -> None:
    foreign = Raw("parked.EXECUTION.x", 1, b"\xff\xff\xff", {})
    writer = await StreamWriter.open(archive, "PARKED", alone)
    await writer.append([foreign])
    assert [one.data for one in await restored(archive, "PARKED")] == [foreign.data]
    assert await writer.erase([Erasing("execution.1.p.d.a", 2, "deleted")]) == 0
