"""What of a task's interface goes through files, and how it is told to the command that copies (k8s-contract §1.13)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, TypeVar

from flyteidl.core import interface_pb2, tasks_pb2, types_pb2
from google.protobuf.message import DecodeError, Message

DEFAULT_INPUT_PATH: Final = "/var/flyte/inputs"
DEFAULT_OUTPUT_PATH: Final = "/var/flyte/outputs"
ERROR_FILE: Final = "_ERROR"
DESCRIPTIONS: Final = ("inputs.pb", "inputs.json", "inputs.yaml")
"""Files in the folder of inputs that describe all of them."""

_M = TypeVar("_M", bound=Message)


def data_config(template: tasks_pb2.TaskTemplate) -> tasks_pb2.DataLoadingConfig | None:
    """How a raw container wants its data; None for a task that fetches and writes its data itself."""
    match template.WhichOneof("target"):
        case "container":
            config = template.container.data_config
        case "k8s_pod":
            config = template.k8s_pod.data_config
        case _:
            return None
    return config if config.enabled else None


def has_inputs(template: tasks_pb2.TaskTemplate) -> bool:
    return bool(template.interface.inputs.variables)


def has_outputs(template: tasks_pb2.TaskTemplate) -> bool:
    return bool(template.interface.outputs.variables)


def refusal(template: tasks_pb2.TaskTemplate, config: tasks_pb2.DataLoadingConfig) -> str:
    """Why a raw container can never pass its data on, "" when it can. Flyte learns it after the container has run."""
    input_path, output_path = paths(config)
    for path in (input_path, output_path):
        if not path.startswith("/") or ".." in path.split("/") or not path.strip("/"):
            return f"the folder of data {path!r} is not an absolute path below the root"
    if input_path == output_path and has_inputs(template) and has_outputs(template):
        return f"inputs and outputs are in the same folder {input_path!r}"
    for kind, variables in (("input", template.interface.inputs), ("output", template.interface.outputs)):
        for name in variables.variables:
            if not is_file_name(name) or (kind == "input" and name in DESCRIPTIONS):
                return f"the {kind} {name!r} cannot be the name of a file"
    for name, variable in template.interface.outputs.variables.items():
        if name == ERROR_FILE:
            return f"the output {name!r} has the name of the file with the error"
        if not is_collectable(variable.type):
            kind = variable.type.WhichOneof("type") or "unknown type"
            return (
                f"the output {name!r} is a {kind.removesuffix('_type').replace('_', ' ')}: raw containers return "
                "simple values, enumerations, files and folders"
            )
    return ""


def paths(config: tasks_pb2.DataLoadingConfig) -> tuple[str, str]:
    """The folders of inputs and outputs, as the container names them."""
    return _normal(config.input_path or DEFAULT_INPUT_PATH), _normal(config.output_path or DEFAULT_OUTPUT_PATH)


def is_collectable(literal_type: types_pb2.LiteralType) -> bool:
    """Whether a value of the type can be read from a file."""
    return literal_type.WhichOneof("type") in ("simple", "blob", "enum_type")


def is_file_name(name: str) -> bool:
    """Whether a name is one of a file in a folder, and of nowhere else."""
    return name not in ("", ".", "..") and not set("/\0").intersection(name) and len(name.encode()) <= 255


def encoded(message: Message) -> str:
    """A message as an argument of a command."""
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def decoded(kind: type[_M], text: str) -> _M:
    """The reverse. Raises `ValueError`."""
    try:
        return kind.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, DecodeError) as error:
        raise ValueError(f"{text!r} is no {kind.DESCRIPTOR.name} in base 64: {error}") from None


def types_of(variables: interface_pb2.VariableMap) -> Mapping[str, types_pb2.LiteralType]:
    """Types by name, in the names' order."""
    return {name: variables.variables[name].type for name in sorted(variables.variables)}


def _normal(path: str) -> str:
    return path.rstrip("/") or "/"
