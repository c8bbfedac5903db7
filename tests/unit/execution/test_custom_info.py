"""What plugins say is merged as JSON merge patches are (RFC 7386), in whatever order it comes."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from services.execution.projection import custom_info

_KEYS = st.sampled_from(["a", "b", "c"])
_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3), st.lists(st.integers(0, 9), max_size=2)
    ),
    lambda inner: st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(_KEYS, _VALUES, max_size=3)


def patched(target: Any, patch: Any) -> Any:
    """As the RFC has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


@given(st.lists(_DOCUMENTS, max_size=4))
def test_documents_are_merged_as_patches(documents: list[dict[str, Any]]) -> None:
    expected: Any = {}
    found = Struct()
    for document in documents:
        expected = patched(expected, document)
        custom_info.merge(found, json_format.ParseDict(document, Struct()))
    assert json_format.MessageToDict(found) == expected
