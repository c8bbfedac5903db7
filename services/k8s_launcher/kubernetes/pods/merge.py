"""Pods laid over pod templates, by the rule of Go's `mergo` that Flyte uses (k8s-contract §1.9).

Field by field, what lies over wins where it says anything: zero, "" and false say nothing. Lists are joined, the
template's first, and nothing is taken out of them; maps and nested objects are merged likewise. So `merged` has the
empty object as its unit, is associative, and never loses an element of a list.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from services.k8s_launcher.kubernetes.objects import Object

DEFAULT: Final = "default"
PRIMARY: Final = "primary"
"""Containers of a template that stand for all of a task's, and for its main one."""


def merged(under: Object, over: Object) -> Object:
    """A new object with what both say; `over` wins."""
    result = copy.deepcopy(under)
    for name, value in over.items():
        result[name] = _merged_value(result[name], value) if name in result else copy.deepcopy(value)
    return result


def onto_template(template: Object, spec: Object, *, primary: str, primary_init: str = "") -> Object:
    """A pod's spec laid over that of a pod template.

    The result has exactly the pod's containers, each over the template's `default`, over its `primary` if it is the
    main one, else over the one of the same name; those of the template that no container of the pod is like vanish.

    Args:
        primary: name of the pod's main container.
        primary_init: name of the init container that the template's `primary-init` is for; "" for none.
    """
    result = merged(template, spec)
    _set(result, "containers", _laid(_list(template, "containers"), _list(spec, "containers"), primary, ""))
    inits = _laid(_list(template, "initContainers"), _list(spec, "initContainers"), primary_init, "-init")
    _set(result, "initContainers", inits)
    return result


def overlaid(base: Object, over: Object) -> Object:
    """A pod's spec with another laid over it: the base's containers, each with that of its name over it.

    For groups of a CRD with pods of their own (k8s-contract §5.3).
    """
    result = merged(base, over)
    for kind in ("containers", "initContainers"):
        others = _list(over, kind)
        containers: list[Object] = []
        for container in _list(base, kind):
            for other in others:
                if other.get("name") == container.get("name"):
                    container = merged(container, other)
            containers.append(copy.deepcopy(container))
        _set(result, kind, containers)
    return result


def template_container(template: Object | None, name: str, *, primary: bool, init: bool = False) -> Object | None:
    """The container of a template whose resources stand in for what a pod's container does not ask for.

    The first of: the same name, `primary` for the main one, `default` (k8s-contract §1.8, step 2).
    """
    containers = _list((template or {}).get("spec") or {}, "initContainers" if init else "containers")
    suffix = "-init" if init else ""
    names = [name, *([PRIMARY + suffix] if primary or init else []), DEFAULT + suffix]
    by_name = {container.get("name"): container for container in reversed(containers)}
    return next((by_name[each] for each in names if each in by_name), None)


def _laid(templates: Sequence[Object], containers: Sequence[Object], primary: str, suffix: str) -> list[Object]:
    result: list[Object] = []
    for container in containers:
        name = container.get("name")
        is_primary = bool(primary) and name == primary
        layers = [each for each in templates if each.get("name") == DEFAULT + suffix][-1:]
        if is_primary:
            layers += [each for each in templates if each.get("name") == PRIMARY + suffix][-1:]
        elif name != DEFAULT + suffix:
            layers += [each for each in templates if each.get("name") == name]
        under: Object = {}
        for layer in (*layers, container):
            under = merged(under, layer)
        result.append(under)
    return result


def _merged_value(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return merged(under, over)
    if isinstance(under, list) and isinstance(over, list):
        return copy.deepcopy([*under, *over])
    return copy.deepcopy(over) if over or not under else under


def _list(holder: Object, name: str) -> list[Object]:
    return holder.get(name) or []


def _set(holder: Object, name: str, items: list[Object]) -> None:
    if items:
        holder[name] = items
    else:
        holder.pop(name, None)
