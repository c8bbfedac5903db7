"""Envelopes without a server: ids, causes, and the chain of hashes."""

import subprocess
import sys
from hashlib import sha256
from uuid import UUID

import pytest
from google.protobuf.any_pb2 import Any
from hypothesis import given
from hypothesis import strategies as st

from flightlog_log import BrokenChain, Cause, Head, Recorded, Undecodable, new_id, verify_chain
from flightlog_log.envelopes import head_after, names_of, pack, parse_envelope, unpack
from flightlog_protos.execution.v1.facts_pb2 import ExecutionStarted, NodeQueued, TimerSet
from flightlog_protos.log.v1.envelope_pb2 import Envelope

SUBJECT = "execution.00.p.d.n"


def chain(length: int) -> list[Recorded]:
    records: list[Recorded] = []
    head = Head.EMPTY
    for index in range(length):
        envelope = Envelope(
            event_id=new_id(),
            schema_version=1,
            subject=SUBJECT,
            position=head.position + 1,
            previous_hash=head.hash,
            facts=pack([TimerSet(timer_id=str(index))]),
        )
        data = envelope.SerializeToString()
        head = head_after(head.sequence + 3, envelope, data)
        records.append(Recorded(SUBJECT, head.sequence, envelope, unpack(envelope.facts), head))
    return records


def read_again(record: Recorded, envelope: Envelope) -> Recorded:
    """What a reader would make of a stored message that somebody changed."""
    data = envelope.SerializeToString()
    return Recorded(SUBJECT, record.sequence, envelope, (), head_after(record.sequence, envelope, data))


def test_untouched_chain_is_accepted_whole_and_from_any_head_on() -> None:
    records = chain(5)
    verify_chain([])
    verify_chain(records)
    verify_chain(records[2:], after=records[1].head)


@given(st.integers(2, 8), st.data())
def test_changed_envelope_breaks_the_chain_at_its_successor(length: int, data: st.DataObject) -> None:
    records = chain(length)
    index = data.draw(st.integers(0, length - 2))
    changed = Envelope()
    changed.CopyFrom(records[index].envelope)
    changed.actor.subject = "somebody else"
    records[index] = read_again(records[index], changed)
    with pytest.raises(BrokenChain) as caught:
        verify_chain(records)
    assert caught.value.position == index + 2


@given(st.integers(2, 8), st.data())
def test_missing_envelope_is_named_by_its_position(length: int, data: st.DataObject) -> None:
    records = chain(length)
    index = data.draw(st.integers(0, length - 2))
    del records[index]
    with pytest.raises(BrokenChain) as caught:
        verify_chain(records)
    assert caught.value.position == index + 1


def test_swapped_envelopes_break_the_chain() -> None:
    records = chain(3)
    records[1], records[2] = records[2], records[1]
    with pytest.raises(BrokenChain):
        verify_chain(records)


def test_envelope_moved_from_another_aggregate_breaks_the_chain() -> None:
    record = chain(1)[0]
    moved = Recorded("execution.00.p.d.other", record.sequence, record.envelope, record.facts, record.head)
    with pytest.raises(BrokenChain, match="belongs to"):
        verify_chain([moved])


def test_ids_are_uuids_of_version_seven_in_order_of_time() -> None:
    ids = [new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(UUID(text).version == 7 and UUID(text).variant == "specified in RFC 4122" for text in ids)
    assert [text[:13] for text in ids] == sorted(text[:13] for text in ids)


def test_service_reacts_within_correlation_and_trace_of_what_it_saw() -> None:
    envelope = Envelope(event_id="e", correlation_id="c", causation_id="x", traceparent="00-1-2-01")
    seen = Recorded(SUBJECT, 1, envelope, (), Head(1, 1, sha256(b"").digest()))
    cause = Cause.service("execution", seen)
    assert (cause.correlation_id, cause.causation_id, cause.traceparent) == ("c", "e", "00-1-2-01")
    assert (cause.actor.subject, cause.actor.method, cause.actor.verified) == ("execution", "service", False)


def test_request_starts_a_correlation_and_is_unverified() -> None:
    cause = Cause.request("ada", "flytekit/1.16", "10.0.0.1", "00-1-2-01")
    assert cause.correlation_id
    assert cause.correlation_id == cause.causation_id
    assert (cause.actor.subject, cause.actor.method, cause.actor.verified) == ("ada", "none", False)


def test_names_of_facts_are_short_distinct_and_in_order() -> None:
    facts = [NodeQueued(), TimerSet(), NodeQueued(), ExecutionStarted()]
    assert names_of(facts) == "NodeQueued,TimerSet,ExecutionStarted"


def test_unknown_fact_is_undecodable_with_its_name() -> None:
    with pytest.raises(Undecodable, match=r"flightlog\.future\.v9\.Fact"):
        unpack([Any(type_url="type.googleapis.com/flightlog.future.v9.Fact", value=b"")])


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"not an envelope"])
def test_bytes_that_are_no_envelope_are_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        parse_envelope(data)


def test_envelope_of_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(Undecodable, match="version 2"):
        parse_envelope(Envelope(event_id="e", schema_version=2).SerializeToString())


def test_facts_are_read_that_nothing_here_has_imported() -> None:
    """In one envelope may be facts of several readers, each with code for its own alone."""
    script = """
import sys
from google.protobuf.any_pb2 import Any
from flightlog_log.envelopes import unpack
assert not any("scheduler" in name for name in sys.modules)
(fact,) = unpack([Any(type_url="type.googleapis.com/flightlog.scheduler.v1.BackfillCancelled", value=b"")])
print(fact.DESCRIPTOR.full_name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("flightlog.scheduler.v1.BackfillCancelled\n", "")


@pytest.mark.parametrize(
    "name", ["flightlog.", "flightlog..x", "flightlog.scheduler.v1.Nothing", "flightlog.a/b.X", ""]
)
def test_a_name_that_no_message_has_is_undecodable(name: str) -> None:
    with pytest.raises(Undecodable):
        unpack([Any(type_url=f"type.googleapis.com/{name}", value=b"")])
