"""Settings of the Kubernetes runtime from a YAML file: tolerations and affinities are no text for variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml


def read_settings(path: Path) -> dict[str, Any]:
    """What the file says, by the names of `KubernetesSettings`.

    Raises ValueError, naming the file, when it cannot be read or is no mapping.
    """
    try:
        content: Any = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"settings file {path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"settings file {path}: must be a mapping of settings, not a {type(content).__name__}")
    return cast("dict[str, Any]", content)


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, mappings within them likewise; `over` wins, lists as a whole."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = laid_over(cast("Mapping[str, Any]", below), cast("Mapping[str, Any]", value))
        result[name] = value
    return result
