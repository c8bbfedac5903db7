"""Where the data of literals lies that hold none themselves: files, folders, frames, and values that were offloaded."""

from collections.abc import Iterable, Iterator

from flyteidl.core.literals_pb2 import Literal, LiteralMap

Way = tuple[str | int, ...]
"""Into a literal: elements by number, entries by name."""


def addresses(literals: LiteralMap | Iterable[Literal]) -> list[str]:
    """Every address in the literals, each once, in order of the variables' names or as given.

    What lies inside of structures (dataclasses, dicts) is not looked for: there an address is a text like any other.
    """
    if isinstance(literals, LiteralMap):
        literals = [literals.literals[name] for name in sorted(literals.literals)]
    return list(dict.fromkeys(address for literal in literals for _, address in located(literal)))


def located(literal: Literal) -> Iterator[tuple[Way, str]]:
    """The addresses of one literal, each with the way to it; () for the literal itself."""
    return ((way, address) for way, address, _ in lying(literal))


def lying(literal: Literal) -> Iterator[tuple[Way, str, Literal]]:
    """Likewise, with the literals that stand for what lies there."""
    # However deep literals lie in one another, this takes no recursion.
    left: list[tuple[Way, Literal]] = [((), literal)]
    while left:
        path, found = left.pop()
        match found.WhichOneof("value"):
            case "scalar" if found.scalar.WhichOneof("value") == "union":
                left.append((path, found.scalar.union.value))
            case "scalar":
                address = _of_scalar(found)
                if address:
                    yield path, address, found
            case "collection":
                items = enumerate(found.collection.literals)
                left.extend(reversed([((*path, index), item) for index, item in items]))
            case "map":
                entries = found.map.literals
                left.extend(((*path, key), entries[key]) for key in sorted(entries, reverse=True))
            case "offloaded_metadata" if found.offloaded_metadata.uri:
                yield path, found.offloaded_metadata.uri, found
            case _:
                pass


def is_below(address: str, prefix: str) -> bool:
    """Whether something lies in a folder, or is it. An empty prefix holds nothing."""
    prefix = prefix.rstrip("/")
    return bool(prefix) and (address == prefix or address.startswith(f"{prefix}/"))


def elsewhere(found: Iterable[str], prefix: str) -> list[str]:
    """Those addresses that are not below a prefix."""
    return [address for address in found if not is_below(address, prefix)]


def _of_scalar(literal: Literal) -> str:
    scalar = literal.scalar
    match scalar.WhichOneof("value"):
        case "blob":
            return scalar.blob.uri
        case "schema":
            return scalar.schema.uri
        case "structured_dataset":
            return scalar.structured_dataset.uri
        case _:
            return ""
