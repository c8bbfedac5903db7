"""Whether what is bound to a node's inputs fits them (admin-contract §3.4, engine-semantics §2.3)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flyteidl.core import literals_pb2, types_pb2, workflow_pb2
from google.protobuf.message import Message

from flightlog_compiler import errors
from flightlog_compiler.errors import CompileErrors, Problems
from flightlog_compiler.shaping import START_NODE
from flightlog_types import accepts_none, castable, is_known, prototext, scalar_type

_ELEMENT = re.compile(r"\[(?P<index>[0-9]+)\]\.(?P<name>.+)")
_UNKNOWN = types_pb2.LiteralType()
_MAX_TRIALS = 20_000

Types = Mapping[str, types_pb2.LiteralType]
"""Variable name to type."""


@dataclass(frozen=True)
class Interface:
    """What a node takes and gives."""

    inputs: Types
    outputs: Types


@dataclass(frozen=True)
class Producers:
    """The nodes whose outputs others may bind, by id."""

    nodes: Mapping[str, workflow_pb2.Node]
    outputs: Mapping[str, Types | None]
    """None for a node whose own problems keep its outputs unknown: whoever binds them is not blamed as well."""


@dataclass
class BindingCheck:
    """Checks the bindings of one node and notes whose outputs it needs."""

    producers: Producers
    consumer: workflow_pb2.Node
    problems: Problems
    needed: set[str] = field(default_factory=set[str])
    """Ids of the nodes that the bindings checked so far refer to."""
    _trials: int = 0

    def check(self, bindings: Iterable[literals_pb2.Binding], declared: Types) -> None:
        """Every declared input is bound once to something of its type, and nothing else is bound."""
        bound: set[str] = set()
        for binding in bindings:
            name = binding.var
            if name not in declared:
                self.problems.add(errors.variable_not_found(self.consumer.id, name))
            elif not binding.HasField("binding"):
                self.problems.add(errors.value_required(self.consumer.id, "Binding"))
            elif name in bound:
                self.problems.add(errors.bound_twice(self.consumer.id, name))
            else:
                bound.add(name)
                self._resolve(name, binding.binding, declared[name], self.problems)
        for name in declared.keys() - bound:
            if not accepts_none(declared[name]):
                self.problems.add(errors.not_bound(self.consumer.id, name))

    def infer(self, bindings: Iterable[literals_pb2.Binding]) -> dict[str, types_pb2.LiteralType]:
        """The types of inputs that are declared by nothing but their bindings (branches, approvals)."""
        inferred: dict[str, types_pb2.LiteralType] = {}
        for binding in bindings:
            if not binding.HasField("binding"):
                self.problems.add(errors.value_required(self.consumer.id, "Binding"))
            elif binding.var in inferred:
                self.problems.add(errors.bound_twice(self.consumer.id, binding.var))
            else:
                inferred[binding.var] = self._resolve(binding.var, binding.binding, None, self.problems) or _UNKNOWN
        return inferred

    def _resolve(
        self,
        name: str,
        binding: literals_pb2.BindingData,
        expected: types_pb2.LiteralType | None,
        problems: Problems,
    ) -> types_pb2.LiteralType | None:
        """The type of what is bound; None when it was reported or cannot be known."""
        match binding.WhichOneof("value"):
            case "scalar":
                return self._resolve_scalar(name, binding.scalar, expected, problems)
            case "promise":
                return self._resolve_promise(name, binding.promise, expected, problems)
            case "collection" | "map" | None if expected is not None and expected.WhichOneof("type") == "union_type":
                return self._resolve_variant(name, binding, expected, problems)
            case "collection":
                if expected is not None and expected.WhichOneof("type") != "collection_type":
                    return self._mismatching(name, binding.collection, expected, problems)
                element = None if expected is None else expected.collection_type
                elements = binding.collection.bindings
                return types_pb2.LiteralType(collection_type=self._merged(name, elements, element, problems))
            case "map":
                if expected is not None and expected.WhichOneof("type") != "map_value_type":
                    return self._mismatching(name, binding.map, expected, problems)
                element = None if expected is None else expected.map_value_type
                values = [binding.map.bindings[key] for key in sorted(binding.map.bindings)]
                return types_pb2.LiteralType(map_value_type=self._merged(name, values, element, problems))
            case "offloaded_metadata":
                given = binding.offloaded_metadata.inferred_type
                return self._fitting(name, given, expected, problems)
            case _:
                return self._mismatching(name, None, expected, problems)

    def _mismatching(
        self, name: str, given: Message | None, expected: types_pb2.LiteralType | None, problems: Problems
    ) -> None:
        # The text repeats what was given, which is too dear where it will not be read.
        printed = "" if given is None or problems.trial else prototext(given)
        wanted = _UNKNOWN if expected is None else expected
        problems.add(errors.mismatching_bindings(self.consumer.id, name, wanted, printed))

    def _resolve_scalar(
        self,
        name: str,
        scalar: literals_pb2.Scalar,
        expected: types_pb2.LiteralType | None,
        problems: Problems,
    ) -> types_pb2.LiteralType | None:
        given = scalar_type(scalar)
        if not is_known(given):
            problems.add(errors.unrecognized_value(self.consumer.id, scalar.WhichOneof("value") or "nothing"))
            return None
        fitting = self._fitting(name, given, expected, problems)
        if expected is not None and expected.WhichOneof("type") == "enum_type":
            value = scalar.primitive.string_value
            if value not in expected.enum_type.values:
                problems.add(errors.illegal_enum_value(self.consumer.id, name, value, expected.enum_type.values))
        return fitting

    def _resolve_promise(
        self,
        name: str,
        promise: types_pb2.OutputReference,
        expected: types_pb2.LiteralType | None,
        problems: Problems,
    ) -> types_pb2.LiteralType | None:
        producer_id = promise.node_id or START_NODE
        producer = self.producers.nodes.get(producer_id)
        if producer is None:
            problems.add(errors.node_not_found(producer_id, producer_id))
            problems.add(errors.not_bound(self.consumer.id, name))
            return None
        self.needed.add(producer_id)
        outputs = self.producers.outputs[producer_id]
        if outputs is None:
            return None
        element = _ELEMENT.fullmatch(promise.var)
        if promise.var.startswith("[") and element is None:
            problems.add(errors.syntax_error(self.consumer.id, promise.var))
            return None
        given = outputs.get(element["name"] if element else promise.var)
        if given is None:
            problems.add(errors.variable_not_found(producer_id, promise.var))
            problems.add(errors.not_bound(self.consumer.id, name))
            return None
        output, variable = _qualified(producer, promise.var), _qualified(self.consumer, name)
        if element:
            if given.WhichOneof("type") != "collection_type":
                wanted = expected if expected is not None else _UNKNOWN
                problems.add(errors.mismatching_variables(self.consumer.id, output, given, variable, wanted))
                return None
            given = given.collection_type
        reached = self._follow(promise, given, problems)
        if reached is None or not is_known(reached):
            return None
        if expected is not None and not castable(reached, expected):
            problems.add(errors.mismatching_variables(self.consumer.id, output, reached, variable, expected))
            return None
        return reached

    def _follow(
        self, promise: types_pb2.OutputReference, given: types_pb2.LiteralType, problems: Problems
    ) -> types_pb2.LiteralType | None:
        """The type at the end of an attribute path; a step into something without known parts changes nothing."""
        for attribute in promise.attr_path:
            kind = given.WhichOneof("type")
            if kind == "collection_type":
                given = given.collection_type
            elif kind == "map_value_type":
                given = given.map_value_type
            elif fields := given.structure.dataclass_type:
                if attribute.string_value not in fields:
                    error = errors.field_not_found(self.consumer.id, promise.var, given, attribute.string_value)
                    problems.add(error)
                    return None
                given = fields[attribute.string_value]
        return given

    def _resolve_variant(
        self, name: str, binding: literals_pb2.BindingData, expected: types_pb2.LiteralType, problems: Problems
    ) -> types_pb2.LiteralType | None:
        """A list or map bound to a union must fit exactly one of its variants."""
        chosen: tuple[types_pb2.LiteralType, types_pb2.LiteralType | None] | None = None
        for variant in expected.union_type.variants:
            self._trials += 1
            if self._trials > _MAX_TRIALS:
                # Unions in unions multiply what there is to try; no program comes near this.
                raise CompileErrors([errors.too_complex(self.consumer.id, name)])
            trial = Problems(trial=True)
            resolved = self._resolve(name, binding, variant, trial)
            if trial:
                continue
            if chosen is not None:
                variants = (chosen[0], variant)
                problems.add(errors.ambiguous_union(self.consumer.id, name, expected, binding, variants))
                return None
            chosen = variant, resolved
        if chosen is None:
            # The text repeats the whole binding, which is too dear where it will not be read.
            unread = errors.not_bound(self.consumer.id, name)
            problems.add(
                unread if problems.trial else errors.incompatible_union(self.consumer.id, name, expected, binding)
            )
            return None
        return chosen[1]

    def _merged(
        self,
        name: str,
        bindings: Iterable[literals_pb2.BindingData],
        expected: types_pb2.LiteralType | None,
        problems: Problems,
    ) -> types_pb2.LiteralType:
        """The one type of all elements; NONE when there are none, which is castable to any element type."""
        merged = types_pb2.LiteralType(simple=types_pb2.NONE)
        for binding in bindings:
            merged = self._resolve(name, binding, expected, problems) or merged
        return merged

    def _fitting(
        self,
        name: str,
        given: types_pb2.LiteralType,
        expected: types_pb2.LiteralType | None,
        problems: Problems,
    ) -> types_pb2.LiteralType | None:
        if expected is None or castable(given, expected):
            return given
        problems.add(errors.mismatching_types(self.consumer.id, name, given, expected))
        return None


def promised_nodes(bindings: Iterable[literals_pb2.Binding]) -> set[str]:
    """The ids of the nodes that bindings refer to, whether or not those exist."""
    found: set[str] = set()
    waiting = [binding.binding for binding in bindings]
    while waiting:
        binding = waiting.pop()
        match binding.WhichOneof("value"):
            case "promise":
                found.add(binding.promise.node_id or START_NODE)
            case "collection":
                waiting.extend(binding.collection.bindings)
            case "map":
                waiting.extend(binding.map.bindings.values())
            case _:
                continue
    return found


def _qualified(node: workflow_pb2.Node, variable: str) -> str:
    return f"{node.metadata.name}.{variable}" if node.HasField("metadata") else variable
