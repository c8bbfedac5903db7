"""Templates of objects: text with variables in, objects out. Pure (k8s-contract §7)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import yaml

from services.k8s_launcher.kubernetes.objects import Object

BUILT_IN: Mapping[str, str] = {
    "namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: '{{ namespace }}'\n"
}
"""What holds where the operator has no templates."""

_VARIABLE = re.compile(r"\{\{ ([^{}\s]+) \}\}")
_ANY = re.compile(r"\{\{.*?\}\}")


class BadTemplate(ValueError):
    """A file that makes no objects; the message says why."""


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with `{{ name }}`, with one blank on each side, replaced by its value.

    Raises:
        BadTemplate: a variable has no value, or is written otherwise.
    """
    without = [found for found in _ANY.findall(text) if _name(found) not in values]
    if without:
        raise BadTemplate(f"without a value: {', '.join(dict.fromkeys(without))}")
    return _VARIABLE.sub(lambda match: values[match[1]], text)


def objects(text: str) -> list[Object]:
    """The objects of a rendered file: one in each of its documents; empty ones are left out.

    Raises:
        BadTemplate: it is no YAML, or something in it is no object of the Kubernetes API with a name.
    """
    try:
        documents = list(yaml.safe_load_all(text))
        # What has no JSON form, a date without quotes say, fits into no object.
        json.dumps(documents)
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise BadTemplate(" ".join(str(error).split())) from None
    return [_checked(document) for document in documents if document is not None]


def values_for(
    project: str, domain: str, namespace: str, shared: Mapping[str, str], attributes: Mapping[str, str]
) -> dict[str, str]:
    """The variables of one project and domain. Attributes come before what is configured, and nothing takes the place
    of `project`, `domain` and `namespace`.

    Raises:
        BadTemplate: an attribute has several lines, with which its template would become another one. Who sets
            attributes is not who writes templates.
    """
    for name, value in attributes.items():
        if len(f"{value}.".splitlines()) > 1:
            raise BadTemplate(f"the attribute {name} has more than one line")
    return {**shared, **attributes, "project": project, "domain": domain, "namespace": namespace}


def _name(found: str) -> str:
    match = _VARIABLE.fullmatch(found)
    return match[1] if match else ""


def _checked(document: Any) -> Object:
    if isinstance(document, dict):
        found = cast(Object, document)
        metadata = found.get("metadata")
        named: Any = cast(Object, metadata).get("name") if isinstance(metadata, dict) else None
        if all(isinstance(word, str) and word for word in (found.get("apiVersion"), found.get("kind"), named)):
            return found
    raise BadTemplate("each document must be an object with apiVersion, kind and metadata.name")
