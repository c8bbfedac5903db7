"""Whether what somebody wrote has the shape of a pod, as far as pods are looked into here.

All else, and whether the values make sense, is the API server's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

Shape: TypeAlias = "type | tuple[type, ...] | list[Shape] | dict[str, Shape] | Complete"
"""Of a value: one type or some; a list of things of a shape; fields that may be missing, `*` for all others."""


@dataclass(frozen=True)
class Complete:
    """Fields of which some must be there."""

    needed: tuple[str, ...]
    fields: dict[str, Shape]


_FIELDS: Final[Shape] = {}
_TEXTS: Final[Shape] = {"*": (str, int, float)}
_TERM: Final[Shape] = {"matchExpressions": [_FIELDS], "matchFields": [_FIELDS]}
AFFINITY: Final[Shape] = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_TERM]}}
}
_CONTAINER: Final[Shape] = Complete(
    ("name",),
    {
        "name": str,
        "image": str,
        "command": [(str, int, float)],
        "args": [(str, int, float)],
        "env": [Complete(("name",), {"name": str, "valueFrom": _FIELDS})],
        "envFrom": [_FIELDS],
        "resources": {"requests": _TEXTS, "limits": _TEXTS},
        "securityContext": _FIELDS,
        "volumeMounts": [Complete(("name", "mountPath"), {"name": str, "mountPath": str})],
    },
)
POD: Final[Shape] = {
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "affinity": AFFINITY,
    "nodeSelector": _TEXTS,
    "restartPolicy": str,
    "schedulerName": str,
    "securityContext": _FIELDS,
    "serviceAccountName": str,
    "tolerations": [_FIELDS],
    "volumes": [Complete(("name",), {"name": str})],
}
"""A pod's specification."""


def misshapen(value: Any, shape: Shape, path: str) -> str | None:
    """What is wrong with a value, in words, and where; None when nothing is.

    Args:
        path: how the value is called in the words.
    """
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path} must be a list, not {_called(value)}"
        items = enumerate(cast("list[Any]", value))
        return _first(misshapen(item, shape[0], f"{path}[{at}]") for at, item in items)
    if isinstance(shape, Complete):
        wrong = misshapen(value, shape.fields, path)
        missing = next((name for name in shape.needed if wrong is None and name not in value), None)
        return wrong if missing is None else f"{path} has no {missing}"
    if isinstance(shape, dict):
        if not isinstance(value, Mapping):
            return f"{path} must be an object, not {_called(value)}"
        fields = cast("Mapping[str, Any]", value)
        others = shape.get("*")
        shapes = {name: shape.get(name, others) for name in fields}
        return _first(
            misshapen(fields[name], each, f"{path}.{name}") for name, each in shapes.items() if each is not None
        )
    if isinstance(value, shape) and not isinstance(value, bool):
        return None
    return f"{path} must be a text, not {_called(value)}"


def _first(found: Any) -> str | None:
    return next((each for each in found if each is not None), None)


def _called(value: Any) -> str:
    match value:
        case bool():
            return "a truth value"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case None:
            return "nothing"
        case _:
            return "an object"
