"""What plugins say of what they run, as clients see it: merged as JSON (admin-contract §4.11)."""

from google.protobuf.struct_pb2 import Struct


def merge(into: Struct, said: Struct) -> None:
    """Takes in what was said: values replace those of the same key, null removes one, objects are merged likewise."""
    for key, value in said.fields.items():
        match value.WhichOneof("kind"):
            case "null_value":
                into.fields.pop(key, None)
            case "struct_value" if into.fields[key].WhichOneof("kind") == "struct_value":
                merge(into.fields[key].struct_value, value.struct_value)
            case _:
                into.fields[key].CopyFrom(value)
