"""Whether two literals are the same value. Pure.

What lies elsewhere is the same when its hash is, or what its author said counts of it (`Literal.hash`), or when it lies
at the same address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flyteidl.core.literals_pb2 import Literal, LiteralMap

from flightlog_types.addresses import lying
from flightlog_types.literal_texts import text


def alike(before: Literal, after: Literal, contents: Mapping[str, str]) -> bool:
    """Whether two literals are the same value.

    Args:
        contents: what is known of what lies at addresses, as a text that is the same for the same bytes.
    """
    if before == after or (before.hash and before.hash == after.hash):
        return True
    return _by_content(before, contents) == _by_content(after, contents)


def unlike(
    before: LiteralMap, after: LiteralMap, contents: Mapping[str, str]
) -> Iterator[tuple[str, Literal | None, Literal | None]]:
    """The variables that differ, by name; None where there is none of that name."""
    for name in sorted({*before.literals, *after.literals}):
        ours = before.literals.get(name)
        theirs = after.literals.get(name)
        if ours is None or theirs is None or not alike(ours, theirs, contents):
            yield name, ours, theirs


def shown(literal: Literal | None) -> str:
    """A value on one line; of nothing, nothing."""
    return "" if literal is None else text(literal)


def _by_content(literal: Literal, contents: Mapping[str, str]) -> Literal:
    """A copy that names content instead of places, as far as it is known."""
    copy = Literal()
    copy.CopyFrom(literal)
    for _, address, found in lying(copy):
        content = f"hash {found.hash}" if found.hash else contents.get(address)
        if content is not None:
            _put(found, content)
    return copy


def _put(literal: Literal, content: str) -> None:
    """Writes a text where the literal's address stands."""
    if literal.WhichOneof("value") == "offloaded_metadata":
        literal.offloaded_metadata.uri = content
        return
    match literal.scalar.WhichOneof("value"):
        case "blob":
            literal.scalar.blob.uri = content
        case "schema":
            literal.scalar.schema.uri = content
        case "structured_dataset":
            literal.scalar.structured_dataset.uri = content
        case _:
            pass
