"""What a file must not say to be put on a log, however right its hashes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import pytest
from google.protobuf.message import Message

from flightlog_log import Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef, Envelope, OffloadedFacts
from flightlog_protos.registry.v1.facts_pb2 import KeyDestroyed
from services.execution import engine, subjects
from services.execution.history.files.checking import check, object_key, state_of
from services.execution.history.files.format import CAUSE, EXECUTION, BadFile, Exported, Manifest, StoredEnvelope
from services.execution.history.files.reading import HistoryFile
from services.execution.history.replay.encoding import encoded

KEY = ("p", "development", "n")
SUBJECT = str(Subject.of("EXECUTION", *KEY))


def created() -> facts.ExecutionCreated:
    return facts.ExecutionCreated(
        id=subjects.identifier_of(KEY),
        inputs=DataRef(uri="s3://b/metadata/p/development/n/i", sha256=b"i"),
        config=facts.ResolvedConfig(metadata_prefix="s3://b/m/p-development-n", raw_output_prefix="s3://b/data"),
    )


def envelopes(
    *items: Sequence[Message], subject: str = SUBJECT, role: str = EXECUTION, offloaded: str = ""
) -> list[StoredEnvelope]:
    made: list[StoredEnvelope] = []
    previous = b""
    for position, some in enumerate(items, 1):
        envelope = Envelope(event_id=f"{subject}-{position}", subject=subject, previous_hash=previous)
        envelope.position = position if role == EXECUTION else 0
        for fact in some:
            envelope.facts.add().Pack(fact)
        data = envelope.SerializeToString()
        previous = sha256(data).digest()
        made.append(StoredEnvelope(role, subject, previous, data))
    return made


def exported(*stored: StoredEnvelope, executions: Sequence[Any] = (KEY,), settings: Any = None) -> Exported:
    settings = encoded(engine.EngineSettings()) if settings is None else settings
    limits = {"read_bytes": 1, "futures_bytes": 2, "offloaded_bytes": 3}
    return Exported(Manifest(executions, "1", "b", settings, limits), list(stored))


def told(*items: Message) -> Exported:
    return exported(*envelopes([created()], items))


def test_what_speaks_of_its_own_alone_passes() -> None:
    scheduled = facts.AttemptScheduled(node_id="n0", raw_output_prefix="s3://b/data/xy/n-n0-0")
    cause = envelopes([AttemptObserved()], subject=str(Subject.of("LAUNCHER", *KEY)), role=CAUSE)
    file = HistoryFile(exported(*envelopes([created()], [scheduled]), *cause))
    check(file)
    assert object_key("s3://b/flightlog/facts/execution/x") == "flightlog/facts/execution/x"


def altered(change: Callable[[facts.ExecutionCreated], Any]) -> Exported:
    one = created()
    change(one)
    return exported(*envelopes([one]))


OTHERS = str(Subject.of("REGISTRY", "project", "p"))
UNNAMED = str(Subject.of("EXECUTION", "p", "development", "other"))


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (exported(*envelopes([created()]), *envelopes([KeyDestroyed()], subject=OTHERS)), "which it does not name"),
        (exported(*envelopes([created()]), *envelopes([created()], subject=UNNAMED)), "which it does not name"),
        (altered(lambda one: one.id.MergeFrom(subjects.identifier_of(("p", "d", "x")))), "as another execution"),
        (altered(lambda one: one.config.MergeFrom(facts.ResolvedConfig(metadata_prefix="s3://b/m"))), "no folder of"),
        (
            altered(lambda one: one.config.MergeFrom(facts.ResolvedConfig(metadata_prefix="s3://b/flightlog/keys"))),
            "s3://b/flightlog/keys is no folder of",
        ),
        (told(facts.AttemptScheduled(node_id="n0", raw_output_prefix="s3://b/data")), "no folder of"),
        (told(facts.ExecutionDeleted()), "it was deleted"),
        (told(facts.NodeSucceeded(node_id="n0", outputs=DataRef(uri="s3://b/flightlog/keys/p/k"))), "no object of an"),
        (altered(lambda one: one.inputs.MergeFrom(DataRef(uri="s3a://b/flightlog/archive/x"))), "no object of an"),
    ],
)
def test_what_speaks_of_others_is_refused(file: Exported, why: str) -> None:
    with pytest.raises(BadFile, match=why):
        check(HistoryFile(file))


def test_facts_lie_where_facts_do() -> None:
    envelope = Envelope(event_id="e", subject=SUBJECT, position=1)
    envelope.facts.add().Pack(created())
    data = envelope.SerializeToString()
    file = HistoryFile(exported(StoredEnvelope(EXECUTION, SUBJECT, sha256(data).digest(), data)))
    for uri in ("s3://b/flightlog/keys/p/k", "s3://b/metadata/m", "s3://b/flightlog/facts/../keys/p/k"):
        file.pasts[KEY].records[0].envelope.offloaded.CopyFrom(OffloadedFacts(uri=uri))
        with pytest.raises(BadFile, match=r"is no (place for facts|object of an execution)"):
            check(file)


@pytest.mark.parametrize(
    "file",
    [
        exported(StoredEnvelope(EXECUTION, SUBJECT, b"", b"\xff\xff")),
        exported(StoredEnvelope(CAUSE, SUBJECT, b"", b"no envelope")),
        exported(*envelopes([created()]), executions=[("", "", "")]),
        exported(*envelopes([created()], subject="execution.1")),
        exported(*envelopes([created()]), settings={"class": "Nobody"}),
        exported(*envelopes([created()]), settings={"class": "EngineSettings", "nothing": 1}),
        exported(*envelopes([created()]), settings={"message": "google.protobuf.Duration", "value": "no"}),
        exported(*envelopes([created()]), settings={"seconds": 1e300}),
    ],
)
def test_what_cannot_be_read_is_told(file: Exported) -> None:
    with pytest.raises(BadFile):
        HistoryFile(file)


def test_facts_that_tell_no_story_are_refused() -> None:
    file = HistoryFile(told(facts.NodeSucceeded(node_id="never")))
    with pytest.raises(BadFile, match="was never queued"):
        state_of(file.pasts[KEY])
