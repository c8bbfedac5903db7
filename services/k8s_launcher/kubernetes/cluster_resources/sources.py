"""Templates and values as they are on disk and in the environment now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.k8s_launcher.kubernetes.cluster_resources.settings import ClusterResourceSettings, Values, ValueSource
from services.k8s_launcher.kubernetes.cluster_resources.templates import BUILT_IN


class Unreadable(Exception):
    """The folder of templates, or a value, cannot be read; the message says which."""


@dataclass(frozen=True)
class Sources:
    """What was read, at one moment."""

    templates: Mapping[str, str]
    """Texts by file name, in the order of the names."""
    values: Mapping[str, Mapping[str, str]]
    """Variables by domain."""


def read_sources(settings: ClusterResourceSettings) -> Sources:
    """Read all. Blocks; raises `Unreadable`."""
    shared = _values(settings.values)
    by_domain = {domain: {**shared, **_values(settings.domain_values.get(domain, {}))} for domain in settings.domains}
    return Sources(BUILT_IN if settings.directory is None else _templates(settings.directory), by_domain)


def _templates(directory: Path) -> dict[str, str]:
    try:
        if not directory.is_dir():
            raise Unreadable(f"templates of cluster resources: there is no folder {directory}")
        return {path.name: path.read_text() for path in sorted(directory.glob("*.yaml"))}
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"templates of cluster resources: {error}") from error


def _values(given: Values) -> dict[str, str]:
    return {name: _value(name, source) for name, source in given.items()}


def _value(name: str, source: ValueSource) -> str:
    if source.value is not None:
        return source.value
    if source.env is not None:
        found = os.environ.get(source.env)
        if found is None:
            raise Unreadable(f"value {name} of cluster resources: {source.env} is not set")
        return found
    assert source.file is not None
    try:
        return source.file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"value {name} of cluster resources: {error}") from error
