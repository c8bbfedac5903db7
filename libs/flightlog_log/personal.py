"""Personal data in envelopes: which fields it is in, taken out when they are appended, put back when they are read.

An envelope whose actor is from outside, or whose facts have one of these fields set, keeps them encrypted with a key of
its project. What services say to one another has none of it, and stays as it is. Pure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError, Message

from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope, PersonalData, PersonalFields, Sealed

from .errors import Undecodable

_NONCE_BYTES: Final = 12
_SERVICE: Final = "service"

_PRINCIPAL: Final = "principal"
_IDENTITY: Final = "security_context.run_as.execution_identity"
_EXECUTION_SPEC: Final = (
    "metadata.principal",  # who started it
    "notifications",  # addresses of those who are told of its end
    _IDENTITY,  # the user in whose name it runs
)
_DELIVERY_ANSWERS: Final = ("reason", "reached")  # mail servers repeat addresses; who has got the mail

PERSONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "flightlog.execution.v1.ExecutionCreated": (
        *(f"spec.{field}" for field in _EXECUTION_SPEC),
        "notifications",  # the same addresses, the launch plan's among them
    ),
    # The user in whose name a task runs, as its execution has it.
    "flightlog.execution.v1.AttemptScheduled": (_IDENTITY,),
    # Who asked for it. What they wrote as its cause or reason is not a field for personal data.
    "flightlog.execution.v1.AbortRequested": (_PRINCIPAL,),
    "flightlog.execution.v1.ExecutionStateChanged": (_PRINCIPAL,),
    "flightlog.execution.v1.SignalSet": (_PRINCIPAL,),
    "flightlog.execution.v1.ExecutionDeleted": (_PRINCIPAL,),
    # As an execution's: it becomes one.
    "flightlog.execution.v1.ExecutionRequested": tuple(f"request.spec.{field}" for field in _EXECUTION_SPEC),
    # Addresses of those who are told of the ends of its executions; in whose name these run.
    "flightlog.registry.v1.LaunchPlanRegistered": ("spec.entity_metadata.notifications", f"spec.{_IDENTITY}"),
    "flightlog.registry.v1.TaskRegistered": (f"compiled_task.template.{_IDENTITY}",),
    # Addresses that something is sent to.
    "flightlog.scheduler.v1.DeliveryQueued": ("email.recipients", "recipients"),
    "flightlog.scheduler.v1.DeliveryFailed": _DELIVERY_ANSWERS,
    "flightlog.scheduler.v1.DeliveryParked": _DELIVERY_ANSWERS,
    "flightlog.scheduler.v1.DeliveryMade": ("answer",),
}
"""Fields by the full name of their fact. A field that is a message or repeated goes as a whole."""

_PATHS: Final = {name: tuple(tuple(path.split(".")) for path in paths) for name, paths in PERSONAL.items()}
_by_type: dict[type[Message], tuple[tuple[str, ...], ...]] = {}
_PROJECT_AT: Final[Mapping[str, int]] = {"named_entity": 2, "delivery": 2}


def project_of(subject: str, facts: Sequence[Message]) -> str:
    """The project that an aggregate belongs to, "" when it is none's."""
    stream, _, *parts = subject.split(".")
    match stream:
        case "execution" | "launcher":
            return unquote(parts[0])
        case "registry" | "scheduler" | "catalog" | "admission":
            place = _PROJECT_AT.get(parts[0], 1)
            # What has one name beside its kind belongs to no project, unless it is one.
            return unquote(parts[place]) if len(parts) > 2 or parts[0] == "project" else ""
        case "audit":
            return str(getattr(facts[0], "project", ""))
        case _:
            return ""


def take_out(actor: Actor, facts: Sequence[Message]) -> tuple[PersonalData, list[Message]] | None:
    """The personal data of an append, and its facts without. None: there is none, and nothing was copied."""
    found: list[PersonalFields] = []
    rest: list[Message] | None = None
    for number, fact in enumerate(facts):
        kind = type(fact)
        paths = _by_type.get(kind)
        if paths is None:
            # A descriptor's name costs more than all the rest of this, for facts without personal data.
            paths = _by_type[kind] = _PATHS.get(fact.DESCRIPTOR.full_name, ())
        if not paths:
            continue
        present = [path for path in paths if _holder(fact, path) is not None]
        if present:
            value, without = _divided(fact, present)
            found.append(PersonalFields(fact=number, value=value.SerializeToString(deterministic=True)))
            rest = list(facts) if rest is None else rest
            rest[number] = without
    outside = actor.method != _SERVICE and bool(actor.subject or actor.client or actor.address)
    if not found and not outside:
        return None
    return PersonalData(actor=actor if outside else None, facts=found), list(facts) if rest is None else rest


def put_back(personal: PersonalData, envelope: Envelope, facts: Sequence[Message]) -> tuple[Message, ...]:
    """The facts as they were appended; the envelope has its actor again, and nothing sealed. Both are changed in place.

    Raises `Undecodable` when the one does not belong to the other.
    """
    if personal.HasField("actor"):
        envelope.actor.CopyFrom(personal.actor)
    for fields in personal.facts:
        if fields.fact >= len(facts):
            raise Undecodable(f"event {envelope.event_id}: its personal data is about a fact that it has not")
        fact = facts[fields.fact]
        try:
            fact.MergeFrom(type(fact).FromString(fields.value))
        except DecodeError as error:
            raise Undecodable(f"event {envelope.event_id}: its personal data: {error}") from error
    envelope.ClearField("sealed")
    return tuple(facts)


def seal(personal: PersonalData, project: str, key_id: str, key: AESGCM, event_id: str) -> Sealed:
    """Personal data as it lies in the envelope with this id."""
    nonce = os.urandom(_NONCE_BYTES)
    ciphertext = key.encrypt(nonce, personal.SerializeToString(deterministic=True), event_id.encode())
    return Sealed(project=project, key_id=key_id, nonce=nonce, ciphertext=ciphertext)


def unseal(sealed: Sealed, key: AESGCM, event_id: str) -> PersonalData:
    """The reverse of `seal`. Raises `Undecodable` when this is not what was sealed with this key for this event."""
    try:
        return PersonalData.FromString(key.decrypt(sealed.nonce, sealed.ciphertext, event_id.encode()))
    except (InvalidTag, ValueError, DecodeError) as error:
        raise Undecodable(f"event {event_id}: its personal data is not what was sealed: {error!r}") from error


def _holder(fact: Message, path: Sequence[str]) -> Any | None:
    """The message with the last field of a path, where that field says something: an empty list says nothing."""
    holder: Any = fact
    for name in path[:-1]:
        if not holder.HasField(name):
            return None
        holder = getattr(holder, name)
    value = getattr(holder, path[-1])
    return holder if (value.ByteSize() if isinstance(value, Message) else value) else None


def _divided(fact: Message, paths: Sequence[Sequence[str]]) -> tuple[Message, Message]:
    """A fact with these fields alone, and without them."""
    without = type(fact)()
    without.CopyFrom(fact)
    alone = type(fact)()
    for path in paths:
        source: Any = _holder(without, path)
        target: Any = alone
        for name in path[:-1]:
            target = getattr(target, name)
        value = getattr(source, path[-1])
        if isinstance(value, Message):
            getattr(target, path[-1]).CopyFrom(value)
        elif isinstance(value, str | bytes | int | float):
            setattr(target, path[-1], value)
        else:
            getattr(target, path[-1]).MergeFrom(value)
        source.ClearField(path[-1])
    return alone, without
