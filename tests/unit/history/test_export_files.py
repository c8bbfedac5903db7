"""The file of an exported history: what is written comes back, and what was altered does not."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap

from flightlog_protos.execution.v1.facts_pb2 import (
    AttemptSucceeded,
    ExecutionCreated,
    NodeQueued,
    SignalSet,
)
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import engine
from services.execution.history.files.format import (
    CAUSE,
    EXECUTION,
    BadFile,
    Exported,
    Manifest,
    StoredEnvelope,
    StoredObject,
    Writer,
    is_file,
    read,
)
from services.execution.history.files.references import references
from services.execution.history.replay.encoding import encoded
from services.execution.history.replay.redacting import is_redacted, redacted

LIMIT = 1 << 20
MANIFEST = Manifest(
    [("p", "d", "n"), ("p", "d", "odd name/with a slash")],
    "1.0",
    "bucket",
    encoded(engine.EngineSettings()),
    {"read_bytes": 1, "futures_bytes": 2, "offloaded_bytes": 3},
)


def envelope(data: bytes, role: str = EXECUTION) -> StoredEnvelope:
    return StoredEnvelope(role, "execution.01.p.d.n", sha256(data).digest(), data, facts=("NodeQueued",))


def exported() -> Exported:
    content = b"\0literals\xff"
    return Exported(
        MANIFEST,
        [envelope(b"one"), envelope(b"two"), envelope(b"three", CAUSE), replace(envelope(b"four"), redacted=True)],
        {
            "s3://b/full": StoredObject("s3://b/full", len(content), sha256(content).digest(), content),
            "s3://b/hash": StoredObject("s3://b/hash", 7, sha256(b"gone").digest()),
            "s3://b/seen": StoredObject("s3://b/seen", 9),
        },
        {"s3://b/nothing"},
        {"s3://b/folder": [("error-0.pb", 3)]},
    )


def written(what: Exported) -> bytes:
    writer = Writer()
    pieces = [writer.manifest(what.manifest), *map(writer.envelope, what.envelopes)]
    pieces += [*map(writer.object, what.objects.values()), *map(writer.absent, sorted(what.absent))]
    pieces += [writer.folder(uri, entries) for uri, entries in what.folders.items()]
    return b"".join((*pieces, writer.end()))


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(data).splitlines()]


def packed(documents: list[dict[str, Any]]) -> bytes:
    return gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in documents))


def with_right_hash(documents: list[dict[str, Any]]) -> bytes:
    """Somebody who knows the format has changed it."""
    body = b"".join(json.dumps(one).encode() + b"\n" for one in documents[:-1])
    end = {"kind": "end", "lines": len(documents) - 1, "sha256": sha256(body).hexdigest()}
    return gzip.compress(body + json.dumps(end).encode() + b"\n")


def test_what_is_written_comes_back() -> None:
    data = written(exported())
    assert is_file(data)
    assert read(data, LIMIT) == exported()
    assert written(read(data, LIMIT)) == data


def test_file_shows_what_it_is() -> None:
    first, *rest, last = lines(written(exported()))
    assert (first["kind"], first["format"], first["executions"][0]) == ("history", 1, "p/d/n")
    assert (rest[0]["kind"], rest[0]["role"], rest[0]["facts"]) == ("envelope", "execution", ["NodeQueued"])
    assert (last["kind"], last["lines"]) == ("end", len(rest) + 1)


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (lambda data: data[:-9], "the end of the file is missing"),
        (lambda data: data[: len(data) // 2], "the end of the file is missing"),
        (lambda _: b"no gzip", "this is no gzip file"),
        (lambda _: b"", "the end of the file is missing"),
        (lambda data: packed(lines(data)[:-1]), "the end of the file is missing"),
        (lambda data: packed(lines(data)[:2] + lines(data)[3:]), "the file is not what was written"),
        (lambda _: gzip.compress(b"not\njson\n"), "a line of the file is no JSON"),
        (lambda _: packed([{"kind": "end"}]), "this is no exported history"),
        (lambda _: gzip.compress(b"[]\n[]\n"), "a line of the file is no JSON object"),
    ],
)
def test_what_is_not_whole_is_refused(alter: Callable[[bytes], bytes], why: str) -> None:
    with pytest.raises(BadFile, match=why):
        read(alter(written(exported())), LIMIT)


@pytest.mark.parametrize(
    ("place", "change", "why"),
    [
        (0, {"format": 2}, "a history of format 2; this release knows 1"),
        (0, {"kind": "other"}, "this is no exported history"),
        (1, {"data": "dHdv"}, "an envelope of execution.01.p.d.n is not what was written"),
        (1, {"data": "?"}, "a line of the file is damaged"),
        (1, {"role": "witness"}, "an envelope of an unknown role"),
        (1, {"kind": "rumour"}, "a line of an unknown kind"),
        (1, {"sha256": None}, "a line of the file lacks something"),
        (1, {"sha256": "no hash"}, "a line of the file lacks something"),
        (1, {"subject": 7}, "a line of the file is damaged: its subject is 7"),
        (5, {"uri": None}, "a line of the file is damaged: its uri is None"),
        (5, {"data": "dHdv"}, "the object s3://b/full is not what was written"),
    ],
)
def test_what_was_altered_is_refused(place: int, change: dict[str, Any], why: str) -> None:
    documents = lines(written(exported()))
    documents[place] |= change
    with pytest.raises(BadFile, match=why):
        read(with_right_hash(documents), LIMIT)


def test_file_that_is_too_large_unpacked_is_refused() -> None:
    big = exported()
    big.objects["s3://b/zeros"] = StoredObject("s3://b/zeros", 10**6, sha256(bytes(10**6)).digest(), bytes(10**6))
    data = written(big)
    assert len(data) < 20_000
    with pytest.raises(BadFile, match="more than 1048576 bytes unpacked"):
        read(data, LIMIT)


@pytest.mark.parametrize(
    "data",
    [b"", b"text", gzip.compress(b"{}"), gzip.compress(b'{"format":1}')],
    ids=["nothing", "text", "no format", "another format"],  # gzip writes the time into what it makes
)
def test_other_files_are_told_apart(data: bytes) -> None:
    assert not is_file(data)


def test_file_of_nothing_but_lines_is_refused_before_it_is_in_memory() -> None:
    data = gzip.compress(b"\n" * 10_000_000, 1)
    tracemalloc.start()
    with pytest.raises(BadFile, match="a line of the file is no JSON"):
        read(data, 10**9)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200 << 20


def test_file_that_is_too_deep_is_refused() -> None:
    with pytest.raises(BadFile, match="a line of the file is no JSON"):
        read(gzip.compress(b"[" * 100_000 + b"\n{}\n"), LIMIT)


def test_values_become_their_hashes() -> None:
    one, two = literal(1), literal(2)
    hidden = [redacted(SignalSet(signal_id="s", value=value, principal="me")) for value in (one, one, two)]
    assert all(isinstance(fact, SignalSet) and is_redacted(fact.value) for fact in hidden)
    assert hidden[0] == hidden[1] != hidden[2]
    assert isinstance(hidden[0], SignalSet)
    assert (hidden[0].signal_id, hidden[0].principal) == ("s", "me")
    assert not is_redacted(one)
    assert not is_redacted(Literal(hash="v1", scalar=one.scalar)), "a hash of the user's own"
    assert redacted(hidden[0]) == hidden[0]


def test_values_in_maps_become_their_hashes_too() -> None:
    created = ExecutionCreated()
    created.spec.inputs.CopyFrom(LiteralMap(literals={"a": literal(1)}))
    hidden = redacted(created)
    assert isinstance(hidden, ExecutionCreated)
    assert is_redacted(hidden.spec.inputs.literals["a"])
    assert redacted(NodeQueued(node_id="n0")) is None


def literal(value: int) -> Literal:
    made = Literal()
    made.scalar.primitive.integer = value
    return made


def test_facts_name_objects() -> None:
    first = DataRef(uri="s3://b/in", sha256=b"1")
    second = DataRef(uri="s3://b/out", sha256=b"2")
    facts = [NodeQueued(inputs=first), AttemptSucceeded(outputs=second), AttemptSucceeded(outputs=first)]
    assert references(facts) == [first, second]
    assert references([AttemptSucceeded(outputs=DataRef(uri="s3://b/none"))]) == [], "of a task without outputs"
