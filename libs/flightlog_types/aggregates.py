"""Whose an event is, from the name of its aggregate: which execution, task version, project, schedule …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

EVENT_STREAMS: Final = ("EXECUTION", "REGISTRY", "LAUNCHER", "CATALOG", "SCHEDULER", "ADMISSION", "AUDIT")
"""Streams whose messages are envelopes of facts that are kept."""

# Whose aggregates have the names of executions, and nothing before.
_OF_EXECUTIONS: Final = frozenset({"EXECUTION", "LAUNCHER"})
# Kinds of aggregates whose names begin later: `named_entity/<kind>/<project>/…`, `delivery/<sink>/<project>/…`.
_BEFORE_PROJECT: Final[Mapping[tuple[str, str], int]] = {
    ("REGISTRY", "named_entity"): 2,
    ("SCHEDULER", "delivery"): 2,
}
# Their names are of something else: `<service>/<method>` of a refused call, a stream that deliveries are made from.
_ELSEWHERE: Final = frozenset({("SCHEDULER", "deliveries")})


class Aggregate(NamedTuple):
    """What the parts of an aggregate's name say. What they do not say is empty."""

    kind: str
    project: str = ""
    domain: str = ""
    name: str = ""
    version: str = ""


def aggregate_of(stream: str, parts: Sequence[str]) -> Aggregate:
    """The aggregate that the parts of a subject name.

    >>> aggregate_of("EXECUTION", ("flytesnacks", "development", "f1"))
    Aggregate(kind='execution', project='flytesnacks', domain='development', name='f1', version='')
    """
    if stream in _OF_EXECUTIONS:
        return Aggregate("execution", *parts[:3])
    kind = parts[0]
    if stream == "AUDIT" or (stream, kind) in _ELSEWHERE:
        return Aggregate("call" if stream == "AUDIT" else kind)
    rest = parts[_BEFORE_PROJECT.get((stream, kind), 1) :]
    if stream == "CATALOG" and len(rest) == 1:
        return Aggregate(kind, name=rest[0])  # the hash of a name that is too long for a subject
    return Aggregate(kind, *rest[:4])
