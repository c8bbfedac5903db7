"""Requirements on nodes that hold whatever else a pod's affinity allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.k8s_launcher.kubernetes.objects import Object

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def require(spec: Object, requirements: Sequence[Object]) -> None:
    """Make nodes of a pod meet the requirements: each alternative of its affinity gets them, or there is one more.

    Changes `spec`. The alternatives of a pod are OR-ed, so each must have the requirement (k8s-contract §1.10).
    """
    if not requirements:
        return
    selector: Object = _child(_child(_child(spec, "affinity"), "nodeAffinity"), _REQUIRED)
    terms: list[Object] = selector.get("nodeSelectorTerms") or [{}]
    for term in terms:
        term["matchExpressions"] = [*(term.get("matchExpressions") or []), *(dict(each) for each in requirements)]
    selector["nodeSelectorTerms"] = terms


def _child(parent: Object, name: str) -> Object:
    found: Any = parent.get(name)
    if found is None:
        found = parent[name] = {}
    return found
