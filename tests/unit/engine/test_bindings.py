"""What nodes get: every kind of binding, and attribute paths into values."""

import msgpack
import pytest
from flyteidl.core import literals_pb2
from google.protobuf import struct_pb2

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, Flow, From, Story, binding, literal, plain


def packed(value: object) -> literals_pb2.Literal:
    binary = literals_pb2.Binary(value=msgpack.packb(value), tag="msgpack")
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))


def struct(value: dict[str, object]) -> literals_pb2.Literal:
    generic = struct_pb2.Struct()
    generic.update(value)
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(generic=generic))


def got(source: object, given: object = 7) -> literals_pb2.Literal:
    """What a workflow returns whose output is bound to `source` and whose input is `given`."""
    story = Story(Flow().returns(y=source), {"x": given})
    story.start()
    data = story.blobs[story.last(facts.ExecutionSucceeded).outputs.uri]
    return literals_pb2.LiteralMap.FromString(data).literals["y"]


def error(source: object, given: object = 7) -> str:
    story = Story(Flow().returns(y=source), {"x": given})
    story.start()
    assert story.error().code == "BindingResolutionFailure"
    assert story.error().kind == story.error().SYSTEM
    return story.error().message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (5, 5),
        (None, None),
        (INPUT, 7),
        (From("start-node", "x"), 7),
        ([INPUT, 2], [7, 2]),
        ([], []),
        ({"a": INPUT, "b": [INPUT]}, {"a": 7, "b": [7]}),
        ({}, {}),
        (literals_pb2.BindingData(), None),
    ],
)
def test_kinds_of_bindings(source: object, expected: object) -> None:
    assert plain(got(source)) == expected


def test_empty_collection_is_a_collection() -> None:
    assert got([]).WhichOneof("value") == "collection"
    assert got({}).WhichOneof("value") == "map"


def test_union_target_of_a_binding_wraps_nothing() -> None:
    bound = binding(5)
    bound.union.targetType.simple = 1
    assert got(bound) == literal(5)


def test_literals_pass_unchanged() -> None:
    value = literal(5)
    value.hash = "h"
    value.metadata["k"] = "v"
    assert got(INPUT, value) == value


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ((1,), [1, 2], 2),
        (("a",), {"a": 1}, 1),
        (("a", 0, "b"), {"a": [{"b": 9}]}, 9),
        (("a",), packed({"a": 3}), 3),
        (("a",), packed({"a": 3.5}), 3.5),
        (("a",), packed({"a": True}), True),
        (("a",), packed({"a": "s"}), "s"),
        (("a",), packed({"a": None}), None),
        (("a", 1), packed({"a": [1, 2]}), 2),
        (("a", "b", "c"), packed({"a": {"b": {"c": 4}}}), 4),
        ((0, "a"), [packed({"a": 5})], 5),
        (("n",), struct({"n": 3}), 3.0),
        (("l",), struct({"l": [1, "x"]}), [1.0, "x"]),
        (("s", "t"), struct({"s": {"t": False}}), False),
        (("z",), struct({"z": None}), None),
    ],
)
def test_attribute_paths(path: tuple[str | int, ...], value: object, expected: object) -> None:
    found = plain(got(From("", "x", path), value))
    assert found == expected
    assert type(found) is type(expected)


def test_attribute_of_messagepack_that_is_a_structure_stays_messagepack() -> None:
    assert got(From("", "x", ("a",)), packed({"a": {"b": 1}})) == packed({"b": 1})
    assert got(From("", "x", ("a",)), packed({"a": [1, {"b": 1}]})) == literal([packed(1), packed({"b": 1})])


def test_attribute_of_a_struct_that_is_a_structure_stays_a_struct() -> None:
    assert got(From("", "x", ("a",)), struct({"a": {"b": "c"}})) == struct({"b": "c"})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((5,), [1], "out of range"),
        ((-1,), [1], "out of range"),
        (("k",), [1], "indexed with the key"),
        (("k",), {"a": 1}, "does not exist"),
        ((1,), {"a": 1}, "only text keys"),
        (("k",), 5, "has no attributes"),
        (("k",), packed({"a": 1}), "does not exist"),
        (("a", "b"), packed({"a": 1}), "has no attributes"),
        (("a",), packed({"a": 2**63}), "does not fit"),
        (("a",), packed({"a": b"raw"}), "cannot become a literal"),
        (("a",), literals_pb2.Literal(), "empty"),
        (("a",), struct({"b": 1}), "does not exist"),
        (
            ("a",),
            literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=literals_pb2.Binary(value=b"\xc1", tag="msgpack"))),
            "no valid MessagePack",
        ),
    ],
)
def test_attribute_paths_that_lead_nowhere(path: tuple[str | int, ...], value: object, message: str) -> None:
    assert message in error(From("", "x", path), value)


def test_element_of_a_collection_by_name() -> None:
    assert plain(got(From("", "[1].x"), [4, 5])) == 5
    assert "no element" in error(From("", "[2].x"), [4, 5])
    assert "no element" in error(From("", "[0].x"), 4)


def test_unknown_variable() -> None:
    assert "no variable [nope]" in error(From("", "nope"))


def test_output_alias() -> None:
    closure = Flow().task("n0").returns(y=From("n0", "other")).closure()
    node = next(node for node in closure.primary.template.nodes if node.id == "n0")
    node.output_aliases.add(var="o0", alias="other")
    story = Story(closure)
    story.start()
    story.succeeds("n0", outputs={"o0": 3})
    assert story.outputs() == {"y": 3}


def test_unresolvable_input_fails_the_node_without_an_attempt() -> None:
    story = Story(Flow().task("n0").task("n1", {"a": From("n0", "nope")}, retries=5))
    story.start()
    assert story.succeeds("n0") == [
        "AttemptSucceeded n0#0",
        "NodeSucceeded n0",
        "NodeQueued n1",
        "NodeFailed n1 BindingResolutionFailure",
        "ExecutionFailing BindingResolutionFailure",
        "ExecutionFailed BindingResolutionFailure",
    ]


def test_outputs_of_a_task_that_has_none() -> None:
    story = Story(Flow().task("n0", outputs=()).returns(y=From("n0")))
    story.start()
    story.sees("n0", "EXITED")
    assert "has no outputs" in story.error().message


def test_a_node_that_says_not_what_it_runs_is_refused() -> None:
    closure = Flow().task("n0").closure()
    closure.primary.template.nodes[-1].ClearField("task_node")
    with pytest.raises(engine.ProgramError, match="not supported"):
        engine.Program.parse(closure)
