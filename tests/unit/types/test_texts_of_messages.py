"""Messages as Flyte prints them."""

from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, types_pb2
from google.protobuf import json_format

from flightlog_types import describe, prototext


def test_an_identifier_prints_as_recorded() -> None:
    identifier = identifier_pb2.Identifier(
        resource_type=identifier_pb2.WORKFLOW,
        project="flytesnacks",
        domain="development",
        name="oracle.w",
        version="v1",
    )
    expected = 'resource_type:WORKFLOW  project:"flytesnacks"  domain:"development"  name:"oracle.w"  version:"v1"'
    assert prototext(identifier) == expected


def test_a_nested_message_prints_in_braces() -> None:
    node = identifier_pb2.NodeExecutionIdentifier(
        node_id="n9", execution_id=identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="n")
    )
    assert prototext(node) == 'node_id:"n9"  execution_id:{project:"p"  domain:"d"  name:"n"}'


def test_maps_print_in_the_order_of_their_keys() -> None:
    variables = interface_pb2.VariableMap(
        variables={"b": interface_pb2.Variable(description="2"), "a": interface_pb2.Variable(description='say "1"\n')}
    )
    expected = r'variables:{key:"a"  value:{description:"say \"1\"\n"}}  variables:{key:"b"  value:{description:"2"}}'
    assert prototext(variables) == expected


def test_numbers_print_their_shortest_digits() -> None:
    def printed(value: float) -> str:
        return prototext(literals_pb2.Primitive(float_value=value)).removeprefix("float_value:")

    assert [printed(value) for value in (0.5, 1.0, 100000.0, 1e6, 123456789.0, 1e-5, -0.25)] == [
        "0.5",
        "1",
        "100000",
        "1e+06",
        "1.23456789e+08",
        "1e-05",
        "-0.25",
    ]
    assert printed(float("nan")) == "nan"
    assert printed(float("-inf")) == "-inf"


def test_bytes_print_as_text_where_they_are_text() -> None:
    assert prototext(literals_pb2.Binary(value=b"a\xff\x01", tag="t")) == r'value:"a\xff\x01"  tag:"t"'


def test_nothing_prints_as_nil() -> None:
    assert prototext(None) == "<nil>"
    assert prototext(identifier_pb2.Identifier()) == ""


def test_a_dataclass_is_described_by_its_fields() -> None:
    point = json_format.ParseDict(
        {
            "simple": "STRUCT",
            "metadata": {"title": "Point"},
            "structure": {"dataclassType": {"y": {"simple": "FLOAT"}, "x": {"simple": "INTEGER"}}},
        },
        types_pb2.LiteralType(),
    )
    expected = (
        "simple: STRUCT structure{dataclass_type:{key:x value:{simple:INTEGER}, "
        "dataclass_type:{key:y value:{simple:FLOAT}}"
    )
    assert describe(point) == expected
    assert describe(None) == "None"
    assert describe(types_pb2.LiteralType(collection_type=types_pb2.LiteralType(simple=types_pb2.INTEGER))) == (
        "collection_type:{simple:INTEGER}"
    )
