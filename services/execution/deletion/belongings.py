"""What an execution has in the object store, by its history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.message import Message

from flightlog_protos.execution.v1.facts_pb2 import AttemptScheduled, ExecutionCreated
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine.names import generated_name
from services.execution.subjects import ExecutionKey


@dataclass(slots=True)
class Belongings:
    """Folders and single objects, each once, as URIs without a slash at the end.

    Compiled workflows are not among them: they are the registry's, or another execution may have the same.
    """

    folders: set[str] = field(default_factory=set[str])
    objects: set[str] = field(default_factory=set[str])

    def without(self, others: Belongings) -> Belongings:
        """Those that are not others' too."""
        return Belongings(self.folders - others.folders, self.objects - others.objects)


def belongings(key: ExecutionKey, history: Iterable[Message]) -> Belongings:
    """What a history says that an execution has: its inputs, the data of its nodes, and what its tasks wrote.

    Only places with names that are made of its own: a history that was made by others, and put on this log, is not
    believed that the rest of the bucket is the execution's.
    """
    found = Belongings()
    folder = "-".join(key)
    for fact in history:
        match fact:
            case ExecutionCreated():
                _add(found.folders, fact.config.metadata_prefix, folder)
                for reference in _given(fact):
                    parent, _, name = reference.uri.rpartition("/")
                    if parent.endswith("/" + "/".join(key)):
                        _add(found.objects, reference.uri, name)
            case AttemptScheduled():
                name = generated_name(key[2], fact.node_id, fact.attempt)
                _add(found.folders, fact.raw_output_prefix, name)
            case _:
                pass
    return found


def _given(created: ExecutionCreated) -> Iterator[DataRef]:
    yield created.inputs
    yield created.user_inputs
    if created.HasField("recovery"):
        yield created.recovery


def _add(places: set[str], uri: str, name: str) -> None:
    """Adds a place, if it is an object store's and has this name."""
    # Tasks may write elsewhere than to an object store: what lies there is their authors' business.
    uri = uri.rstrip("/")
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme in ("s3", "s3a") and bucket and key and key.rpartition("/")[2] == name:
        places.add(uri)


def namesakes(key: ExecutionKey, domains: Iterable[str]) -> list[ExecutionKey]:
    """Other executions that, if they were, would have the same folder for the data of their nodes.

    Its name is made of project, domain and name with dashes between (`services/execution/creation/config.py`), which
    may be in all three of them.
    """
    joined = "-".join(key)
    found: list[ExecutionKey] = []
    for domain in domains:
        middle = f"-{domain}-"
        at = joined.find(middle)
        while at >= 0:
            other = (joined[:at], domain, joined[at + len(middle) :])
            if other != key and all(other):
                found.append(other)
            at = joined.find(middle, at + 1)
    return found
