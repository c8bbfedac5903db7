"""The parts of a cache key, and by which of them two keys differ. Pure (engine-semantics §4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey, InputHash
from flightlog_types import cache_keys

INPUTS: Final = "inputs' interface"
OUTPUTS: Final = "outputs' interface"

_HASH: Final = 8
"""Characters of an interface's hash in a dataset's version."""
_NO_INPUTS: Final = cache_keys.tag(LiteralMap())


class Version(NamedTuple):
    """A dataset's version, taken apart; of one that no engine made the whole is the cache version."""

    cache: str
    inputs: str = ""
    outputs: str = ""

    @staticmethod
    def of(version: str) -> Version:
        # The hashes may have hyphens in them: their places are counted from the end.
        head, inputs, outputs = version[: -2 * _HASH - 2], version[-2 * _HASH - 1 : -_HASH - 1], version[-_HASH:]
        if len(outputs) == _HASH and version == f"{head}-{inputs}-{outputs}":
            return Version(head, inputs, outputs)
        return Version(version)


@dataclass(frozen=True, slots=True)
class Parts:
    """A key as people think of it."""

    project: str
    domain: str
    name: str
    version: Version
    tag: str
    # The inputs that count; None where they are not known, as of results that clients have put there.
    inputs: Mapping[str, str] | None

    @staticmethod
    def of(key: CacheKey, inputs: Iterable[InputHash]) -> Parts:
        dataset = key.dataset
        known = {one.name: one.hash for one in inputs}
        return Parts(
            dataset.project,
            dataset.domain,
            entity_name(key),
            Version.of(dataset.version),
            key.tag,
            known if known or key.tag == _NO_INPUTS else None,
        )


class Difference(NamedTuple):
    """A part that two keys have not in common: as each of them has it, "" where one lacks it."""

    part: str
    here: str
    there: str


def entity_name(key: CacheKey) -> str:
    """The task, workflow or launch plan that a key is of."""
    return cache_keys.entity_name(key.dataset.name)


def differences(here: Parts, there: Parts) -> list[Difference]:
    """By what two keys differ; empty for equal ones. Inputs come last, by name, with the hashes of their values."""
    found = [
        Difference(part, ours, theirs)
        for part, ours, theirs in (
            ("project", here.project, there.project),
            ("domain", here.domain, there.domain),
            ("name", here.name, there.name),
            ("cache version", here.version.cache, there.version.cache),
            (INPUTS, here.version.inputs, there.version.inputs),
            (OUTPUTS, here.version.outputs, there.version.outputs),
        )
        if ours != theirs
    ]
    if here.tag == there.tag:
        return found
    inputs = _inputs(here.inputs, there.inputs)
    return [*found, *(inputs or [Difference("inputs", here.tag, there.tag)])]


def _inputs(here: Mapping[str, str] | None, there: Mapping[str, str] | None) -> list[Difference]:
    if here is None or there is None:
        return []
    return [
        Difference(f"input {name}", here.get(name, ""), there.get(name, ""))
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]
