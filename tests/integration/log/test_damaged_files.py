"""A message whose bytes rotted on the server's disk: the server passes over it without a word, and reading goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from flightlog_blobs import BlobStore
from flightlog_log import Log, Raw, Subject
from flightlog_protos.execution.v1.facts_pb2 import TimerSet
from tests.integration.log.shared import CAUSE, OwnNats

STREAM = "ADMISSION"


async def flip(nats: OwnNats, texts: Sequence[str]) -> None:
    """One bit of each message that has a text, while the server is down."""
    await nats.child.stop()
    store = Path(nats.child.program.command[-1]).parent
    for block in store.rglob(f"{STREAM}/msgs/*.blk"):
        data = bytearray(block.read_bytes())
        for text in texts:
            at = data.find(text.encode())
            if at >= 0:
                data[at] ^= 1
        block.write_bytes(data)
    await nats.child.start()


@pytest.mark.parametrize("lost", [{1}, {3}, {0, 3}], ids=["in the middle", "the last one", "first and last"])
async def test_reading_to_the_end_ends_without_them(own_nats: OwnNats, blobs: BlobStore, lost: set[int]) -> None:
    log = await Log.connect(own_nats.settings, blobs, name="damaged-files")
    try:
        subject = Subject.of(STREAM, "damaged", uuid4().hex)
        texts = [uuid4().hex for _ in range(4)]
        sequences: list[int] = []
        for text in texts:
            head = await log.head(subject)
            recorded = await log.append(subject, [TimerSet(timer_id=text)], head=head, cause=CAUSE)
            sequences.append(recorded.sequence)
        await flip(own_nats, [texts[index] for index in lost])
        batches: list[list[Raw]] = [
            batch async for batch in log.follow_stored(STREAM, after=sequences[0] - 1, live=False)
        ]
        found = [raw.sequence for batch in batches for raw in batch]
        assert found == [sequence for index, sequence in enumerate(sequences) if index not in lost]
        # The server does not know that it cannot read the last one.
        assert await log.last_stored(STREAM) in (sequences[-1], found[-1])
    finally:
        await log.close()
