"""Cache keys are Flyte's, byte for byte: results stored by either are found by the other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flyteidl.core import interface_pb2, literals_pb2, types_pb2
from flyteidl.core.identifier_pb2 import DATASET, LAUNCH_PLAN, TASK, WORKFLOW, Identifier, ResourceType
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from flightlog_types import cache_keys
from flightlog_types.object_hash import encoded, json_hash, object_hash

RECORDINGS = Path(__file__).parents[2] / "recordings"
INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)
ID = Identifier(resource_type=TASK, project="project", domain="domain", name="name", version="1.0.0")


def integers(**values: int) -> literals_pb2.LiteralMap:
    return ParseDict(
        {"literals": {name: {"scalar": {"primitive": {"integer": value}}} for name, value in values.items()}},
        literals_pb2.LiteralMap(),
    )


def variables(*types: types_pb2.LiteralType, description: str = "") -> interface_pb2.VariableMap:
    named = {
        str(number): interface_pb2.Variable(type=type_, description=description)
        for number, type_ in enumerate(types, start=1)
    }
    return interface_pb2.VariableMap(variables=named)


def version(inputs: interface_pb2.VariableMap | None, cache_version: str = "1.0.0") -> str:
    return cache_keys.dataset(ID, interface_pb2.TypedInterface(inputs=inputs), cache_version).version


def literal(value: Any) -> literals_pb2.Literal:
    return ParseDict(value, literals_pb2.Literal())


def test_the_dataset_carries_the_task_and_its_interface() -> None:
    found = cache_keys.dataset(ID, interface_pb2.TypedInterface(inputs=variables(INTEGER, INTEGER)), " 1.0.0 ")
    assert found == Identifier(
        resource_type=DATASET,
        project="project",
        domain="domain",
        name="flyte_task-name",
        version="1.0.0-UxVtPm0k-GKw-c0Pw",
    )


def test_no_variables_are_like_none_at_all() -> None:
    assert version(None) == version(interface_pb2.VariableMap()) == "1.0.0-GKw-c0Pw-GKw-c0Pw"
    assert encoded(object_hash(interface_pb2.VariableMap())) == "GKw-c0PwFokMUQ6T-TUmEWnZ4_VlQ2Qpgw-vCTT0-OQ"


def test_tags_of_integers() -> None:
    expected = "flyte_cached-GQid5LjHbakcW68DS3P2jp80QLbiF0olFHF2hTh5bg8"
    assert cache_keys.tag(integers(**{"1": 1, "2": 2})) == expected
    assert cache_keys.tag(integers(**{"2": 2, "1": 1})) == expected
    assert cache_keys.tag(integers(**{"1": 1, "2": 2, "3": 3}), ["3"]) == expected
    assert cache_keys.tag(integers(**{"1": 1, "2": 3})) != expected


@pytest.mark.parametrize("recording", ["w11_cache", "w11_cache-second"])
def test_keys_as_flyte_recorded_them(recording: str) -> None:
    recorded = json.loads((RECORDINGS / f"{recording}.json").read_text())
    (template,) = recorded["registered"]["workflow"]["closure"]["compiled_workflow"]["tasks"]
    task = template["template"]
    identifier = ParseDict(task["id"], Identifier())
    interface = ParseDict(task["interface"], interface_pb2.TypedInterface())
    nodes = {entry["node"]["id"]["node_id"]: entry for entry in recorded["nodes"]}
    key = nodes["n0"]["node"]["closure"]["task_node_metadata"]["catalog_key"]
    inputs = ParseDict(nodes["n0"]["data"]["full_inputs"], literals_pb2.LiteralMap())
    dataset = cache_keys.dataset(identifier, interface, task["metadata"]["discovery_version"])
    assert dataset == ParseDict(key["dataset_id"], Identifier())
    assert cache_keys.tag(inputs) == key["artifact_tag"]["name"]


def test_descriptions_metadata_and_annotations_do_not_count() -> None:
    said = types_pb2.LiteralType(simple=types_pb2.INTEGER)
    said.metadata["title"] = "an integer"
    said.annotation.annotations["unit"] = "m"
    for bare, told in (
        (INTEGER, said),
        (types_pb2.LiteralType(collection_type=INTEGER), types_pb2.LiteralType(collection_type=said)),
        (types_pb2.LiteralType(map_value_type=INTEGER), types_pb2.LiteralType(map_value_type=said)),
        (
            types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=[INTEGER])),
            types_pb2.LiteralType(union_type=types_pb2.UnionType(variants=[said])),
        ),
        (_frame(INTEGER), _frame(said)),
        (_dataclass(INTEGER), _dataclass(said)),
    ):
        assert version(variables(bare)) == version(variables(told, description="what it means"))
        assert version(variables(bare)) != version(variables(types_pb2.LiteralType(simple=types_pb2.STRING)))


def _frame(column: types_pb2.LiteralType) -> types_pb2.LiteralType:
    columns = [types_pb2.StructuredDatasetType.DatasetColumn(name="a", literal_type=column)]
    return types_pb2.LiteralType(structured_dataset_type=types_pb2.StructuredDatasetType(columns=columns))


def _dataclass(field: types_pb2.LiteralType) -> types_pb2.LiteralType:
    structure = types_pb2.TypeStructure(dataclass_type={"a": field})
    return types_pb2.LiteralType(simple=types_pb2.STRUCT, structure=structure)


def test_an_annotation_made_for_cache_keys_counts() -> None:
    def annotated(value: str) -> interface_pb2.VariableMap:
        told = types_pb2.LiteralType(simple=types_pb2.INTEGER)
        told.annotation.annotations["cache-key-metadata"] = value
        return variables(told)

    assert len({version(annotated("1")), version(annotated("2")), version(variables(INTEGER))}) == 3


def test_the_interface_that_is_asked_about_stays_as_it_is() -> None:
    interface = interface_pb2.TypedInterface(inputs=variables(INTEGER, description="what it means"))
    before = interface.SerializeToString()
    cache_keys.dataset(ID, interface, "1")
    assert interface.SerializeToString() == before


def test_a_literal_with_a_hash_counts_by_it_alone() -> None:
    def tag(value: Any) -> str:
        return cache_keys.tag(literals_pb2.LiteralMap(literals={"x": literal(value)}))

    blobs = [{"scalar": {"blob": {"uri": f"s3://bucket/{name}"}}} for name in "ab"]
    assert tag(blobs[0]) != tag(blobs[1])
    hashed = [blob | {"hash": "same"} for blob in blobs]
    assert tag(hashed[0]) == tag(hashed[1]) == tag({"collection": {}, "hash": "same"})
    assert tag(hashed[0]) != tag(hashed[0] | {"hash": "other"})
    for nest in (lambda item: {"collection": {"literals": [item]}}, lambda item: {"map": {"literals": {"k": item}}}):
        assert tag(nest(hashed[0])) == tag(nest(hashed[1]))
        assert tag(nest(blobs[0])) != tag(nest(blobs[1]))


def test_a_set_default_is_not_the_same_as_nothing() -> None:
    tags = {
        cache_keys.tag(literals_pb2.LiteralMap(literals={"x": literal(value)}))
        for value in (
            {},
            {"scalar": {"none_type": {}}},
            {"scalar": {"primitive": {"integer": 0}}},
            {"scalar": {"primitive": {"float_value": 0}}},
            {"scalar": {"primitive": {"boolean": False}}},
            {"scalar": {"primitive": {"string_value": ""}}},
            {"collection": {}},
            {"map": {}},
        )
    }
    assert len(tags) == 8


@given(st.dictionaries(st.text(), st.integers(-(2**62), 2**62), max_size=4), st.sets(st.text(), max_size=2))
def test_a_tag_is_made_of_the_hashes_of_the_inputs_that_count(values: dict[str, int], ignored: set[str]) -> None:
    """Against the rule as Flyte has it: the hash of one message with all inputs that count."""
    inputs, counted = integers(**values), integers(**{k: v for k, v in values.items() if k not in ignored})
    digests = cache_keys.input_digests(inputs, ignored)
    assert list(digests) == sorted(counted.literals)
    assert all(digest == object_hash(counted.literals[name]) for name, digest in digests.items())
    assert cache_keys.tag_of(digests) == cache_keys.tag(inputs, ignored) == f"flyte_cached-{_whole(counted)}"


def _whole(inputs: literals_pb2.LiteralMap) -> str:
    return encoded(object_hash(inputs))


def test_an_input_with_a_hash_of_its_own_is_told_by_it() -> None:
    hashed, other = (literal({"scalar": {"none_type": {}}, "hash": text}) for text in ("same", "other"))
    digests = cache_keys.input_digests(literals_pb2.LiteralMap(literals={"a": hashed, "b": hashed, "c": other}))
    assert digests["a"] == digests["b"] != digests["c"]


def test_an_input_without_json_form_has_no_tag() -> None:
    endless = literals_pb2.Literal()
    endless.scalar.generic["a"] = float("inf")
    with pytest.raises(ValueError, match="no hash"):
        cache_keys.tag(literals_pb2.LiteralMap(literals={"x": endless}))


@pytest.mark.parametrize(
    ("number", "content"),
    [
        (0, "f+0:"),
        (-0.0, "f+0:"),
        (1, "f+0:1"),
        (2, "f+1:1"),
        (3, "f+2:011"),
        (0.5, "f+-1:1"),
        (-7.25, "f-3:011101"),
        (5e-324, "f+-1074:1"),
    ],
)
def test_numbers_are_hashed_by_their_binary_digits(number: float, content: str) -> None:
    assert json_hash(number) == hashlib.sha256(content.encode()).digest()


@given(st.floats(allow_nan=False, allow_infinity=False, exclude_min=True, min_value=0))
def test_every_number_is_halved_or_doubled_into_its_mantissa(number: float) -> None:
    """Against the rule as it is written down, step by step."""
    mantissa, exponent, digits = number, 0, ""
    while mantissa > 1:
        mantissa, exponent = mantissa / 2, exponent + 1
    while mantissa <= 0.5:
        mantissa, exponent = mantissa * 2, exponent - 1
    while mantissa:
        if mantissa >= 1:
            digits, mantissa = digits + "1", mantissa - 1
        else:
            digits += "0"
        mantissa *= 2
    assert json_hash(number) == hashlib.sha256(f"f+{exponent}:{digits}".encode()).digest()
    assert json_hash(-number) == hashlib.sha256(f"f-{exponent}:{digits}".encode()).digest()


def test_true_is_not_one_and_entries_have_no_order() -> None:
    assert json_hash(True) != json_hash(1)
    assert json_hash(None) != json_hash(False)
    assert json_hash({"a": 1, "b": 2}) == json_hash({"b": 2, "a": 1})
    assert json_hash([1, 2]) != json_hash([2, 1])


def test_what_is_no_task_has_datasets_of_other_names() -> None:
    found: dict[str, str] = {}
    for kind in (TASK, WORKFLOW, LAUNCH_PLAN):
        entity = Identifier(resource_type=kind, project="project", domain="domain", name="name")
        dataset = cache_keys.dataset(entity, interface_pb2.TypedInterface(), "1")
        assert dataset.version == version(None, "1")
        found[ResourceType.Name(kind)] = dataset.name
    assert found == {
        "TASK": "flyte_task-name",
        "WORKFLOW": "flightlog_workflow-name",
        "LAUNCH_PLAN": "flightlog_launch_plan-name",
    }


@pytest.mark.parametrize("kind", [TASK, WORKFLOW, LAUNCH_PLAN])
def test_a_dataset_tells_whose_results_it_holds(kind: ResourceType) -> None:
    entity = Identifier(resource_type=kind, project="p", domain="d", name="flyte_task-x.y-z")
    found = cache_keys.dataset(entity, interface_pb2.TypedInterface(), "1")
    assert cache_keys.entity_name(found.name) == entity.name
    assert cache_keys.entity_name("a client's own") == "a client's own"
