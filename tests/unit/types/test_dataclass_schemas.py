"""JSON schemas of dataclasses: a value with more fields may be given where fewer are declared."""

import pytest
from google.protobuf import json_format, struct_pb2

from flightlog_types.json_schemas import satisfies

INT, TEXT = {"type": "integer"}, {"type": "string"}


def schema(described: dict[str, object]) -> struct_pb2.Struct:
    return json_format.ParseDict(described, struct_pb2.Struct())


def fields(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def referring(name: str, described: dict[str, object]) -> dict[str, object]:
    """The older spelling, with definitions."""
    return {"$ref": f"#/definitions/{name}", "definitions": {name: described}}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (fields(x=INT, y=TEXT), fields(x=INT)),
        (fields(p=fields(x=INT, y=TEXT)), fields(p=fields(x=INT))),
        (
            fields(xs={"type": "array", "items": fields(x=INT, y=INT)}),
            fields(xs={"type": "array", "items": fields(x=INT)}),
        ),
        (referring("A", fields(x=INT, y=INT)), referring("B", fields(x=INT))),
        (referring("A", fields(x=INT)), fields(x=INT)),
        ({**fields(x=INT), "title": "A"}, {**fields(x=INT), "title": "B"}),
        (fields(x={"anyOf": [INT, {"type": "null"}]}), fields(x={"anyOf": [{"type": "null"}, INT, TEXT]})),
    ],
)
def test_enough_fields(source: dict[str, object], target: dict[str, object]) -> None:
    assert satisfies(schema(source), schema(target))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (fields(x=INT), fields(x=INT, y=TEXT)),
        (fields(x=INT), fields(x=TEXT)),
        ({**fields(x=INT), "required": []}, fields(x=INT)),
        (fields(p=fields(x=INT)), fields(p=fields(x=TEXT))),
        (fields(x={"anyOf": [INT, TEXT]}), fields(x={"anyOf": [INT]})),
        (referring("A", fields(x=INT)), referring("A", fields(x=TEXT))),
        (fields(x={"type": "string", "format": "date-time"}), fields(x=TEXT)),
    ],
)
def test_not_enough_fields(source: dict[str, object], target: dict[str, object]) -> None:
    assert not satisfies(schema(source), schema(target))


def test_a_type_that_contains_itself_is_compared() -> None:
    node = fields(value=INT, next={"$ref": "#/definitions/Node"})
    wider = fields(value=INT, more=TEXT, next={"$ref": "#/definitions/Node"})
    assert satisfies(schema(referring("Node", wider)), schema(referring("Node", node)))
    assert not satisfies(schema(referring("Node", node)), schema(referring("Node", wider)))


def test_a_dangling_reference_describes_nothing() -> None:
    assert satisfies(schema(fields(x=INT)), schema({"$ref": "#/definitions/Gone"}))


def test_alternatives_in_alternatives_are_compared_in_no_time() -> None:
    source, target = INT, TEXT
    for _ in range(9):
        source, target = {"anyOf": [source, source]}, {"anyOf": [target, target]}
    assert not satisfies(schema(source), schema(target))
