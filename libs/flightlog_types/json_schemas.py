"""Compares the JSON schemas that flytekit attaches to the types of dataclasses and Pydantic models.

Two spellings occur: properties at the top (mashumaro, Pydantic) and a `$ref` into `definitions` (marshmallow).
"""

from collections.abc import Mapping, Sequence
from typing import cast

from google.protobuf import json_format, struct_pb2

_Schema = Mapping[str, object]
_MAX_DEPTH = 64
_MAX_COMPARISONS = 20_000


def satisfies(source: struct_pb2.Struct, target: struct_pb2.Struct) -> bool:
    """Whether a value described by schema `source` has every field that schema `target` describes.

    `source` may have more fields. Keywords that say nothing about fields (title, defaults, additionalProperties) are
    not compared (admin-contract §3.4).
    """
    source_root, target_root = _plain(source), _plain(target)
    return _Comparison(source_root, target_root).holds(source_root, target_root, 0)


class _Comparison:
    """Two schemas side by side, each with its own definitions."""

    def __init__(self, source_root: _Schema, target_root: _Schema) -> None:
        self._source_root = source_root
        self._target_root = target_root
        # Pairs of references already being compared: a recursive dataclass refers to itself.
        self._assumed: set[tuple[str, str]] = set()
        # Alternatives of alternatives multiply; no real schema comes near this.
        self._left = _MAX_COMPARISONS

    def holds(self, source: _Schema, target: _Schema, depth: int) -> bool:
        if source == target and self._source_root == self._target_root:
            return True
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            return False
        references = str(source.get("$ref", "")), str(target.get("$ref", ""))
        if any(references):
            if references in self._assumed:
                return True
            self._assumed.add(references)
            source = _resolved(source, self._source_root)
            target = _resolved(target, self._target_root)
            return self.holds(source, target, depth + 1)
        return (
            _kinds(target) in ((), _kinds(source))
            and source.get("format") == target.get("format")
            and source.get("enum") == target.get("enum")
            and self._properties_hold(source, target, depth)
            and self._elements_hold(source, target, depth)
            and self._alternatives_hold(source, target, depth)
        )

    def _properties_hold(self, source: _Schema, target: _Schema, depth: int) -> bool:
        given, wanted = _mapping(source.get("properties")), _mapping(target.get("properties"))
        if not set(_texts(target.get("required"))) <= set(_texts(source.get("required"))):
            return False
        return all(
            name in given and self.holds(_mapping(given[name]), _mapping(schema), depth + 1)
            for name, schema in wanted.items()
        )

    def _elements_hold(self, source: _Schema, target: _Schema, depth: int) -> bool:
        for keyword in ("items", "additionalProperties"):
            given, wanted = source.get(keyword), target.get(keyword)
            if (
                isinstance(given, Mapping)
                and isinstance(wanted, Mapping)
                and not self.holds(_mapping(given), _mapping(wanted), depth + 1)
            ):
                return False
        return True

    def _alternatives_hold(self, source: _Schema, target: _Schema, depth: int) -> bool:
        for keyword in ("anyOf", "oneOf"):
            given, wanted = _sequence(source.get(keyword)), _sequence(target.get(keyword))
            if bool(given) != bool(wanted):
                return False
            if not all(any(self.holds(_mapping(g), _mapping(w), depth + 1) for w in wanted) for g in given):
                return False
        return True


def _plain(schema: struct_pb2.Struct) -> _Schema:
    try:
        return cast(_Schema, json_format.MessageToDict(schema))
    except (json_format.SerializeToJsonError, ValueError):
        # Infinities and unset values have no JSON form: such a schema describes nothing comparable.
        return {"type": "<unprintable>", "title": schema.SerializeToString(deterministic=True).hex()}


def _resolved(schema: _Schema, root: _Schema) -> _Schema:
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return {name: value for name, value in schema.items() if name != "$ref"}
    found: object = root
    for step in reference[1:].strip("/").split("/"):
        if step:
            found = _mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
    return _mapping(found)


def _kinds(schema: _Schema) -> tuple[str, ...]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return (kind,)
    return tuple(sorted(_texts(kind)))


def _texts(value: object) -> list[str]:
    return [item for item in _sequence(value) if isinstance(item, str)]


def _mapping(value: object) -> _Schema:
    return cast(_Schema, value) if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return cast(Sequence[object], value) if isinstance(value, list) else ()
