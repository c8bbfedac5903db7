"""From a value to the step that made it, and to the steps that took it, across executions.

Executions are linked by launch-plan nodes (parent and child), by results that were taken from the cache or recovered,
and by addresses: what lies below the raw output prefix of an attempt was made by it, whoever says where it lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types.addresses import addresses, is_below, located
from services.catalog.lineage.programs import Path, shown
from services.catalog.lineage.runs import RAN, NodeRun, Run
from services.catalog.lineage.sources import Mention, Sources
from services.catalog.lineage.tracing import INPUTS, OUTPUTS, Origin, Trace, Value
from services.catalog.subjects import ExecutionKey

MOST_ADDRESSES = 1000
"""Of one value: of a longer collection, the first ones are followed."""


class StepId(NamedTuple):
    """A node that ran; with "" an execution that was started."""

    execution: ExecutionKey
    node_id: str


class Input(NamedTuple):
    """What a step takes, and as what: `rows[1] <- [2].path`."""

    label: str
    value: Value


class Production(NamedTuple):
    step: StepId
    label: str
    inputs: list[Input]


class Consumption(NamedTuple):
    step: StepId
    label: str
    # What comes of it, with the names it has there.
    outputs: list[Input]


class Links:
    """Answers one question about lineage; what it has looked up, it remembers."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._made: dict[tuple[str, int], list[Origin]] = {}
        # By execution: who took which of its results.
        self._reused_by: dict[ExecutionKey, dict[Value, list[Consumption]]] = {}

    async def literal(self, value: Value) -> Literal | None:
        """A value itself; None when it is gone, or when it is something that no variable names."""
        trace = await self._sources.trace(value.execution)
        if trace is None or not value.var:
            return None
        if value in trace.constants:
            return trace.constants[value]
        run = trace.run
        node = run.nodes.get(value.node_id)
        reference = run.inputs if value.side == INPUTS else node.outputs if node is not None else run.outputs
        literals = await self._sources.literals(reference)
        return literals.literals.get(value.var) if literals is not None else None

    async def settled(self, origin: Origin) -> list[Origin]:
        """Where it comes from, through the executions of launch-plan nodes."""
        value = origin.value
        if value.node_id or value.side == INPUTS:
            return [origin]
        trace = await self._sources.trace(value.execution)
        if trace is None or value in trace.constants:
            return [origin]
        found: list[Origin] = []
        for inner in trace.result(value.var, origin.path):
            found.extend(one._replace(place=(*origin.place, *one.place)) for one in await self.settled(inner))
        return found

    async def producer(self, value: Value) -> Production | None:
        """The step that made a value; None when it came from outside, or nothing is known of that any more."""
        trace = await self._sources.trace(value.execution)
        if trace is None:
            return None
        run = trace.run
        if value in trace.constants:
            giver = trace.giver(value)
            if giver is not None:
                return Production(StepId(run.key, giver.id), _given_as(value), await self._inputs(trace, giver))
            return await self._from_addresses(run, value, trace.constants[value])
        if not value.node_id:
            return await self._started(run, value) if value.side == INPUTS else None
        node = run.nodes.get(value.node_id)
        if node is None:
            return None
        label = value.var or value.at
        if node.how != RAN:
            return Production(StepId(run.key, node.id), label, await self._reused(node, value.var))
        return Production(StepId(run.key, node.id), label, await self._inputs(trace, node))

    async def consumers(self, value: Value) -> list[Consumption]:
        """The steps that took a value."""
        trace = await self._sources.trace(value.execution)
        if trace is None:
            return []
        found = await self._uses(trace, value)
        found += await self._reuses(trace, value)
        found += await self._outside(trace, value)
        seen = {value}
        left = [(trace, value)]
        while left:
            inner, held = left.pop()
            parent = inner.run.parent
            outer = None if parent is None else await self._sources.trace(_key(parent))
            if outer is None:
                continue
            for var in dict.fromkeys(var for var, _ in inner.results_with(held)):
                result = Value(inner.run.key, "", OUTPUTS, var)
                if result not in seen:
                    seen.add(result)
                    found += await self._uses(outer, result, value)
                    found += await self._reuses(outer, value)
                    left.append((outer, result))
        return found

    async def at_address(self, address: str, before: int = 0) -> list[Origin]:
        """What a step made that lies at an address; of several, the last before a sequence of the log."""
        key = (address, before)
        if key not in self._made:
            self._made[key] = await self._find(address, before)
        return self._made[key]

    async def given_at(self, address: str) -> list[Value]:
        """What executions were given, or have as constants, that lies at an address or below it."""
        found: list[Value] = []
        for mention in await self._sources.users([address]):
            trace = await self._sources.trace(mention.execution)
            if trace is not None and not mention.node_id:
                found += [value for value, _ in await self._mentioned(trace, mention.address)]
        return list(dict.fromkeys(found))

    async def outputs_of(self, step: StepId) -> list[Input]:
        """What a step made: its outputs, and what a dynamic node's task gave to the nodes it asked for."""
        trace = await self._sources.trace(step.execution)
        node = None if trace is None else trace.run.nodes.get(step.node_id)
        if trace is None or node is None:
            return []
        if node.plan is not None and node.how == RAN:
            return [Input(_given_as(value), value) for value in trace.given_by(node)]
        literals = await self._sources.literals(node.outputs)
        names = [] if literals is None else sorted(literals.literals)
        return [Input(name, Value(step.execution, node.id, OUTPUTS, name)) for name in names]

    # -- where a value comes from

    async def _inputs(self, trace: Trace, node: NodeRun) -> list[Input]:
        found: dict[Input, None] = {}
        for var, origins in trace.inputs(node).items():
            for origin in origins:
                for settled in await self.settled(origin):
                    found[Input(label_of(var, settled), settled.value)] = None
        taken = {one.value for one in found}
        for address in node.addresses[:MOST_ADDRESSES]:
            for origin in await self.at_address(address, trace.run.sequence):
                value = origin.value
                if value not in taken and (value.execution, value.node_id) != (trace.run.key, node.id):
                    found[Input(label_of("", origin), value)] = None
        return list(found)

    async def _reused(self, node: NodeRun, var: str) -> list[Input]:
        """A result that was taken from another node is that node's, variable by variable."""
        if node.source is None or not var:
            return []
        source = await self._sources.trace(_key(node.source))
        origins = [] if source is None else source.value(node.source.node_id, OUTPUTS, var)
        settled = [one for origin in origins for one in await self.settled(origin)]
        return [Input(label_of(var, origin), origin.value) for origin in settled]

    async def _started(self, run: Run, value: Value) -> Production | None:
        """An execution's input: of the parent's node, or from where its data lies."""
        parent = run.parent
        if parent is None:
            literals = await self._sources.literals(run.inputs)
            literal = None if literals is None else literals.literals.get(value.var)
            return None if literal is None else await self._from_addresses(run, value, literal)
        outer = await self._sources.trace(_key(parent))
        node = None if outer is None else outer.run.nodes.get(parent.node_id)
        if outer is None or node is None:
            return None
        settled = [one for origin in outer.input(node, value.var) for one in await self.settled(origin)]
        inputs = [Input(label_of(value.var, origin), origin.value) for origin in settled]
        return Production(StepId(run.key, ""), value.var, inputs)

    async def _from_addresses(self, run: Run, value: Value, literal: Literal) -> Production | None:
        found: dict[Input, None] = {}
        label = _given_as(value)
        for place, address in _first(located(literal)):
            for origin in await self.at_address(address, run.sequence):
                found[Input(label_of(label, origin._replace(place=place)), origin.value)] = None
        return Production(StepId(run.key, ""), label, list(found)) if found else None

    async def _find(self, address: str, before: int) -> list[Origin]:
        makers = await self._sources.makers(address, before)
        # The nearest prefix; where names were used twice, the last that did. Then who gave it on last.
        owners = sorted(makers.owners, key=lambda one: (len(one.address), one.sequence), reverse=True)
        givers = sorted(makers.givers, key=lambda one: one.sequence, reverse=True)
        for mention in (*owners, *givers):
            found = await self._made_by(mention, address)
            if found:
                return found
        return []

    async def _made_by(self, mention: Mention, address: str) -> list[Origin]:
        """What of a node's outputs lies at an address; when none of it does, whatever it left there."""
        trace = await self._sources.trace(mention.execution)
        node = None if trace is None else trace.run.nodes.get(mention.node_id)
        if trace is None or node is None:
            return []
        step = trace.step_of(node)
        constants = [(value, trace.constants[value]) for value in trace.given_by(node)]
        found = [Origin(value, way) for value, literal in constants for way in _ways(literal, address)]
        literals = await self._sources.literals(node.outputs) if node.plan is None else None
        for var in sorted(literals.literals) if literals is not None else ():
            for way in _ways(literals.literals[var], address) if literals is not None else ():
                found += [one for one in trace.output(node, var, way) if one.value.node_id == step.id]
        return found or [Origin(Value(mention.execution, step.id, OUTPUTS, "", address))]

    # -- what comes of it

    async def _uses(self, trace: Trace, value: Value, origin: Value | None = None) -> list[Consumption]:
        """Steps of one execution that take a value. `origin` is what of it is meant, where it is a child's output."""
        found: list[Consumption] = []
        for use in trace.uses(value):
            label = label_of(use.var, Origin(value, use.path, use.place))
            if origin is not None:
                settled = await self.settled(Origin(value, use.path, use.place))
                labels = [label_of(use.var, one) for one in settled if one.value == origin]
                if not labels:
                    continue
                label = labels[0]
            child = use.node.child
            if trace.is_step(use.node):
                step = StepId(trace.run.key, use.node.id)
                found.append(Consumption(step, label, await self.outputs_of(step)))
            elif use.node.kind == facts.LAUNCH_PLAN and child is not None:
                started = (child.project, child.domain, child.name)
                if await self._sources.trace(started) is not None:
                    given = Input(use.var, Value(started, "", INPUTS, use.var))
                    found.append(Consumption(StepId(started, ""), label, [given]))
        return found

    async def _reuses(self, trace: Trace, value: Value) -> list[Consumption]:
        key = trace.run.key
        if key not in self._reused_by:
            self._reused_by[key] = await self._all_reuses(trace)
        return self._reused_by[key].get(value, [])

    async def _all_reuses(self, trace: Trace) -> dict[Value, list[Consumption]]:
        found: dict[Value, list[Consumption]] = {}
        for reuse in await self._sources.reuses(trace.run.key):
            user = await self._sources.trace(reuse.execution)
            node = None if user is None else user.run.nodes.get(reuse.user)
            literals = None if node is None else await self._sources.literals(node.outputs)
            if user is None or node is None or literals is None or user.step_of(node) is not node:
                continue
            for var in sorted(literals.literals):
                given = Input(var, Value(reuse.execution, node.id, OUTPUTS, var))
                for origin in trace.value(reuse.node_id, OUTPUTS, var):
                    for settled in await self.settled(origin):
                        taken = Consumption(StepId(reuse.execution, node.id), label_of(var, settled), [given])
                        found.setdefault(settled.value, []).append(taken)
        return found

    async def _outside(self, trace: Trace, value: Value) -> list[Consumption]:
        """Executions that were given what lies where this value does, and nodes that came by it in other ways."""
        if value.side == INPUTS and value not in trace.constants:
            return []
        literal = await self.literal(value)
        lying = addresses([literal])[:MOST_ADDRESSES] if literal is not None else []
        if value.at and not value.var:
            lying = [value.at]
        if not lying:
            return []
        found: list[Consumption] = []
        for mention in await self._sources.users(lying):
            user = await self._sources.trace(mention.execution)
            if user is None:
                continue
            origins = await self.at_address(mention.address, user.run.sequence)
            if all(origin.value != value for origin in origins):
                continue
            if mention.node_id:
                found += await self._came_by(user, mention, value, origins)
            else:
                found += await self._began_with(user, mention, value, origins)
        return found

    async def _began_with(
        self, user: Trace, mention: Mention, value: Value, origins: list[Origin]
    ) -> list[Consumption]:
        found: list[Consumption] = []
        step = StepId(user.run.key, "")
        for given, way in await self._mentioned(user, mention.address):
            if user.run.parent is not None and given.side == INPUTS and not given.node_id:
                continue  # It came from its parent's node.
            name = _given_as(given)
            labels = [label_of(name, one._replace(place=way)) for one in origins if one.value == value]
            found += [Consumption(step, label, [Input(name, given)]) for label in labels]
        return found

    async def _came_by(self, user: Trace, mention: Mention, value: Value, origins: list[Origin]) -> list[Consumption]:
        node = user.run.nodes.get(mention.node_id)
        if node is None or (value.execution, value.node_id) == (user.run.key, node.id):
            return []
        if mention.address not in node.addresses or any(one.value == value for one in await self._taken(user, node)):
            return []
        step = StepId(user.run.key, node.id)
        outputs = await self.outputs_of(step)
        return [Consumption(step, label_of("", one), outputs) for one in origins if one.value == value]

    async def _taken(self, trace: Trace, node: NodeRun) -> list[Origin]:
        return [one for found in trace.inputs(node).values() for origin in found for one in await self.settled(origin)]

    async def _mentioned(self, trace: Trace, address: str) -> list[tuple[Value, Path]]:
        """The inputs and constants of an execution in which an address stands, and where in them."""
        found: list[tuple[Value, Path]] = []
        literals = await self._sources.literals(trace.run.inputs)
        for var in sorted(literals.literals) if literals is not None else ():
            for way, here in located(literals.literals[var]) if literals is not None else ():
                if here == address:
                    found.append((Value(trace.run.key, "", INPUTS, var), way))
        for value, literal in trace.constants.items():
            if trace.giver(value) is None:
                found += [(value, way) for way, here in located(literal) if here == address]
        return found


def label_of(var: str, origin: Origin) -> str:
    """`rows[1] <- [2].path`: what the step takes it as, and what part of it that is."""
    taken, part = f"{var}{shown(origin.place)}", shown(origin.path)
    return f"{taken} <- {part}" if part else taken


def _given_as(value: Value) -> str:
    """A constant by where it is bound: `n0.rows[1]`; an execution's input by its name."""
    return f"{value.node_id}.{value.var}{value.at}" if value.node_id else f"{value.var}{value.at}"


def _ways(literal: Literal, address: str) -> list[Path]:
    """Where in a literal stands what lies at an address: that itself, a folder it is in, or something in it."""
    found = list(located(literal))
    exact = [way for way, here in found if here == address]
    return exact or [way for way, here in found if is_below(address, here) or is_below(here, address)]


def _first(found: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
    return [one for one, _ in zip(found, range(MOST_ADDRESSES), strict=False)]


def _key(node: NodeExecutionIdentifier) -> ExecutionKey:
    execution = node.execution_id
    return execution.project, execution.domain, execution.name
