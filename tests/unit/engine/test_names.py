"""Generated names: the check vectors of engine-semantics §3.4 and §3.6, and what must hold for all."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.execution.engine import names

EXECUTION = "akmhktsb8cz8hwmv4ldf"


def test_generated_name_that_fits_is_plain() -> None:
    assert names.generated_name(EXECUTION, "n0", 0) == "akmhktsb8cz8hwmv4ldf-n0-0"


def test_long_node_id_is_hashed_alone() -> None:
    name = names.generated_name("a1b2c3d4e5f6g7h8i9j0", "a-very-long-node-name-from-user", 2)
    assert name == "a1b2c3d4e5f6g7h8i9j0-f24kxjxa-2"


def test_child_execution_name_is_hashed() -> None:
    assert names.child_execution_name(EXECUTION, "n0", 0) == "fnljnygmunr6jo"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("akmhktsb8cz8hwmv4ldf-n0-0", "v9"),
        # As recorded.
        ("aqj76zfdphmm2684jwxx-n0-0-n0-0", "al"),
        ("aqj76zfdphmm2684jwxx-n0-0-n1-0", "m2"),
        ("aqj76zfdphmm2684jwxx-n1-0", "l0"),
        ("alst2vmr7nppv65jn5d5-n0-0", "la"),
        ("azwjkbstncfdwkd96ht7-n1-0", "cb"),
    ],
)
def test_shard(name: str, expected: str) -> None:
    assert names.shard(name) == expected


def test_unique_id_of_children() -> None:
    assert names.unique_node_id("", 0, "a" * 40) == "a" * 40
    assert names.unique_node_id("n0", 0, "start-node") == "n0-0-start-node"
    assert len(names.unique_node_id("n0-0-n1", 2, "a-node-with-a-name")) == 8


@given(st.text("abc-019", min_size=1, max_size=30), st.text("abcn-0", min_size=1, max_size=60), st.integers(0, 12))
def test_names_are_short_and_distinguish_attempts(execution: str, node: str, attempt: int) -> None:
    name = names.generated_name(execution, node, attempt)
    assert len(name) <= names.GENERATED_NAME_LIMIT
    assert name != names.generated_name(execution, node, attempt + 1)
    assert re.fullmatch("[a-z0-9]{2}", names.shard(name))
    assert len(names.unique_node_id("n0", attempt, node)) <= names.NODE_ID_LIMIT
