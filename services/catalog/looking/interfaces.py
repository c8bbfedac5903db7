"""Types as people write them, and which variables of two interfaces differ as far as cache keys go. Pure."""

from __future__ import annotations

from typing import Final

from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.interface_pb2 import TypedInterface, VariableMap
from flyteidl.core.types_pb2 import BlobType, LiteralType, SimpleType

from flightlog_types import cache_keys

_NOBODY: Final = Identifier()


def changed(here: VariableMap, there: VariableMap) -> tuple[str, str]:
    """The variables that two interfaces have not in common, `x: integer, y: string`, as each of them has them."""
    names = sorted(here.variables.keys() | there.variables.keys())
    different = [name for name in names if _signature(here, name) != _signature(there, name)]
    return _declared(here, different), _declared(there, different)


def type_text(literal_type: LiteralType) -> str:
    """A type on one line: `list[integer]`."""
    match literal_type.WhichOneof("type"):
        case "simple":
            return SimpleType.Name(literal_type.simple).lower()
        case "collection_type":
            return f"list[{type_text(literal_type.collection_type)}]"
        case "map_value_type":
            return f"dict[{type_text(literal_type.map_value_type)}]"
        case "union_type":
            return " | ".join(type_text(variant) for variant in literal_type.union_type.variants)
        case "enum_type":
            return f"enum[{', '.join(literal_type.enum_type.values)}]"
        case "blob":
            kind = "directory" if literal_type.blob.dimensionality == BlobType.MULTIPART else "file"
            return f"{kind}[{literal_type.blob.format}]" if literal_type.blob.format else kind
        case "structured_dataset_type":
            columns = literal_type.structured_dataset_type.columns
            named = ", ".join(f"{column.name}: {type_text(column.literal_type)}" for column in columns)
            return f"dataframe[{named}]" if named else "dataframe"
        case "schema":
            return "schema"
        case _:
            return "unknown"


def _declared(variables: VariableMap, names: list[str]) -> str:
    return ", ".join(
        f"{name}: {type_text(variables.variables[name].type)}" for name in names if name in variables.variables
    )


def _signature(variables: VariableMap, name: str) -> str:
    """What of a variable counts in a key."""
    if name not in variables.variables:
        return ""
    alone = TypedInterface(inputs=VariableMap(variables={name: variables.variables[name]}))
    return cache_keys.dataset(_NOBODY, alone, "").version
