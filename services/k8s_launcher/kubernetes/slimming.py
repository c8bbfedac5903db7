"""What is kept of an object while it is followed: what its status, names and owners say, not how its containers start.

Thousands of pods are kept for hours. What is left out is most of each, and nobody reads it once the object is made.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from services.k8s_launcher.kubernetes.objects import Object

_CONTAINERS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
_OF_CONTAINERS: Final = frozenset(
    {
        *("args", "command", "env", "envFrom", "lifecycle", "volumeMounts", "volumeDevices", "securityContext"),
        *("livenessProbe", "readinessProbe", "startupProbe"),
    }
)
_OF_SPECIFICATIONS: Final = frozenset({"affinity", "tolerations", "topologySpreadConstraints", "volumes"})


def slim(seen: Object) -> Object:
    """The object without fields that matter only before it runs, wherever pods are specified in it. A copy."""
    slimmed: Object = {}
    for field, value in seen.items():
        if field == "metadata":
            slimmed[field] = _interned({name: each for name, each in value.items() if name != "managedFields"})
        elif field == "spec":
            slimmed[field] = _specification(value, _OF_SPECIFICATIONS)
        else:
            slimmed[sys.intern(field)] = _interned(value)
    return slimmed


def _specification(value: Any, without: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {sys.intern(field): _field(field, each) for field, each in value.items() if field not in without}
    if isinstance(value, list):
        # A list of containers holds what each of them is without.
        return [_specification(each, without) for each in value]
    return value


def _field(name: str, value: Any) -> Any:
    if name == "metadata":
        # Names of labels are the users' own.
        return _interned(value)
    return _specification(value, _OF_CONTAINERS if name in _CONTAINERS else _OF_SPECIFICATIONS)


def _interned(value: Any) -> Any:
    # The parser makes the same names anew for each object.
    if isinstance(value, dict):
        return {sys.intern(field): _interned(each) for field, each in value.items()}
    if isinstance(value, list):
        return [_interned(each) for each in value]
    return value
