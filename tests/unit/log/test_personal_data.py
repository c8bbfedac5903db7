"""Personal data is taken out of envelopes and put back; what is left is whole without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flyteidl.admin.common_pb2 import EmailNotification, Notification
from flyteidl.admin.execution_pb2 import NotificationList
from flyteidl.admin.project_pb2 import Project
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_log import Cause, Subject, Undecodable
from flightlog_log.envelopes import message_class, pack, unpack
from flightlog_log.personal import PERSONAL, project_of, put_back, seal, take_out, unseal
from flightlog_protos.execution.v1.facts_pb2 import AbortRequested, ExecutionCreated, NodeQueued
from flightlog_protos.history.v1.audit_pb2 import CallRefused
from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope
from flightlog_protos.registry.v1.facts_pb2 import ProjectRegistered
from flightlog_protos.scheduler.v1.deliveries_pb2 import DeliveryQueued

KEY = AESGCM(AESGCM.generate_key(256))
MARKER = "somebody@example.com"
SERVICE = Actor(subject="execution", method="service")
OUTSIDE = Cause.request("alice", "flytekit", "10.0.0.7").actor


def messages(message_type: type[Message], depth: int = 4) -> st.SearchStrategy[Message]:
    """Any message of a type, to a depth."""
    return st.builds(lambda entropy: _filled(message_type(), entropy, depth), st.binary(min_size=1, max_size=24))


def _filled(message: Any, entropy: bytes, depth: int) -> Any:
    """Fields set by the bits of some bytes: deterministic, and every path of the table comes up soon."""
    for number, field in enumerate(message.DESCRIPTOR.fields):
        bit = entropy[number % len(entropy)] >> (number % 8) & 1
        if not bit or (field.message_type is not None and depth == 0):
            continue
        if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
            continue
        _set(message, field, entropy[1:] + entropy[:1], depth - 1)
    return message


def _set(message: Any, field: Any, entropy: bytes, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.message_type is not None:
        target = getattr(message, field.name)
        target = target.add() if field.is_repeated else target
        target.SetInParent()
        _filled(target, entropy, depth)
        return
    kinds: dict[int, Any] = {field.CPPTYPE_STRING: MARKER, field.CPPTYPE_BOOL: True}
    value = kinds.get(field.cpp_type, 1)
    value = value.encode() if field.type == field.TYPE_BYTES else value
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


CONCERNED = [message_class(name) for name in sorted(PERSONAL)]
FACTS = st.lists(st.sampled_from([*CONCERNED, NodeQueued, ProjectRegistered]).flatmap(messages), min_size=1, max_size=4)


def appended(actor: Actor, facts: Sequence[Message]) -> Envelope:
    """An envelope as it is stored."""
    envelope = Envelope(event_id="e-1", actor=actor)
    taken = take_out(actor, facts)
    if taken is None:
        envelope.facts.extend(pack(facts))
        return envelope
    personal, rest = taken
    envelope.sealed.CopyFrom(seal(personal, "p", "k", KEY, envelope.event_id))
    if personal.HasField("actor"):
        envelope.actor.CopyFrom(Actor(method=actor.method))
    envelope.facts.extend(pack(rest))
    return envelope


@given(st.sampled_from([SERVICE, OUTSIDE, Actor(method="none"), Actor()]), FACTS)
@settings(max_examples=300)
def test_sealed_and_opened_again_an_envelope_is_what_was_appended(actor: Actor, facts: list[Message]) -> None:
    before = [fact.SerializeToString(deterministic=True) for fact in facts]
    envelope = Envelope.FromString(appended(actor, facts).SerializeToString())
    found = unpack(envelope.facts)
    if envelope.HasField("sealed"):
        found = put_back(unseal(envelope.sealed, KEY, envelope.event_id), envelope, found)
    assert list(found) == facts
    assert envelope.actor == actor
    assert not envelope.HasField("sealed")
    assert [fact.SerializeToString(deterministic=True) for fact in facts] == before, "what was given is as it was"


@pytest.mark.parametrize("name", sorted(PERSONAL))
def test_without_the_key_the_personal_fields_are_empty_and_all_others_there(name: str) -> None:
    fact = _filled(message_class(name)(), b"\xff", 8)
    (rest,) = unpack(appended(SERVICE, [fact]).facts)
    for path in PERSONAL[name]:
        holder: Any = rest
        *folders, field = path.split(".")
        for folder in folders:
            assert holder.HasField(folder), path
            holder = getattr(holder, folder)
        assert getattr(holder, field) == getattr(type(holder)(), field), path
        # Nothing but the personal fields is gone.
        original: Any = fact
        for folder in folders:
            original = getattr(original, folder)
        original.ClearField(field)
    assert rest == fact


def test_of_a_call_from_outside_the_method_alone_stays_of_its_actor() -> None:
    envelope = appended(OUTSIDE, [NodeQueued(node_id="n0")])
    assert envelope.actor == Actor(method="none")
    assert b"alice" not in envelope.SerializeToString()
    assert b"10.0.0.7" not in envelope.SerializeToString()


def test_what_services_tell_one_another_stays_as_it_is() -> None:
    assert take_out(SERVICE, [NodeQueued(node_id="n0"), ExecutionCreated(), AbortRequested(cause="because")]) is None


def test_addresses_of_those_who_are_told_are_sealed_whoever_says_them() -> None:
    mail = Notification(email=EmailNotification(recipients_email=[MARKER]))
    created = ExecutionCreated(notifications={"notifications": [mail]})
    created.spec.notifications.CopyFrom(NotificationList(notifications=[mail]))
    queued = DeliveryQueued(recipients=[MARKER])
    queued.email.recipients.append(MARKER)
    assert MARKER.encode() not in appended(SERVICE, [created, queued]).SerializeToString()


def test_personal_data_of_another_event_is_refused() -> None:
    envelope = appended(OUTSIDE, [NodeQueued(node_id="n0")])
    with pytest.raises(Undecodable):
        unseal(envelope.sealed, KEY, "e-2")


def test_altered_personal_data_is_refused() -> None:
    sealed = appended(OUTSIDE, [NodeQueued(node_id="n0")]).sealed
    sealed.ciphertext = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    with pytest.raises(Undecodable):
        unseal(sealed, KEY, "e-1")


@pytest.mark.parametrize(
    ("parts", "project"),
    [
        (("EXECUTION", "p", "d", "n"), "p"),
        (("LAUNCHER", "p", "d", "n"), "p"),
        (("REGISTRY", "project", "p"), "p"),
        (("REGISTRY", "task", "p", "d", "n", "v"), "p"),
        (("REGISTRY", "named_entity", "workflow", "p", "d", "n"), "p"),
        (("SCHEDULER", "schedule", "p", "d", "n"), "p"),
        (("SCHEDULER", "delivery", "email", "p", "d", "n"), "p"),
        (("SCHEDULER", "deliveries", "EXECUTION"), ""),
        (("ADMISSION", "answer", "p", "d", "n"), "p"),
        (("ADMISSION", "queue", "p", "d"), "p"),
        (("CATALOG", "entry", "p", "d", "n", "v", "t"), "p"),
        (("CATALOG", "entry", "0" * 64), ""),
        (("ORDER", "p", "d", "n", "n0", "0"), ""),
    ],
)
def test_an_aggregate_belongs_to_the_project_that_its_subject_names(parts: tuple[str, ...], project: str) -> None:
    assert project_of(str(Subject.of(*parts)), [ProjectRegistered(project=Project(id="other"))]) == project


def test_a_refused_call_belongs_to_the_project_that_it_was_about() -> None:
    assert project_of(str(Subject.of("AUDIT", "AdminService", "CreateTask")), [CallRefused(project="p")]) == "p"
