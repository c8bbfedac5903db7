"""Where cache entries and answers are on the log."""

from __future__ import annotations

from hashlib import sha256

from flightlog_log import Subject
from flightlog_protos.catalog.v1.cache_pb2 import CacheKey

CATALOG = "CATALOG"
EXECUTION = "EXECUTION"

_LONGEST_BYTES = 2000
"""A NATS protocol line holds 4096 bytes."""

ExecutionKey = tuple[str, str, str]
"""Project, domain and name of an execution."""


def entry(key: CacheKey) -> Subject:
    """The subject of a cache entry. A key that no subject can spell out is named by its hash."""
    dataset = key.dataset
    parts = ("entry", dataset.project, dataset.domain, dataset.name, dataset.version, key.tag)
    if all(parts) and sum(map(len, parts)) <= _LONGEST_BYTES:
        spelled = Subject.of(CATALOG, *parts)
        if len(spelled.text) <= _LONGEST_BYTES:
            return spelled
    return Subject.of(CATALOG, "entry", sha256(key.SerializeToString(deterministic=True)).hexdigest())


def answers(execution: ExecutionKey) -> Subject:
    """The subject of what is answered to an execution."""
    return Subject.of(CATALOG, "answer", *execution)
