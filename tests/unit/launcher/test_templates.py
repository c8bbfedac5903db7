"""Command templates (engine-semantics §3.5, k8s-contract §1.6 and T7, T8, T10)."""

from __future__ import annotations

import msgpack
import pytest
from flyteidl.core import literals_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.k8s_launcher.templates import (
    TemplateError,
    TemplateValues,
    float_text,
    literal_text,
    refers_to_inputs,
    refers_to_task_template,
    render,
    unique_key,
)

VALUES = TemplateValues(
    input_uri="s3://b/d/inputs.pb",
    output_prefix="s3://b/d/0",
    raw_output_prefix="s3://b/raw",
    checkpoint_prefix="s3://b/raw/_flytecheckpoints",
    previous_checkpoint_prefix="",
    task_template_uri="s3://b/d/task.pb",
    generated_name="a1b2c3d4e5f6g7h8i9j0-n0-0",
    namespace="p-d",
)


def primitive(**value: object) -> literals_pb2.Literal:
    return literals_pb2.Literal(
        scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(**value))  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.input}}", "s3://b/d/inputs.pb"),
        ("{{.Input}}", "s3://b/d/inputs.pb"),
        ("{{ $input }}", "s3://b/d/inputs.pb"),
        ("{{.inputPrefix}}", "s3://b/d"),
        ("{{ $outputPrefix }}", "s3://b/d/0"),
        ("{{.rawOutputDataPrefix}}", "s3://b/raw"),
        ("{{.PerRetryUniqueKey}}", "a1b2c3d4e5f6g7h8i9j0_n0_0"),
        ("{{.checkpointOutputPrefix}}", "s3://b/raw/_flytecheckpoints"),
        ("{{.prevCheckpointPrefix}}", '""'),
        ("{{.taskTemplatePath}}", "s3://b/d/task.pb"),
        ("{{.namespace}}", "p-d"),
        ("a{{.input}}b{{.namespace}}c", "as3://b/d/inputs.pbbp-dc"),
        ("{{.nobody}} {input} {{", "{{.nobody}} {input} {{"),
    ],
)
def test_placeholder_is_replaced(template: str, text: str) -> None:
    assert render([template], VALUES) == [text]


def test_input_values_are_put_into_arguments_without_splitting_them() -> None:
    inputs = literals_pb2.LiteralMap(
        literals={"x": primitive(integer=3), "s": primitive(string_value="a b {{.input}}")}
    )
    inputs.literals["l"].collection.literals.extend([primitive(integer=1), primitive(integer=2)])
    assert render(["{{.inputs.x}}", "{{ .inputs.s }}", "{{.inputs.l}}"], VALUES, inputs) == [
        "3",
        "a b {{.input}}",
        "[1,2]",
    ]


def test_missing_input_is_an_error_naming_it() -> None:
    inputs = literals_pb2.LiteralMap(literals={"y": primitive(integer=3)})
    with pytest.raises(TemplateError, match="'x'"):
        render(["{{.inputs.x}}"], VALUES, inputs)


def test_references_stay_when_there_are_no_inputs() -> None:
    assert render(["{{.inputs.x}}"], VALUES, literals_pb2.LiteralMap()) == ["{{.inputs.x}}"]


@pytest.mark.parametrize("field", ["map", "none", "union", "generic"])
def test_literals_without_a_text_form_are_errors(field: str) -> None:
    literal = literals_pb2.Literal()
    if field == "map":
        literal.map.SetInParent()
    elif field == "none":
        literal.scalar.none_type.SetInParent()
    else:
        getattr(literal.scalar, field).SetInParent()
    with pytest.raises(TemplateError):
        literal_text(literal)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"rate": 0.5, "name": "a b", "on": True, "none": None}, "map[name:a b none:<nil> on:true rate:0.5]"),
        ({"deep": {"list": [1, "x", 2.0]}}, "map[deep:map[list:[1 x 2]]]"),
        (["a", 1], "[a 1]"),
        ("text", "text"),
        (3, "3"),
        (b"ab", "[97 98]"),
    ],
)
def test_packed_values_are_written_as_go_does(value: object, text: str) -> None:
    literal = literals_pb2.Literal()
    literal.scalar.binary.CopyFrom(literals_pb2.Binary(value=msgpack.packb(value), tag="msgpack"))
    assert literal_text(literal) == text


@pytest.mark.parametrize(("content", "tag"), [(b"ab", ""), (b"\xc1", "msgpack"), (b"", "msgpack")])
def test_binary_data_that_is_not_packed_is_an_error(content: bytes, tag: str) -> None:
    literal = literals_pb2.Literal()
    literal.scalar.binary.CopyFrom(literals_pb2.Binary(value=content, tag=tag))
    with pytest.raises(TemplateError):
        literal_text(literal)


def test_text_of_a_union_is_that_of_its_value() -> None:
    literal = literals_pb2.Literal()
    literal.scalar.union.value.CopyFrom(primitive(integer=3))
    assert literal_text(literal) == "3"


def test_values_are_written_for_whoever_reads_them_next() -> None:
    inputs = literals_pb2.LiteralMap(literals={"s": primitive(string_value="a$$(HOME)")})
    words = ["$(MINE)", "{{.inputs.s}} {{.namespace}}"]
    assert render(words, VALUES, inputs, written=str.upper) == ["$(MINE)", "A$$(HOME) P-D"]


def test_texts_of_primitives() -> None:
    moment = primitive()
    moment.scalar.primitive.datetime.FromJsonString("2026-11-21T03:20:21Z")
    assert literal_text(moment) == "2026-11-21T03:20:21Z"
    assert literal_text(primitive(boolean=True)) == "true"
    assert literal_text(primitive(float_value=2.0)) == "2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.5, "1.5"),
        (-2.0, "-2"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.25e-5, "1.25e-05"),
        (1e-4, "0.0001"),
        (123456.789, "123456.789"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_floats_are_written_as_go_does(value: float, text: str) -> None:
    assert float_text(value) == text


@settings(max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_texts_give_the_same_float_back(value: float) -> None:
    assert float(float_text(value)) == value


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_text_without_placeholders_is_left_alone(text: str) -> None:
    if "{{" not in text:
        assert render([text], VALUES) == [text]


def test_needs_are_seen_in_the_command() -> None:
    assert refers_to_inputs(["a", "{{ $Inputs.x }}"])
    assert not refers_to_inputs(["{{.input}}", "{{.inputPrefix}}"])
    assert refers_to_task_template(["{{ .TaskTemplatePath }}"])


def test_unique_key_is_an_identifier() -> None:
    assert unique_key("0abc-n0-0") == "aabc_n0_0"
    assert unique_key("f24kx--jx.a") == "f24kx_jx_a"
