"""Types as sentences of an error message."""

from flyteidl.core import types_pb2

from flightlog_types.prototext import prototext


def describe(literal_type: types_pb2.LiteralType | None) -> str:
    """A type as Flyte prints it in its answers, e.g. `simple:INTEGER`; `None` when there is no type.

    A dataclass prints its fields in the order of their names, and not its JSON schema.
    """
    if literal_type is None:
        return "None"
    if literal_type.WhichOneof("type") == "simple" and literal_type.simple == types_pb2.STRUCT:
        fields = literal_type.structure.dataclass_type
        printed = ", ".join(
            f"dataclass_type:{{key:{name} value:{{{describe(fields[name])}}}" for name in sorted(fields)
        )
        return f"simple: STRUCT structure{{{printed}}}"
    return prototext(literal_type)
