"""From the compiled bindings of a node to the literals it gets.

Bindings are compiled once per program into small sources; a node's inputs are resolved from the outputs of the nodes
named in them. Nothing is converted and no union is wrapped: what an upstream node wrote is what the downstream one
reads (engine-semantics §2.4, §7.1).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from flyteidl.core.literals_pb2 import BindingData, Literal, LiteralMap, Scalar, Void
from flyteidl.core.types_pb2 import PromiseAttribute

from services.execution.engine.attributes import AttributeMissing, follow

START_NODE: Final = "start-node"
_ELEMENT: Final = re.compile(r"^\[(\d+)\]\.(.+)$")
_NONE: Final = Literal(scalar=Scalar(none_type=Void()))


class BindingFailed(Exception):
    """An input has no value: an upstream output or an attribute in it is missing."""


@dataclass(frozen=True, slots=True)
class Constant:
    literal: Literal


@dataclass(frozen=True, slots=True)
class Promise:
    """An output of another node of the same workflow, by the node's id in the compiled workflow."""

    node: str
    var: str
    path: tuple[PromiseAttribute, ...] = ()
    # Set for `[i].name`: an element of the collection `name`.
    element: int | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """A collection built from several sources."""

    sources: tuple["Source", ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A map built from several sources."""

    sources: tuple[tuple[str, "Source"], ...]


Source = Constant | Promise | Items | Entries

Inputs = tuple[tuple[str, Source], ...]
"""Name and source of every input of a node."""


Aliases = Mapping[tuple[str, str], str]
"""Other names of outputs: node and alias to variable."""


def compiled(binding: BindingData, aliases: Aliases) -> Source:
    """The source that a binding describes. An empty binding is the None value."""
    match binding.WhichOneof("value"):
        case "scalar":
            return Constant(Literal(scalar=binding.scalar))
        case "promise":
            promise = binding.promise
            node = promise.node_id or START_NODE
            name = aliases.get((node, promise.var), promise.var)
            element = _ELEMENT.match(name)
            return Promise(
                node=node,
                var=element[2] if element else name,
                path=tuple(promise.attr_path),
                element=int(element[1]) if element else None,
            )
        case "collection":
            return Items(tuple(compiled(item, aliases) for item in binding.collection.bindings))
        case "map":
            entries = binding.map.bindings
            return Entries(tuple((key, compiled(entries[key], aliases)) for key in sorted(entries)))
        case "offloaded_metadata":
            return Constant(Literal(offloaded_metadata=binding.offloaded_metadata))
        case _:
            return Constant(_NONE)


def promised_nodes(source: Source) -> Iterable[str]:
    """Ids of the nodes whose outputs a source reads."""
    return (promise.node for promise in promises(source))


def promises(source: Source) -> Iterable[Promise]:
    """The outputs of other nodes that a source reads."""
    match source:
        case Promise():
            yield source
        case Items(sources=sources):
            for item in sources:
                yield from promises(item)
        case Entries(sources=entries):
            for _, item in entries:
                yield from promises(item)
        case Constant():
            return


def constants(source: Source) -> Iterable[Constant]:
    """The values that a source has by itself."""
    match source:
        case Constant():
            yield source
        case Items(sources=sources):
            for item in sources:
                yield from constants(item)
        case Entries(sources=entries):
            for _, item in entries:
                yield from constants(item)
        case Promise():
            return


Outputs = Mapping[str, LiteralMap]
"""Outputs of nodes by their ids in the compiled workflow."""


Whole = Callable[[Literal], Literal]
"""Gives the literal itself where an offloaded one stands for it."""


def resolved(inputs: Inputs, outputs: Outputs, whole: Whole) -> LiteralMap:
    """The inputs of a node. `whole` is asked where a binding looks into a literal; what it raises is passed on.

    Raises:
        BindingFailed: an output or an attribute that a binding names does not exist.
    """
    found = LiteralMap()
    for name, source in inputs:
        try:
            _fill(found.literals[name], source, outputs, whole)
        except AttributeMissing as error:
            raise BindingFailed(f"Error binding Var [{name}]: {error}") from error
    return found


def _fill(target: Literal, source: Source, outputs: Outputs, whole: Whole) -> None:
    match source:
        case Constant(literal=literal):
            target.CopyFrom(literal)
        case Promise():
            target.CopyFrom(_promised(source, outputs, whole))
        case Items(sources=sources):
            target.collection.SetInParent()
            add = target.collection.literals.add
            for item in sources:
                _fill(add(), item, outputs, whole)
        case Entries(sources=entries):
            target.map.SetInParent()
            for key, item in entries:
                _fill(target.map.literals[key], item, outputs, whole)


def _promised(promise: Promise, outputs: Outputs, whole: Whole) -> Literal:
    literals = outputs[promise.node].literals
    if promise.var not in literals:
        raise BindingFailed(f"Outputs of node [{promise.node}] have no variable [{promise.var}]")
    literal = literals[promise.var]
    if promise.element is not None:
        literal = whole(literal)
        items = literal.collection.literals
        if literal.WhichOneof("value") != "collection" or promise.element >= len(items):
            raise BindingFailed(f"Output [{promise.var}] of node [{promise.node}] has no element [{promise.element}]")
        literal = items[promise.element]
    return follow(literal, promise.path, whole) if promise.path else literal
