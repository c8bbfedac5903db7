"""An archive in a folder, and messages as they would lie on the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf.message import Message

from flightlog_archive import Archive
from flightlog_blobs import BlobSettings, BlobStore
from flightlog_log import Raw, Subject
from flightlog_log.envelopes import names_of, new_id, pack, timestamp
from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope

BEGUN = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Stream:
    """Messages of one stream, in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = 0
        self._heads: dict[str, tuple[int, bytes]] = {}

    def say(self, name: str, *facts: Message, offloaded: tuple[str, bytes] | None = None) -> Raw:
        """The next message of the execution `name`, or of the aggregate of that name."""
        self.sequence += 1
        subject = str(Subject.of(self.name, "flytesnacks", "development", name))
        position, before = self._heads.get(subject, (0, b""))
        recorded_at = BEGUN + timedelta(seconds=self.sequence)
        envelope = Envelope(
            event_id=new_id(),
            schema_version=1,
            subject=subject,
            position=position + 1,
            occurred_at=timestamp(recorded_at - timedelta(milliseconds=1)),
            recorded_at=timestamp(recorded_at),
            actor=Actor(subject="somebody", method="none", client="pyflyte", address="127.0.0.1"),
            correlation_id="c",
            causation_id="c",
            previous_hash=before,
        )
        if offloaded is None:
            envelope.facts.extend(pack(facts))
        else:
            envelope.offloaded.uri, content = offloaded
            envelope.offloaded.sha256 = sha256(content).digest()
        data = envelope.SerializeToString()
        self._heads[subject] = (position + 1, sha256(data).digest())
        return Raw(subject, self.sequence, data, {"Nats-Msg-Id": envelope.event_id, "Flightlog-Facts": names_of(facts)})

    def skip(self, count: int = 1) -> None:
        """Sequences that the stream no longer has."""
        self.sequence += count


@pytest.fixture
def stream() -> Callable[[str], Stream]:
    """Makes a stream."""
    return Stream


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """An object store of this test alone."""
    settings = BlobSettings(
        driver="directory",
        bucket="b",
        endpoint="http://localhost",
        access_key="a",
        secret_key="s",  # pyright: ignore[reportArgumentType]
        directory=tmp_path,
    )
    return BlobStore.open(settings)


@pytest.fixture
def archive(blobs: BlobStore) -> Archive:
    """An archive of this test alone."""
    return Archive(blobs)
