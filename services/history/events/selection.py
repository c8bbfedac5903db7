"""Which events a client means: what the server can choose for us, what a header tells, and what only the event does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from flightlog_log import Raw, Recorded, Subject, Unreadable, encode_token
from flightlog_protos.history.v1.audit_pb2 import CallRefused, HistoryImported
from flightlog_protos.history.v1.events_pb2 import EventFilter
from flightlog_rpc import RpcError, invalid
from flightlog_types.aggregates import EVENT_STREAMS, aggregate_of

_FACTS: Final = "Flightlog-Facts"
_NAMED_AFTER_EXECUTIONS: Final = frozenset({"EXECUTION", "LAUNCHER"})
_KIND_FIRST: Final = frozenset({"CATALOG", "ADMISSION"})
"""Streams where a project comes behind the kind of aggregate, and nowhere else."""
_LONGEST: Final = 2000
"""Bytes of a NATS filter: it is part of a protocol line, and the server ends a connection that sends more than 4096."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What an `EventFilter` lets through."""

    stream: str
    subjects: str
    """NATS filter: whatever it leaves out is not meant."""
    project: str
    domain: str
    name: str
    facts: frozenset[str]

    @staticmethod
    def of(asked: EventFilter) -> Selection:
        """Raises `RpcError` INVALID_ARGUMENT for a stream or subject that there cannot be."""
        stream = asked.stream or "EXECUTION"
        if stream not in EVENT_STREAMS:
            raise invalid(f"{stream} is no stream of events; these are: {', '.join(EVENT_STREAMS)}")
        facts = frozenset(asked.facts)
        if not asked.subject:
            subjects = _fitting(_subjects(stream, asked.project, asked.domain, asked.name))
            return Selection(stream, subjects, asked.project, asked.domain, asked.name, facts)
        try:
            subject = Subject.parse(asked.subject)
        except ValueError as error:
            raise invalid(f"invalid value for subject: {error}") from None
        if subject.stream != stream:
            raise _elsewhere(subject, stream)
        return Selection(stream, _fitting(str(subject)), asked.project, asked.domain, asked.name, facts)

    def may_have(self, raw: Raw) -> bool:
        """Whether a message is worth decoding: its header and its subject do not say otherwise."""
        return self._wanted(raw.headers) and (self._of_contents or self._named(raw.subject))

    def has(self, entry: Recorded | Unreadable) -> bool:
        """Whether a message that `may_have` let through is meant. Nobody knows of an unreadable one that it is not."""
        if isinstance(entry, Unreadable):
            return True
        if self.facts and not any(fact.DESCRIPTOR.name in self.facts for fact in entry.facts):
            return False
        return not self._of_contents or any(map(self._about, entry.facts))

    @property
    def _of_contents(self) -> bool:
        """Subjects of calls say nothing of what the calls were about."""
        return self.stream == "AUDIT" and bool(self.project or self.domain or self.name)

    def _about(self, fact: Message) -> bool:
        return isinstance(fact, CallRefused | HistoryImported) and self._matches(fact.project, fact.domain, fact.name)

    def _named(self, subject: str) -> bool:
        if not (self.project or self.domain or self.name):
            return True
        try:
            aggregate = aggregate_of(self.stream, Subject.parse(subject).parts)
        except ValueError:
            return False
        return self._matches(aggregate.project, aggregate.domain, aggregate.name)

    def _matches(self, project: str, domain: str, name: str) -> bool:
        pairs = ((self.project, project), (self.domain, domain), (self.name, name))
        return all(wanted in ("", found) for wanted, found in pairs)

    def _wanted(self, headers: Mapping[str, str]) -> bool:
        if not self.facts:
            return True
        names = headers.get(_FACTS)
        # Of an envelope that came from another log, the header says that instead of its facts.
        return names is None or names == "Imported" or not self.facts.isdisjoint(names.split(","))


def _subjects(stream: str, project: str, domain: str, name: str) -> str:
    first = stream.lower()
    if stream in _NAMED_AFTER_EXECUTIONS and (project or domain or name):
        return f"{first}.*." + ".".join(encode_token(part) if part else "*" for part in (project, domain, name))
    if stream in _KIND_FIRST and project:
        return f"{first}.*.*.{encode_token(project)}.>"
    return ">"


def _fitting(subjects: str) -> str:
    if len(subjects) > _LONGEST:
        raise invalid(f"invalid value for filter: no aggregate has names that are {len(subjects)} bytes long")
    return subjects


def _elsewhere(subject: Subject, stream: str) -> RpcError:
    return invalid(f"{subject} is on the stream {subject.stream}, not on {stream}")
