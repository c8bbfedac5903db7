"""Files, folders and frames as OpenLineage's data sets, named by its conventions for object stores. Pure."""

from __future__ import annotations

from typing import Any, Final

from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import LiteralType, SchemaType, SimpleType

from flightlog_types.addresses import lying

MOST: Final = 1000
"""Data sets of one event, on each side; of more, the first ones are named."""

SCHEMA: Final = "https://openlineage.io/spec/facets/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"


def datasets(literals: LiteralMap | None, producer: str) -> list[dict[str, Any]]:
    """The data sets among values, each once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name in sorted(literals.literals) if literals is not None else ():
        for _, address, literal in lying(literals.literals[name]) if literals is not None else ():
            if literal.HasField("offloaded_metadata"):
                continue  # A value like others, only that it lies elsewhere.
            place = named(address)
            if place not in found and len(found) < MOST:
                found[place] = _dataset(place, literal, producer)
    return list(found.values())


def named(address: str) -> tuple[str, str]:
    """Namespace and name of what lies at an address: `s3://bucket` and the key."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return "file", address
    authority, _, path = rest.partition("/")
    match scheme:
        case "file":
            return "file", f"/{path}"
        case "bq":
            return "bigquery", rest.replace(":", ".")
        case "s3a" | "s3n":
            return f"s3://{authority}", path or "/"
        case _:
            return f"{scheme}://{authority}", path or "/"


def _dataset(place: tuple[str, str], literal: Literal, producer: str) -> dict[str, Any]:
    namespace, name = place
    dataset: dict[str, Any] = {"namespace": namespace, "name": name}
    fields = _fields(literal)
    if fields:
        dataset["facets"] = {"schema": {"_producer": producer, "_schemaURL": SCHEMA, "fields": fields}}
    return dataset


def _fields(literal: Literal) -> list[dict[str, str]]:
    scalar = literal.scalar
    if scalar.HasField("structured_dataset"):
        columns = scalar.structured_dataset.metadata.structured_dataset_type.columns
        return [{"name": column.name, "type": _type(column.literal_type)} for column in columns]
    if scalar.HasField("schema"):
        kinds = SchemaType.SchemaColumn.SchemaColumnType
        return [
            {"name": column.name, "type": kinds.Name(column.type).lower() if column.type in kinds.values() else ""}
            for column in scalar.schema.type.columns
        ]
    return []


def _type(literal_type: LiteralType) -> str:
    match literal_type.WhichOneof("type"):
        case "simple" if literal_type.simple in SimpleType.values():
            return SimpleType.Name(literal_type.simple).lower()
        case "collection_type":
            return f"list<{_type(literal_type.collection_type)}>"
        case "map_value_type":
            return f"map<string, {_type(literal_type.map_value_type)}>"
        case kind:
            return kind or ""
