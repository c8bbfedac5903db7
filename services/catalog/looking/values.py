"""Literals as short texts for people, and which value a hash in a key was made of. Pure."""

from __future__ import annotations

import re
from typing import Final

from flyteidl.core.literals_pb2 import Literal, LiteralMap

from flightlog_types import cache_keys
from flightlog_types.literal_texts import LONGEST, shortened, text
from flightlog_types.object_hash import encoded

__all__ = ["LONGEST", "element_of", "shortened", "text", "value_of"]

_ELEMENT: Final = re.compile(r"-n(\d+)$")


def element_of(node_id: str) -> int | None:
    """The index of an array's element, by its node's id (engine-semantics §3.6); None for any other node's."""
    found = _ELEMENT.search(node_id)
    return None if found is None else int(found[1])


def value_of(name: str, digest: str, inputs: LiteralMap | None, element: int | None) -> Literal | None:
    """The input that a hash was made of.

    Args:
        inputs: of the node, or of the array that it is an element of.
        element: index of such an element.

    Returns:
        None where the inputs are not known, or hold no such value.
    """
    if inputs is None or name not in inputs.literals:
        return None
    literal = inputs.literals[name]
    if _hash(literal) == digest:
        return literal
    items = literal.collection.literals
    if element is not None and element < len(items) and _hash(items[element]) == digest:
        return items[element]
    return None


def _hash(literal: Literal) -> str | None:
    try:
        (found,) = cache_keys.input_digests(LiteralMap(literals={"": literal})).values()
    except ValueError:
        return None
    return encoded(found)
