"""By what two cache keys differ: exactly by the parts that are not the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flyteidl.core.identifier_pb2 import DATASET, TASK, Identifier
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import INTEGER
from hypothesis import given
from hypothesis import strategies as st

from flightlog_protos.catalog.v1.cache_pb2 import CacheKey, InputHash
from flightlog_types import cache_keys
from services.catalog.looking.keys import Parts, Version, differences, entity_name

NAMES = st.sampled_from(["a", "b", "c", "x y", ""])
HASHES = st.sampled_from(["h1", "h2", "h3"])
VERSIONS = st.builds(
    Version, NAMES, st.sampled_from(["GKw-c0Pw", "-_aaaaa-"]), st.sampled_from(["12345678", "--------"])
)
PARTS = st.builds(
    lambda project, domain, name, version, inputs: Parts(
        project, domain, name, version, repr(sorted(inputs.items())), inputs
    ),
    NAMES,
    NAMES,
    NAMES,
    VERSIONS,
    st.dictionaries(NAMES, HASHES),
)


@given(PARTS, PARTS)
def test_the_parts_that_differ_are_told_and_no_others(here: Parts, there: Parts) -> None:
    expected = {
        part: (ours, theirs)
        for part, ours, theirs in (
            ("project", here.project, there.project),
            ("domain", here.domain, there.domain),
            ("name", here.name, there.name),
            ("cache version", here.version.cache, there.version.cache),
            ("inputs' interface", here.version.inputs, there.version.inputs),
            ("outputs' interface", here.version.outputs, there.version.outputs),
        )
        if ours != theirs
    }
    assert here.inputs is not None
    assert there.inputs is not None
    for name in here.inputs.keys() | there.inputs.keys():
        if here.inputs.get(name) != there.inputs.get(name):
            expected[f"input {name}"] = (here.inputs.get(name, ""), there.inputs.get(name, ""))
    found = differences(here, there)
    assert {part: (ours, theirs) for part, ours, theirs in found} == expected
    assert len(found) == len(expected)


@given(PARTS, PARTS)
def test_it_is_the_same_from_both_sides(here: Parts, there: Parts) -> None:
    assert [(part, theirs, ours) for part, ours, theirs in differences(here, there)] == differences(there, here)


@given(PARTS, PARTS)
def test_inputs_that_are_not_known_differ_as_a_whole(here: Parts, there: Parts) -> None:
    found = differences(here, replace(there, inputs=None))
    inputs = [one for one in found if one.part.startswith("input ") or one.part == "inputs"]
    assert inputs == ([] if here.tag == there.tag else [("inputs", here.tag, there.tag)])


@given(st.text(), st.text(alphabet="abc-_", min_size=8, max_size=8), st.text(alphabet="abc-_", min_size=8, max_size=8))
def test_a_version_comes_apart_as_it_was_put_together(cache: str, inputs: str, outputs: str) -> None:
    assert Version.of(f"{cache}-{inputs}-{outputs}") == (cache, inputs, outputs)


@pytest.mark.parametrize("version", ["", "1", "2024-01-01", "1-GKw-c0Pw", "-"])
def test_a_version_that_no_engine_made_is_taken_whole(version: str) -> None:
    assert Version.of(version) == (version, "", "")


def test_a_key_of_the_engine_is_understood() -> None:
    interface = TypedInterface()
    interface.inputs.variables["x"].type.simple = INTEGER
    task = Identifier(resource_type=TASK, project="p", domain="d", name="m.flyte_task-f", version="v1")
    dataset = cache_keys.dataset(task, interface, " 1.0-beta ")
    parts = Parts.of(CacheKey(dataset=dataset, tag="t"), [InputHash(name="x", hash="h")])
    assert (parts.project, parts.domain, parts.name, parts.version.cache) == ("p", "d", "m.flyte_task-f", "1.0-beta")
    assert parts.version.outputs == "GKw-c0Pw"
    assert parts.inputs == {"x": "h"}


def test_a_key_without_inputs_is_told_from_one_whose_inputs_are_not_known() -> None:
    dataset = Identifier(resource_type=DATASET, project="p", domain="d", name="d", version="1")
    none = Parts.of(CacheKey(dataset=dataset, tag=cache_keys.tag(LiteralMap())), [])
    unknown = Parts.of(CacheKey(dataset=dataset, tag="made by hand"), [])
    assert (none.inputs, unknown.inputs) == ({}, None)


def test_names_of_clients_datasets_stay_as_they_are() -> None:
    assert entity_name(CacheKey(dataset=Identifier(name="my results"))) == "my results"
