"""An envelope without the data of users that is in its facts."""

from __future__ import annotations

from dataclasses import replace

from flightlog_log import recorded_of
from flightlog_protos.log.v1.envelope_pb2 import Envelope
from services.execution.history.files.format import StoredEnvelope
from services.execution.history.replay.redacting import redacted


def without_data(stored: StoredEnvelope, payload: bytes | None) -> StoredEnvelope:
    """The same where there is none; else with a hash for each value, and all facts in the envelope itself.

    Args:
        payload: content of the object with its facts, where they are not in the envelope.

    Raises:
        Undecodable, PayloadMissing: its facts cannot be read.
    """
    record = recorded_of(stored.subject, 0, stored.data, payload)
    shown = [redacted(fact) for fact in record.facts]
    if not any(fact is not None for fact in shown):
        return stored
    envelope = Envelope.FromString(stored.data)
    envelope.ClearField("offloaded")
    del envelope.facts[:]
    for fact, instead in zip(record.facts, shown, strict=True):
        envelope.facts.add().Pack(instead or fact, deterministic=True)
    return replace(stored, data=envelope.SerializeToString(deterministic=True), redacted=True)
