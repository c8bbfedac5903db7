"""Command templates: what the placeholders in a container's command and arguments stand for.

`{{.input}}`, `{{ $outputPrefix }}` and their like are replaced in every argument, whatever their case
(engine-semantics §3.5, k8s-contract §1.6). A placeholder nobody knows stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, cast

import msgpack
from flyteidl.core import literals_pb2

from flightlog_types.literals import MSGPACK

_PLACEHOLDER = re.compile(r"\{\{\s*[.$]([a-zA-Z_][\w.]*)\s*\}\}")
_INPUT_REFERENCE = re.compile(r"\{\{\s*[.$]inputs\.([^}\s]+)\s*\}\}", re.IGNORECASE)
_TASK_TEMPLATE_PATH = re.compile(r"\{\{\s*[.$]taskTemplatePath\s*\}\}", re.IGNORECASE)
_NOT_ALPHANUMERIC = re.compile(r"[^a-zA-Z0-9_]+")
_LEADING_NON_LETTERS = re.compile(r"^[^a-zA-Z_]+")


class TemplateError(Exception):
    """A command cannot be rendered: an input is missing, or has no text form."""


@dataclass(frozen=True)
class TemplateValues:
    """What the placeholders of one attempt stand for. All paths are URIs."""

    input_uri: str
    output_prefix: str
    raw_output_prefix: str
    checkpoint_prefix: str
    previous_checkpoint_prefix: str
    task_template_uri: str
    generated_name: str
    namespace: str

    def named(self) -> dict[str, str]:
        """Values by placeholder name in lower case."""
        return {
            "input": self.input_uri,
            "inputprefix": self.input_uri.rpartition("/")[0],
            "outputprefix": self.output_prefix,
            "rawoutputdataprefix": self.raw_output_prefix,
            "checkpointoutputprefix": self.checkpoint_prefix,
            # Two quote characters are how "there is none" is spelled; flytekit reads them as None.
            "prevcheckpointprefix": self.previous_checkpoint_prefix or '""',
            "tasktemplatepath": self.task_template_uri,
            "perretryuniquekey": unique_key(self.generated_name),
            "namespace": self.namespace,
        }


def unique_key(generated_name: str) -> str:
    """The generated name as an identifier: other characters become `_`, a leading run of non-letters `a`."""
    return _NOT_ALPHANUMERIC.sub("_", _LEADING_NON_LETTERS.sub("a", generated_name))


def refers_to_inputs(arguments: Sequence[str]) -> bool:
    """Whether rendering needs the literal map of the inputs."""
    return any(_INPUT_REFERENCE.search(argument) for argument in arguments)


def refers_to_task_template(arguments: Sequence[str]) -> bool:
    """Whether the task template must lie in the object store before the command runs."""
    return any(_TASK_TEMPLATE_PATH.search(argument) for argument in arguments)


def render(
    arguments: Sequence[str],
    values: TemplateValues,
    inputs: literals_pb2.LiteralMap | None = None,
    *,
    written: Callable[[str], str] = str,
) -> list[str]:
    """The arguments with their placeholders replaced; one argument stays one argument.

    `{{.inputs.x}}` needs `inputs`; with an empty map such references stay as they are (engine-semantics §3.5).

    Args:
        written: how a value has to be written for whoever reads the arguments next; default: as it is.

    Raises `TemplateError`.
    """
    named = {name: written(value) for name, value in values.named().items()}

    def plain(match: re.Match[str]) -> str:
        return named.get(match.group(1).lower(), match.group(0))

    def literal(match: re.Match[str]) -> str:
        name = match.group(1)
        assert inputs is not None
        if name not in inputs.literals:
            raise TemplateError(f"the command refers to the input {name!r}, which the task does not get")
        try:
            return written(literal_text(inputs.literals[name]))
        except TemplateError as error:
            raise TemplateError(f"the command refers to the input {name!r}: {error}") from None

    rendered: list[str] = []
    for argument in arguments:
        if "{{" not in argument:
            rendered.append(argument)
            continue
        # Values of inputs are put in last, so that a user's text is never taken for a placeholder.
        text = _PLACEHOLDER.sub(plain, argument)
        rendered.append(_INPUT_REFERENCE.sub(literal, text) if inputs is not None and inputs.literals else text)
    return rendered


def literal_text(literal: literals_pb2.Literal) -> str:
    """Text of a literal in a command: primitives, URIs of blobs and schemas, lists as `[a,b]`, what dataclasses and
    the like are packed into as Go's `%v` writes it; of a union, that of what it holds.

    Raises `TemplateError` for maps, structs and nothing.
    """
    kind = literal.WhichOneof("value")
    if kind == "collection":
        return "[" + ",".join(literal_text(item) for item in literal.collection.literals) + "]"
    if kind != "scalar":
        raise TemplateError(f"a literal of kind {kind or 'none'} has no text form")
    scalar = literal.scalar
    match scalar.WhichOneof("value"):
        case "primitive":
            return _primitive_text(scalar.primitive)
        case "blob":
            return scalar.blob.uri
        case "schema":
            return scalar.schema.uri
        case "binary":
            return _packed_text(scalar.binary)
        case "union":
            return literal_text(scalar.union.value)
        case other:
            raise TemplateError(f"a scalar of kind {other or 'none'} has no text form")


def _primitive_text(primitive: literals_pb2.Primitive) -> str:
    match primitive.WhichOneof("value"):
        case "integer":
            return str(primitive.integer)
        case "float_value":
            return float_text(primitive.float_value)
        case "boolean":
            return "true" if primitive.boolean else "false"
        case "string_value":
            return primitive.string_value
        case "datetime":
            return primitive.datetime.ToDatetime(UTC).isoformat().replace("+00:00", "Z")
        case "duration":
            seconds, nanos = primitive.duration.seconds, primitive.duration.nanos
            parts = [f"seconds:{seconds}"] * bool(seconds) + [f"nanos:{nanos}"] * bool(nanos)
            return " ".join(parts)
        case other:
            raise TemplateError(f"a primitive of kind {other or 'none'} has no text form")


def _packed_text(binary: literals_pb2.Binary) -> str:
    if binary.tag != MSGPACK:
        raise TemplateError(f"binary data tagged {binary.tag!r} has no text form")
    try:
        return _go_text(msgpack.unpackb(binary.value, strict_map_key=False))
    except (ValueError, msgpack.UnpackException) as error:
        raise TemplateError(f"the value is no valid MessagePack: {error}") from None


def _go_text(value: Any) -> str:
    """A value as Go's `%v` writes it: `map[a:1 b:[x y]]`, the keys in order."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return float_text(value)
        case bytes() | list():
            return "[" + " ".join(_go_text(item) for item in cast("Sequence[Any]", value)) + "]"
        case dict():
            pairs = sorted((_go_text(key), _go_text(item)) for key, item in cast("Mapping[Any, Any]", value).items())
            return "map[" + " ".join(f"{key}:{item}" for key, item in pairs) + "]"
        case _:
            return str(value)


def float_text(value: float) -> str:
    """A float as Go's `%v` writes it: shortest digits, an exponent below 1e-4 and from 1e21 on, no `.0`."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    mantissa, _, exponent = f"{value!r}".partition("e")
    digits = mantissa.lstrip("-").replace(".", "")
    point = len(mantissa.lstrip("-").partition(".")[0]) + int(exponent or 0)
    leading = len(digits) - len(digits.lstrip("0"))
    digits, point = digits.lstrip("0").rstrip("0"), point - leading
    sign = "-" if value < 0 else ""
    if not -4 < point <= 21:
        head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{head}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"
