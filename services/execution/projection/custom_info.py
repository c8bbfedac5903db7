"""What plugins say of what they run, as clients see it: merged as JSON (admin-contract §4.11, RFC 7386)."""

from google.protobuf.struct_pb2 import Struct


def merge(into: Struct, said: Struct) -> None:
    """Takes in what was said: values replace those of the same key, null removes one, objects are merged likewise."""
    for key, value in said.fields.items():
        match value.WhichOneof("kind"):
            case "null_value":
                into.fields.pop(key, None)
            case "struct_value":
                # Where something else was, this begins an empty object.
                into.fields[key].struct_value.SetInParent()
                merge(into.fields[key].struct_value, value.struct_value)
            case _:
                into.fields[key].CopyFrom(value)
