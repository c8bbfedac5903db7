"""Where entries, datasets, artifacts and answers are on the log, and the executions they are about."""

from __future__ import annotations

from hashlib import sha256

from flyteidl.core.identifier_pb2 import Identifier

from flightlog_log import Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey

CATALOG = "CATALOG"
EXECUTION = "EXECUTION"
ALARM_KIND = "catalog"
"""First part of the alarms' names: they belong to entries."""

_LONGEST_BYTES = 2000
"""A NATS protocol line holds 4096 bytes."""

ExecutionKey = tuple[str, str, str]
"""Project, domain and name of an execution."""


def entry(key: CacheKey) -> Subject:
    """The subject of a cache entry."""
    named = key.dataset
    return _named("entry", named.project, named.domain, named.name, named.version, key.tag)


def lineage(execution: ExecutionKey) -> Subject:
    """The subject of what the world outside is told of an execution's lineage."""
    return Subject.of(CATALOG, "lineage", *execution)


def answers(execution: ExecutionKey) -> Subject:
    """The subject of what is answered to an execution."""
    return Subject.of(CATALOG, "answer", *execution)


def dataset(identifier: Identifier) -> Subject:
    """The subject of a dataset."""
    return _named("dataset", identifier.project, identifier.domain, identifier.name, identifier.version)


def artifact(identifier: Identifier, artifact_id: str) -> Subject:
    """The subject of an artifact of a dataset."""
    return _named("artifact", identifier.project, identifier.domain, identifier.name, identifier.version, artifact_id)


def hash_of(*parts: str) -> bytes:
    """What stands for a name where it may be too long; names of other parts have another one."""
    return sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).digest()


def alarm(key: CacheKey) -> Subject:
    """The name of the alarm of an entry that somebody waits for."""
    return Subject.of("ALARM", ALARM_KIND, *entry(key).parts)


def execution(key: ExecutionKey) -> Subject | None:
    """The subject of an execution; None when none can have this name."""
    return _spelled(EXECUTION, *key)


def _named(kind: str, *parts: str) -> Subject:
    """The subject of something, by its name, or by the hash of it where no subject can spell it out."""
    return _spelled(CATALOG, kind, *parts) or Subject.of(CATALOG, kind, hash_of(*parts).hex())


def _spelled(stream: str, *parts: str) -> Subject | None:
    if not all(parts) or sum(map(len, parts)) > _LONGEST_BYTES:
        return None
    subject = Subject.of(stream, *parts)
    return subject if len(subject.text) <= _LONGEST_BYTES else None
