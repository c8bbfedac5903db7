"""The `flyte://` URLs by which clients ask for inputs, outputs and decks (admin-contract §1.10)."""

import enum
import re
from dataclasses import dataclass

from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

_SCHEME = "flyte://v1/"
_PART = r"[a-zA-Z0-9_-]+"
_PATTERN = re.compile(
    rf"flyte://v1/(?P<project>{_PART})/(?P<domain>{_PART})/(?P<execution>{_PART})/(?P<node>{_PART})"
    rf"(?:/(?P<attempt>[0-9]{{1,9}}))?/(?:(?P<kind>[iod])|(?P<named>[io])/(?P<literal>{_PART}))"
)


class BadFlyteUrl(ValueError):
    """A text that is no `flyte://` URL; the message says why."""


class Artifact(enum.Enum):
    """What of a node or task execution a URL names; the value is its letter in the URL."""

    INPUTS = "i"
    OUTPUTS = "o"
    DECK = "d"


@dataclass(frozen=True)
class FlyteUrl:
    """A parsed `flyte://v1/<project>/<domain>/<execution>/<node>[/<attempt>]/{i|o|d}[/<literal>]`."""

    project: str
    domain: str
    execution: str
    node_id: str
    artifact: Artifact
    attempt: int | None = None
    """None names the node's own data; a number names that task execution's."""
    literal: str | None = None

    @property
    def execution_id(self) -> identifier_pb2.WorkflowExecutionIdentifier:
        return identifier_pb2.WorkflowExecutionIdentifier(project=self.project, domain=self.domain, name=self.execution)

    @property
    def node_execution_id(self) -> identifier_pb2.NodeExecutionIdentifier:
        return identifier_pb2.NodeExecutionIdentifier(node_id=self.node_id, execution_id=self.execution_id)

    def __str__(self) -> str:
        attempt = "" if self.attempt is None else f"/{self.attempt}"
        literal = "" if self.literal is None else f"/{self.literal}"
        place = f"{self.project}/{self.domain}/{self.execution}/{self.node_id}"
        return f"{_SCHEME}{place}{attempt}/{self.artifact.value}{literal}"


def parse(url: str) -> FlyteUrl:
    """Parse a URL; raises BadFlyteUrl."""
    if not url.startswith(_SCHEME):
        raise BadFlyteUrl("request does not start with the correct prefix")
    match = _PATTERN.fullmatch(url)
    if match is None:
        raise BadFlyteUrl(f"failed to parse [{url}]")
    attempt = match["attempt"]
    return FlyteUrl(
        project=match["project"],
        domain=match["domain"],
        execution=match["execution"],
        node_id=match["node"],
        artifact=Artifact(match["kind"] or match["named"]),
        attempt=None if attempt is None else int(attempt),
        literal=match["literal"],
    )


def node_urls(node: identifier_pb2.NodeExecutionIdentifier, *, deck: bool) -> common_pb2.FlyteURLs:
    """The URLs of a node execution's inputs, outputs and, when it has one, deck."""
    return _urls(_place(node), deck=deck)


def task_urls(node: identifier_pb2.NodeExecutionIdentifier, attempt: int, *, deck: bool) -> common_pb2.FlyteURLs:
    """The URLs of one attempt's inputs, outputs and, when it has one, deck."""
    return _urls(f"{_place(node)}/{attempt}", deck=deck)


def _place(node: identifier_pb2.NodeExecutionIdentifier) -> str:
    execution = node.execution_id
    return f"{_SCHEME}{execution.project}/{execution.domain}/{execution.name}/{node.node_id}"


def _urls(place: str, *, deck: bool) -> common_pb2.FlyteURLs:
    return common_pb2.FlyteURLs(inputs=f"{place}/i", outputs=f"{place}/o", deck=f"{place}/d" if deck else "")
