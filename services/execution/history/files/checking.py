"""What a file must not say to be put on a log: anything about others than its own executions.

Whoever sends a file may have made it, hashes and all. What it says becomes part of the log: tables are made of it,
objects are read that it names, and when its executions are deleted, so is what it says that they have.
"""

from __future__ import annotations

from typing import Final

from flightlog_blobs import BlobRefused, split
from flightlog_log import Recorded
from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled, ExecutionCreated, ExecutionDeleted
from services.execution import engine, subjects
from services.execution.deletion.belongings import belongings
from services.execution.history.files.format import EXECUTION, BadFile
from services.execution.history.files.reading import HistoryFile
from services.execution.history.files.references import named
from services.execution.history.replay.pasts import Past

_OURS: Final = "flightlog/"
_FACTS: Final = f"{_OURS}facts/"


def check(file: HistoryFile) -> None:
    """Raises `BadFile` when the file has, or speaks of, what does not belong to the executions that it names."""
    subjects_ = {past.records[0].subject for past in file.pasts.values()}
    for stored in file.exported.envelopes:
        if stored.role == EXECUTION and stored.subject not in subjects_:
            raise BadFile(f"it has envelopes of {stored.subject}, which it does not name")
    for past in file.pasts.values():
        _check_identity(past)
        for record in (*past.records, *past.causes.values()):
            _check_places(record)


def state_of(past: Past) -> engine.Execution:
    """What became of an execution. Raises `BadFile` when its facts tell no story."""
    try:
        return engine.fold(fact for record in past.records for fact in record.facts)
    except (engine.BrokenHistory, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadFile(f"{'/'.join(past.key)}: {error}") from error


def object_key(uri: str) -> str:
    """The key of an object that an execution may have. Raises `BadFile`."""
    try:
        _, key = split(uri)
    except BlobRefused as error:
        raise BadFile(str(error)) from error
    if any(part in ("", ".", "..") for part in key.split("/")) or _is_ours(key):
        raise BadFile(f"{uri} is no object of an execution")
    return key


def _check_identity(past: Past) -> None:
    name = "/".join(past.key)
    facts = [fact for record in past.records for fact in record.facts]
    created = facts[0] if facts else None
    if not isinstance(created, ExecutionCreated) or subjects.key_of(created.id) != past.key:
        raise BadFile(f"{name}: it was created as another execution")
    if any(isinstance(fact, ExecutionDeleted) for fact in facts):
        raise BadFile(f"{name}: it was deleted")
    said = {created.config.metadata_prefix} | {
        fact.raw_output_prefix for fact in facts if isinstance(fact, AttemptScheduled)
    }
    foreign = {place.rstrip("/") for place in said if place.startswith(("s3://", "s3a://"))}
    foreign -= belongings(past.key, facts).folders
    if foreign:
        raise BadFile(f"{name}: {min(foreign)} is no folder of this execution")


def _check_places(record: Recorded) -> None:
    """Keys and archives are ours: nobody is to be led there by facts. Facts that were too large for the log are not."""
    offloaded = record.envelope.offloaded.uri
    if offloaded and not object_key(offloaded).startswith(_FACTS):
        raise BadFile(f"{record.subject}: {offloaded} is no place for facts")
    for ref in named(record.facts):
        scheme, _, rest = ref.uri.partition("://")
        if scheme in ("s3", "s3a") and _is_ours(rest.partition("/")[2]):
            raise BadFile(f"{record.subject}: {ref.uri} is no object of an execution")


def _is_ours(key: str) -> bool:
    return key.startswith(_OURS) and not key.startswith(_FACTS)
